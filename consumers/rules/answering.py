"""Answering questions from whatever set is served at this moment, or from the fallback, which is said."""

import time
from collections.abc import Callable
from typing import Final, Literal

from bridge.telemetry import RULES_ERRORS
from consumers.rules.acts import known_acts
from consumers.rules.deciding import FallbackReason, decide, fallen_back
from consumers.rules.served import Served
from schemas.decisions import Decision, Effect, Question

_ALLOW: Final = Effect("allow")


class Answering:
    """Holds the served set and how fresh it is. Nothing here reads, writes, waits or logs.

    ``served`` is None where no set is known; ``without`` then says why.
    ``read_at_ms`` is when the served set was last known to be the one to serve.
    """

    def __init__(
        self,
        *,
        fallback: Literal["allow", "deny"],
        max_stale_seconds: float | None,
        now_ms: Callable[[], int],
    ) -> None:
        self.fallback = fallback
        self._max_stale_ms = None if max_stale_seconds is None else max_stale_seconds * 1000
        self._now_ms = now_ms
        self._acts = known_acts()  # read before anybody asks: it takes the time of a thousand answers
        self.served: Served | None = None
        self.read_at_ms = 0
        self.without: FallbackReason = "not_ready"
        self.errors = 0
        self.last_error: str | None = None

    def swap(self, served: Served, read_at_ms: int) -> None:
        """Answer from this set from now on. A clock that was ahead does not make the rules look fresher."""
        self.read_at_ms = min(read_at_ms, self._now_ms())
        self.served = served

    def staleness_ms(self, now_ms: int) -> int:
        """Return the age of what is served at this moment."""
        return max(0, now_ms - self.read_at_ms)

    def decide(self, question: Question) -> Decision:
        """Return the answer of the rules, else of the fallback. Never raises."""
        started = time.perf_counter_ns()
        decision = self._decide(question)
        return decision._replace(elapsed_us=(time.perf_counter_ns() - started) // 1000)

    def _decide(self, question: Question) -> Decision:
        if question.act not in self._acts:
            return self._unasked()
        served, now_ms = self.served, self._now_ms()
        if served is None:
            return fallen_back(self.fallback, self.without)
        staleness = self.staleness_ms(now_ms)
        if self._max_stale_ms is not None and staleness > self._max_stale_ms:
            return self._instead(served, staleness, "too_stale")
        try:
            return decide(served.compiled, served.rule_set, question, staleness, now_ms, self.fallback)
        except Exception as error:  # noqa: BLE001 whatever a rule does, the caller gets an answer
            self._note(error)
            return self._instead(served, staleness, "error")

    def _unasked(self) -> Decision:
        """Return allow: no rule can be about the act, so neither rules nor their absence refuse it."""
        rule_set = self.served.rule_set if self.served else None
        return Decision(_ALLOW, _ALLOW, rule_set=rule_set)

    def _instead(self, served: Served, staleness_ms: int, why: FallbackReason) -> Decision:
        decision = fallen_back(self.fallback, why)
        return decision._replace(rule_set=served.rule_set, staleness_ms=staleness_ms)

    def _note(self, error: Exception) -> None:
        """Keep the error for whoever logs: writing a line here would be output."""
        self.errors += 1
        self.last_error = " ".join((repr(error), *getattr(error, "__notes__", ())))
        RULES_ERRORS.inc()
