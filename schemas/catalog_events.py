"""What a row means when a callback arrives: compiled once into functions that build events and questions."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from schemas.callback import Callback
from schemas.catalog_rows import Row, TimeSource
from schemas.decisions import Decision, Effect, Question
from schemas.envelope import Envelope
from schemas.named import make
from schemas.normalize.batches import compile_batch, told_apart
from schemas.normalize.conversions import choice_of
from schemas.normalize.fields import write_fields, write_query
from schemas.normalize.generate import Source
from schemas.normalize.identity import body_id, new_id, write_identity
from schemas.normalize.misfit import Misfit
from schemas.normalize.moments import TimeReader, compile_time, first_time, place
from schemas.normalize.origin import Part, origin_of
from schemas.normalize.paths import compile_path
from schemas.normalize.templates import as_expression
from schemas.outcomes import forms_of

Normalize = Callable[[Callback], list[Envelope]]
Ask = Callable[[Callback], Question]

UNRECOGNIZED: Final = "im.unrecognized.v1"
_PLAIN_COMMAND: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def compile_normalize(row: Row) -> Normalize:
    """Return the function from a callback of this after-command to its events. It raises Misfit."""
    one = _compile_one(row)
    if row.batch is None:
        return lambda callback: [one(callback, _object_of(callback), None)]
    parts_of = compile_batch(row.batch.path, row.batch.at_most)

    def each(callback: Callback) -> list[Envelope]:
        return told_apart([one(*part) for part in parts_of(callback, _object_of(callback))])

    return each


def _compile_one(row: Row) -> Callable[[Callback, Mapping[str, Any], Part | None], Envelope]:
    """Return the function from a callback, the body of one event and its part in a batch to that event."""
    source = Source()
    source.add("provider, app, _, query, operation_id, raw, _, _, _ = callback")
    source.add(f"event_type = {_type_of(row, source)}")
    write_fields(row.fields, source)
    write_query(row.fields, source)
    source.add(f"event_ms = {source.name(time_reader(row.time))}(body)")
    write_identity(row.name, row.identity, source)
    source.add(f"about = {as_expression(row.subject, source)}")
    source.add(f"key = {as_expression(row.partition_key, source)}")
    source.add(f"data['origin'] = {source.name(origin_of)}(callback, part)")
    source.add(f"return {source.name(_envelope)}(callback, event_id, event_type, about, key, data, event_ms)")
    return source.function(f"<row {row.provider} {row.name}>", "callback, body, part")


def _type_of(row: Row, source: Source) -> str:
    """Return the expression for the event's type."""
    choice = row.choice
    if choice is None:
        return repr(row.type)
    get, choose = compile_path(choice.path), choice_of(choice.values)

    def read(body: Mapping[str, Any]) -> str:
        said = get(body)
        chosen: str | None = None if said is None else choose(said)
        if chosen is None:
            raise Misfit(f"{choice.path} is none of {', '.join(choice.values)}")
        return chosen

    return f"{source.name(read)}(body)"


def compile_question(row: Row) -> Ask:
    """Return the function from a callback of this before-command to its question. It raises Misfit."""
    source = Source()
    source.add("query = callback.query", f"body = {source.name(_object_of)}(callback)")
    write_fields(row.fields, source)
    write_query(row.fields, source)
    source.add(f"about = {as_expression(row.subject, source)}")
    source.add(f"key = {as_expression(row.partition_key, source)}")
    source.add(
        f"people = {source.name(_people)}(data.get({row.members!r}))" if row.members else "people = ()"
    )
    partial = row.answers is not None and row.answers.partial()
    asked = f"{row.act!r}, {row.name!r}, about, key, data, people, {partial}, callback"
    source.add(f"return {source.name(Question)}({asked})")
    return source.function(f"<row {row.provider} {row.name}>", "callback")


def _people(said: Any) -> tuple[str, ...]:
    """Return whom a field names: an id, ids or members; nobody where it is absent."""
    named: Sequence[Any] = [said] if isinstance(said, str) else said or ()
    if named and isinstance(named[0], dict):
        return tuple([one["user_id"] for one in named])
    return tuple(named)


def time_reader(sources: Sequence[TimeSource]) -> TimeReader:
    """Return the function from a body to the vendor's time in milliseconds."""
    return first_time([compile_time(source.path, source.unit) for source in sources])


def decision_event(row: Row, question: Question, decision: Decision, moment: int) -> Envelope:
    """Return the event of one decision, with an id of its own and the moment of deciding as its sequence."""
    callback = question.callback
    provider, about, key = callback.provider, question.subject, question.partitionkey
    time, recorded, sequence, basis = place(None, moment)
    data = {**question.data, "decision": _decision(decision), "origin": origin_of(callback)}
    attributes = (
        new_id(provider), f"/im/{provider}/{callback.app}", row.type, about, time, recorded, sequence, key,
        data, basis, callback.operation_id, None, None, None,
    )  # fmt: skip
    return make(Envelope, attributes)


def unrecognized_event(callback: Callback, command: str, read_time: TimeReader, reason: str) -> Envelope:
    """Return the event that keeps a callback verbatim. ``command`` is its canonical name where known."""
    plain = command if _PLAIN_COMMAND.fullmatch(command) else "unknown"
    body = callback.json
    event_ms = read_time(body) if isinstance(body, dict) else None
    event_id = body_id(callback, command, event_ms)
    data = {"reason": reason, "origin": origin_of(callback)}
    return _envelope(callback, event_id, UNRECOGNIZED, f"command/{plain}", plain, data, None)


def _envelope(
    callback: Callback,
    event_id: str,
    event_type: str,
    subject: str,
    partitionkey: str,
    data: dict[str, Any],
    event_ms: int | None,
) -> Envelope:
    provider, app, _, _, operation_id, _, _, moment, _ = callback
    time, recorded, sequence, basis = place(event_ms, moment)
    source = f"/im/{provider}/{app}"
    attributes = (
        event_id, source, event_type, subject, time, recorded, sequence, partitionkey, data,
        basis, operation_id, None, None, None,
    )  # fmt: skip
    return make(Envelope, attributes)


def _object_of(callback: Callback) -> Mapping[str, Any]:
    body = callback.json
    if not isinstance(body, dict):
        raise Misfit("the body is not a JSON object that parses without loss")
    return body


def _decision(decision: Decision) -> dict[str, Any]:
    rules = decision.rule_set
    return {
        "wanted": decision.wanted.kind,
        "sent": decision.sent.kind,
        "refused": list(decision.wanted.refused),
        **({"changes": dict(decision.wanted.changes)} if decision.wanted.changes else {}),
        "reason": {"text": decision.reason_text, "code": decision.reason_code, "rule": decision.reason_rule},
        "rule_set": None if rules is None else rules._asdict(),
        "staleness_ms": decision.staleness_ms,
        "rules": forms_of(decision.outcomes),
        "shadow": _effect(decision.shadow),
        "facts": dict(decision.facts),
        "fallback": decision.fallback,
        "elapsed_us": decision.elapsed_us,
    }


def _effect(effect: Effect | None) -> dict[str, Any] | None:
    return None if effect is None else {"effect": effect.kind, "refused": list(effect.refused)}
