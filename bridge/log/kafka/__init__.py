"""Kafka as a log. The modules of this package are the only code that knows aiokafka."""

from bridge.log.kafka.groups import GroupReading
from bridge.log.kafka.log import KafkaLog
from bridge.log.kafka.membership import MemberBook
from bridge.log.kafka.topics import ClusterReport, Finding

__all__ = ["ClusterReport", "Finding", "GroupReading", "KafkaLog", "MemberBook"]
