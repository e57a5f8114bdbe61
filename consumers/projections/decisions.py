"""The projection ``decisions``: the audit trail of what was answered, one row for each question."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import orjson
from sqlalchemy.dialects.postgresql import insert

from consumers.projections import fields
from consumers.projections.fields import Data
from consumers.store.base import Effect
from consumers.store.tables import DECISIONS
from schemas.envelope import Envelope
from schemas.topics import DECISION

TYPES: Final = frozenset({"im.group.invite.decided.v1"})

_INSERT: Final = insert(DECISIONS).on_conflict_do_nothing()


class DecisionsProjection:
    """Keeps ``decisions``: rows are only ever added, under the event's id."""

    name: Final = "decisions"
    topics: Final[Sequence[str]] = (DECISION,)

    @property
    def types(self) -> Collection[str]:
        """The event types it applies."""
        return TYPES

    def effects(self, envelopes: Sequence[Envelope]) -> Sequence[Effect]:
        """Return one insert for each decision."""
        rows = [_row(envelope) for envelope in envelopes if envelope.type in TYPES]
        return [Effect(_INSERT, sorted(rows, key=lambda row: str(row["decision_id"])))]


def _row(envelope: Envelope) -> dict[str, Any]:
    data, app = envelope.data, fields.app_of(envelope)
    return {
        "provider": app.provider,
        "app": app.app,
        "decision_id": envelope.id,
        "type": envelope.type,
        "decided_at": envelope.time,
        "decided_ms": fields.version_of(envelope) >> 16,
        "group_id": fields.required_id(data, "group_id"),
        "group_type": fields.text(data, "group_type"),
        "inviter_id": fields.optional_id(data, "inviter_id"),
        "invitee_ids": _json(fields.ids(data, "invitee_ids")),
        "correlation_id": envelope.correlationid,
        **_answer(fields.required_object(data, "decision")),
    }


def _answer(decision: Data) -> dict[str, Any]:
    reason = fields.optional_object(decision, "reason") or {}
    rule_set = fields.optional_object(decision, "rule_set") or {}
    shadow = fields.optional_object(decision, "shadow")
    return {
        "wanted": fields.required_id(decision, "wanted"),
        "sent": fields.required_id(decision, "sent"),
        "refused": _json(fields.ids(decision, "refused")),
        "reason_text": fields.text(reason, "text"),
        "reason_code": fields.number(reason, "code"),
        "reason_rule": fields.text(reason, "rule"),
        "rule_set": fields.text(rule_set, "name"),
        "rule_set_version": fields.number(rule_set, "version"),
        "rule_set_digest": fields.text(rule_set, "digest"),
        "staleness_ms": fields.number(decision, "staleness_ms"),
        "rules": _json(fields.items(decision, "rules")),
        "shadow": None if shadow is None else _json(shadow),
        "facts": _json(fields.optional_object(decision, "facts") or {}),
        "fallback": fields.text(decision, "fallback"),
        "elapsed_us": fields.number(decision, "elapsed_us"),
    }


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
