"""The rules: documents, their compiled form, the served set, its publication."""

from consumers.rules.consumer import RulesConsumer
from consumers.rules.documents import Documents, load_documents
from consumers.rules.examination import Report, check
from consumers.rules.overview import SetOverview, TopicOverview, status
from consumers.rules.problems import Problem
from consumers.rules.publication import PublishReport, activations, publish, rollback
from consumers.rules.standing import Rejection, RulesStatus

__all__ = [
    "Documents",
    "Problem",
    "PublishReport",
    "Rejection",
    "Report",
    "RulesConsumer",
    "RulesStatus",
    "SetOverview",
    "TopicOverview",
    "activations",
    "check",
    "load_documents",
    "publish",
    "rollback",
    "status",
]
