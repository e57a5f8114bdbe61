"""What the senders saw, counted in bounded memory, and the report of it."""

from collections import Counter
from typing import Any, Final, Literal

from bridge.simulate.judging import OUTCOMES, Outcome, Verdict
from bridge.simulate.latencies import Latencies
from bridge.simulate.traffic import Sending

Phase = Literal["after", "before"]
PHASES: Final[tuple[Phase, ...]] = ("after", "before")
_EXAMPLES: Final = 5


class Tally:
    """Counts what became of each callback."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Phase, str]] = Counter()
        self._latencies = {phase: Latencies() for phase in PHASES}
        self._examples: dict[Outcome, list[dict[str, str]]] = {}
        self.waiting = 0

    def answered(self, sending: Sending, verdict: Verdict, seconds: float) -> None:
        """Count one request and what came of it, ``seconds`` after it fell due. No answer has no latency."""
        self._count(sending, "sent")
        self._count(sending, verdict.outcome)
        if verdict.outcome not in ("failed", "late"):
            self._latencies[_phase(sending)].add(seconds)
        if verdict.outcome != "accepted":
            self._keep(sending, verdict)

    def lost(self, sending: Sending) -> None:
        """Count a callback that its caller gave up before sending it."""
        self._count(sending, "lost")

    def unsent(self, sending: Sending) -> None:
        """Count a callback that was still waiting to be sent when the run ended."""
        self._count(sending, "unsent")

    def total(self, name: str) -> int:
        """Return how many callbacks of both kinds this became of."""
        return sum(self._counts[phase, name] for phase in PHASES)

    def report(self, provider: str, seconds: float) -> dict[str, Any]:
        """Return the report of a run that took so many seconds."""
        names = ("sent", "accepted", "refused", "lost", "failed", "illegal", "late", "unsent")
        extra = ("repeats", "identical")
        return {
            "provider": provider,
            "seconds": round(seconds, 3),
            **{name: self.total(name) for name in (*names, *extra)},
            **{phase: {name: self._counts[phase, name] for name in names} for phase in PHASES},
            "latency_ms": {phase: self._latencies[phase].summary() for phase in PHASES},
            "examples": self._examples.get("illegal", []),
            "complaints": {
                outcome: self._examples[outcome]
                for outcome in OUTCOMES
                if outcome in self._examples and outcome != "illegal"
            },
        }

    def _count(self, sending: Sending, what: str) -> None:
        self._counts[_phase(sending), what] += 1
        if what == "sent":
            self._counts[_phase(sending), "repeats"] += sending.is_repeat
            self._counts[_phase(sending), "identical"] += sending.twin

    def _keep(self, sending: Sending, verdict: Verdict) -> None:
        kept = self._examples.setdefault(verdict.outcome, [])
        if len(kept) < _EXAMPLES:
            story = sending.story
            kept.append({"command": story.spec.name, "marker": str(story.marker), "why": verdict.why})


def _phase(sending: Sending) -> Phase:
    return "before" if sending.asks else "after"
