"""The projection ``decisions``: the audit trail of what was answered, one row for each question.

What can be decided is read from the catalog: an act that becomes a callback's is kept without a line here.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy.dialects.postgresql import insert

from consumers.projections import fields
from consumers.projections.fields import App, Data
from consumers.store.base import Effect
from consumers.store.tables import DECISIONS
from schemas.catalog import Catalog
from schemas.envelope import Envelope
from schemas.topics import DECISION

_INSERT: Final = insert(DECISIONS).on_conflict_do_nothing()


class Asked(NamedTuple):
    """What decisions of one type are about: the act, and the fields that may hold its people."""

    act: str
    people: tuple[str, ...]


@cache
def decided() -> Mapping[str, Asked]:
    """Return every type of decision there is, with what it is about; the catalog is read the first time."""
    rows = [spec.row for spec in _catalog() if spec.phase == "before"]
    people = {(row.type, row.members): None for row in rows if row.members}
    return {row.type: Asked(row.act, tuple(name for of, name in people if of == row.type)) for row in rows}


class DecisionsProjection:
    """Keeps ``decisions``: rows are only ever added, under the event's id."""

    name: Final = "decisions"
    topics: Final[Sequence[str]] = (DECISION,)

    @property
    def types(self) -> Collection[str]:
        """The event types it applies."""
        return decided().keys()

    def effects(self, envelopes: Sequence[Envelope]) -> Sequence[Effect]:
        """Return one insert for each decision."""
        known = decided()
        rows = [_row(each, known[each.type]) for each in envelopes if each.type in known]
        return [Effect(_INSERT, sorted(rows, key=lambda row: str(row["decision_id"])))]


@cache
def _catalog() -> Catalog:
    return Catalog.load()


def _row(envelope: Envelope, asked: Asked) -> dict[str, Any]:
    data, app = envelope.data, fields.app_of(envelope)
    return {
        "provider": app.provider,
        "app": app.app,
        "decision_id": envelope.id,
        "type": envelope.type,
        "act": asked.act,
        "command": _command(data, app),
        "subject": fields.required_id({"subject": envelope.subject}, "subject"),
        "members": _json([person for name in asked.people for person in fields.people(data, name)]),
        "decided_at": envelope.time,
        "decided_ms": fields.version_of(envelope) >> 16,
        "group_id": fields.optional_id(data, "group_id"),
        "group_type": fields.text(data, "group_type"),
        "inviter_id": fields.optional_id(data, "inviter_id"),
        "invitee_ids": _json(fields.ids(data, "invitee_ids")),
        "correlation_id": envelope.correlationid,
        **_answer(fields.required_object(data, "decision")),
    }


def _command(data: Data, app: App) -> str | None:
    """Return the callback's own name, however it was spelled; None where the event does not say."""
    said = fields.optional_id(fields.optional_object(data, "origin") or {}, "command")
    spec = None if said is None else _catalog().find(app.provider, said)
    return said if spec is None else spec.name


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
