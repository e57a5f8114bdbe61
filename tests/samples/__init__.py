"""Requests as the vendors send them, and the events they become.

``NAME.request.json`` holds target, headers and body (``body_text`` where it is no JSON), ``NAME.event.json``
the structured CloudEvent. A missing event file is written by the golden test, which fails until it was seen.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from multidict import CIMultiDict

from bridge.ingress.routes import Routes
from bridge.ingress.target import read_target
from bridge.providers.base import Provider
from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from schemas.callback import Callback
from schemas.catalog import Catalog, CommandSpec
from schemas.decisions import Decision, Effect, Outcome, RuleSet
from schemas.envelope import Envelope

FOLDER = Path(__file__).parent
MOMENT = 1_771_000_000_000 << 16 | 7
"""When samples are received: 2026-02-13T16:26:40Z."""

CATALOG = Catalog.load()
PROVIDERS: tuple[Provider, ...] = (TencentProvider(), OpenIMProvider())
DECISION = Decision(
    wanted=Effect("refuse_members", ("jared",)),
    sent=Effect("refuse_members", ("jared",)),
    reason_text="on the block list",
    reason_code=10107,
    rule_set=RuleSet("default", 7, "d1gest"),
    staleness_ms=12,
    outcomes=(
        Outcome("blocked", 3, "enforce", Effect("refuse_members", ("jared",))),
        Outcome("new", 1, "shadow", None, matched=False, missing=("group.size",)),
    ),
    facts={"invitee.id": ["jared", "tommy"]},
    elapsed_us=41,
    reason_rule="blocked",
    shadow=Effect("deny"),
)


ALLOWED = Decision(
    Effect(), Effect(), rule_set=RuleSet("default", 7, "d1gest"), staleness_ms=12, elapsed_us=9
)
"""The answer to what no rule can be about yet."""


def decision_on(spec: CommandSpec) -> Decision:
    """Return how a sample is decided."""
    return DECISION if spec.row.act == "invite" else ALLOWED


class Sample(NamedTuple):
    """One request."""

    provider: str
    name: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def golden(self) -> Path:
        return FOLDER / self.provider / f"{self.name}.event.json"

    def callback(self, moment: int = MOMENT) -> Callback:
        """Return the callback as the ingress would hand it on."""
        return receive(self.target, self.headers, self.body, moment)

    def spec(self) -> CommandSpec | None:
        callback = self.callback()
        return CATALOG.find(callback.provider, callback.command)

    def events(self) -> list[Envelope]:
        """Return the events it becomes; a question is answered with ``decision_on`` it."""
        callback, spec = self.callback(), self.spec()
        if spec is None:
            return [CATALOG.unrecognized(callback, "no row of the catalog knows the command")]
        if spec.phase == "before":
            return [spec.decided(spec.question(callback), decision_on(spec), callback.moment)]
        return events_of(callback, spec)


def receive(target: str, headers: Mapping[str, str], body: bytes, moment: int = MOMENT) -> Callback:
    segments, query = read_target(target)
    found = Routes(PROVIDERS).find(segments, query, CIMultiDict(headers))
    assert found is not None, target
    provider, raw = found
    return provider.parse(provider.authenticate(raw), body, moment)


def events_of(callback: Callback, spec: CommandSpec) -> list[Envelope]:
    try:
        return spec.normalize(callback)
    except ValueError as misfit:
        return [CATALOG.unrecognized(callback, f"the body does not fit its row: {misfit}")]


def _read(path: Path) -> Sample:
    content: dict[str, Any] = orjson.loads(path.read_bytes())
    body = content["body_text"].encode() if "body_text" in content else orjson.dumps(content["body"])
    name = path.name.removesuffix(".request.json")
    return Sample(path.parent.name, name, content["target"], content["headers"], body)


def samples() -> Iterator[Sample]:
    """Yield every sample of every provider."""
    for path in sorted(FOLDER.glob("*/*.request.json")):
        yield _read(path)


SAMPLES = tuple(samples())
