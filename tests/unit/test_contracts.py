"""The AsyncAPI and OpenAPI documents say what the bridge does. That they are current: test_catalog."""

from typing import Any

import jsonschema_rs
import orjson
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from bridge.errors import CallbackError
from bridge.ingress.dispatch import BAD_REQUEST, INTERNAL, NOT_FOUND, POST_ONLY
from bridge.log.base import Position, Record
from bridge.log.dead_letters import dead_letter
from bridge.log.memory import MemoryLog
from bridge.log.scan import Selection
from consumers.dead_letters import redrive
from consumers.replay import plan, replay_to_topic, selected
from consumers.rules.publication import publish
from schemas import asyncapi, openapi
from schemas.__main__ import ASYNCAPI, OPENAPI
from schemas.envelope import Envelope
from schemas.openapi import REFUSALS
from schemas.topics import DLQ, GROUP, OPS, RULES, TOPICS
from tests.consuming import joined, record
from tests.rules_kit import documents, named, rule
from tests.samples import CATALOG, PROVIDERS, SAMPLES, Sample, decision_on

TOPICS_DOCUMENT: dict[str, Any] = orjson.loads(orjson.dumps(asyncapi.document(CATALOG)))
INGRESS_DOCUMENT: dict[str, Any] = orjson.loads(orjson.dumps(openapi.document(CATALOG)))


def said_on(topic: str) -> set[str]:
    return set(TOPICS_DOCUMENT["channels"][topic]["messages"])


def check(message: str, part: str, value: Any) -> None:
    """Validate headers or payload by what the document says of the message."""
    schema = TOPICS_DOCUMENT["components"]["messages"][message][part]
    whole = {"allOf": [schema], "components": TOPICS_DOCUMENT["components"]}
    jsonschema_rs.Draft7Validator(whole).validate(value)


def check_event(event: Envelope) -> None:
    headers, value = event.binary()
    check(event.type, "headers", headers)
    check(event.type, "payload", orjson.loads(value))


@pytest.mark.parametrize(("path", "document"), [(ASYNCAPI, TOPICS_DOCUMENT), (OPENAPI, INGRESS_DOCUMENT)])
def test_the_file_holds_the_document(path: Any, document: dict[str, Any]) -> None:
    assert yaml.safe_load(path.read_text()) == document


def test_every_topic_stands_there_with_every_event_type_it_may_hold() -> None:
    assert TOPICS_DOCUMENT["channels"].keys() == TOPICS.keys()
    for spec in CATALOG:
        assert set(spec.row.types) <= said_on(spec.topic), spec.name
    assert said_on("im.unrecognized.v1") == {"im.unrecognized.v1"}
    assert said_on(RULES) == {"rule", "chunk", "manifest"}
    assert said_on(DLQ) == {"dead_letter"}
    assert all(name.startswith("im.ops.") for name in said_on(OPS))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.provider}-{sample.name}")
def test_every_sample_is_what_the_document_says(sample: Sample) -> None:
    for event in sample.events():
        check_event(event)


def test_an_event_without_its_origin_or_sequence_is_not_what_the_document_says() -> None:
    event = next(event for sample in SAMPLES for event in sample.events())
    with pytest.raises(jsonschema_rs.ValidationError, match="origin"):
        check_event(event._replace(data={key: held for key, held in event.data.items() if key != "origin"}))
    with pytest.raises(jsonschema_rs.ValidationError):
        check_event(event._replace(sequence="12"))


async def test_the_audit_trail_is_what_the_document_says() -> None:
    log = MemoryLog(partitions=1)
    await log.append([record(joined(1))])
    planned = await plan(log, Selection(GROUP))
    await replay_to_topic(log, planned, GROUP, actor="ops", clock=lambda: 1 << 16)
    await redrive(log, letter_of(record(joined(1))), actor="ops", moment=1 << 16)
    await publish(log, documents(rule()))
    trail = [each.envelope() for each in await held_by(log, OPS)]
    assert {event.type for event in trail} == said_on(OPS)
    for event in trail:
        check_event(event)


async def test_published_rules_are_what_the_document_says() -> None:
    log = MemoryLog(partitions=1)
    await publish(log, documents(rule(), named("blocked", "jared")))
    kept = [(orjson.loads(each.value or b"null"), each.headers) for each in await held_by(log, RULES)]
    assert {content["kind"] for content, _ in kept} == said_on(RULES)
    for content, headers in kept:
        check(content["kind"], "payload", content)
        check(content["kind"], "headers", headers)


def test_a_dead_letter_is_what_the_document_says() -> None:
    check("dead_letter", "headers", letter_of(record(joined(1))).headers)


def letter_of(parked: Record) -> Record:
    return dead_letter(
        parked, Position(GROUP, 0, 7), consumer="groups", log_id="journal:1", reason="no", attempts=3,
        disposition="poison", now_ms=1,
    )  # fmt: skip


async def held_by(log: MemoryLog, topic: str) -> list[Record]:
    return [stored.record async for _, stored in selected(log, await plan(log, Selection(topic)))]


def test_the_ingress_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(INGRESS_DOCUMENT).validate()


def test_the_validator_tells_a_document_that_is_not_valid() -> None:
    damaged = {**INGRESS_DOCUMENT, "paths": {"/tencent": {"post": {"responses": {"200": {}}}}}}
    assert list(OpenAPIV31SpecValidator(damaged).iter_errors())


def test_every_command_is_listed_with_what_it_becomes() -> None:
    paths = INGRESS_DOCUMENT["paths"]
    listed = paths["/tencent"]["post"]["x-commands"] | paths["/openim/{command}"]["post"]["x-commands"]
    assert {name: about["topic"] for name, about in listed.items()} == {s.name: s.topic for s in CATALOG}


def test_the_paths_are_those_the_providers_answer_at() -> None:
    bases = {f"/{'/'.join(provider.base)}" for provider in PROVIDERS}
    assert {f"/{path.split('/')[1]}" for path in INGRESS_DOCUMENT["paths"]} == bases


def test_every_status_of_a_refusal_is_listed() -> None:
    ends = {reply.status for reply in (BAD_REQUEST, NOT_FOUND, POST_ONLY, INTERNAL)}
    assert ends | {error.status for error in subclasses(CallbackError)} == REFUSALS.keys()


def subclasses(cls: type[CallbackError]) -> set[type[CallbackError]]:
    return {cls}.union(*(subclasses(below) for below in cls.__subclasses__()))


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_answers_and_failures_have_the_documented_form(provider: Any) -> None:
    check_answer = answer_checker(provider.name)
    check_answer(provider.ack().body)
    for status in REFUSALS:
        check_answer(provider.failure(status, "why").body)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.provider}-{sample.name}")
def test_every_sampled_question_is_answered_in_the_documented_form(sample: Sample) -> None:
    spec = sample.spec()
    if spec is None or spec.phase == "after":
        return
    provider = next(provider for provider in PROVIDERS if provider.name == spec.provider)
    reply = provider.reply(spec.answers, decision_on(spec), sample.callback().json)
    answer_checker(spec.provider)(reply.body)


def answer_checker(provider: str) -> Any:
    schema = INGRESS_DOCUMENT["components"]["schemas"][f"{provider}.answer"]
    validator = jsonschema_rs.Draft202012Validator(schema)
    return lambda body: validator.validate(orjson.loads(body))
