"""The path of questions: ask, decide, reply, with nothing awaited in between.

The decision event enters the journal's queue before the reply goes out. A question is always answered with
200: where no decision can be made, the fallback answers and says so.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Final, Literal, Protocol

from bridge import telemetry
from bridge.errors import LogError, LogUnavailable
from bridge.ingress.state import IngressState
from bridge.ingress.tally import Seldom, Tally
from bridge.log.base import Record, record_of
from bridge.providers.base import Provider, Reply
from schemas.callback import Callback
from schemas.catalog import Catalog, CommandSpec, Misfit
from schemas.catalog_rows import Answers
from schemas.decisions import Decision, Effect, Question
from schemas.envelope import Envelope
from schemas.topics import UNRECOGNIZED

Fallback = Literal["allow", "deny"]
_ALLOW: Final = Effect("allow")


class Decider(Protocol):
    """Answers questions from memory."""

    def decide(self, question: Question) -> Decision:
        """Return the decision at once: no I/O, nothing awaited."""


class BeforePath:
    """Answers before-callbacks."""

    def __init__(
        self,
        catalog: Catalog,
        decider: Decider,
        state: IngressState,
        tally: Tally,
        log: Any,
        *,
        fallback: Fallback,
    ) -> None:
        self._catalog, self._decider, self._state = catalog, decider, state
        self._tally, self._log = tally, log
        self._fallback: Effect = Effect(fallback)
        self._seldom = Seldom()

    def answer(self, provider: Provider, spec: CommandSpec, callback: Callback) -> Reply:
        """Return the reply to one question; its event is on its way to the journal. Never raises."""
        try:
            question = spec.question(callback)
        except Misfit as error:
            why = f"the body does not fit its row: {error}"
            return self._fall_back_on(provider, spec, callback, why)
        except Exception as error:  # noqa: BLE001 a bug of ours must not cost the caller its answer
            self._log.exception("question.failed", provider=provider.name, command=spec.name)
            return self._fall_back_on(provider, spec, callback, f"asking failed: {type(error).__name__}")
        decision = self._decide(question, spec.answers)
        reply, decision = self._reply(provider, spec, decision, callback.json)
        event = self._record(lambda: spec.decided(question, decision, callback.moment), spec.topic, callback)
        self._say(provider, spec, decision, event)
        return reply

    def fall_back(
        self, provider: Provider, spec: CommandSpec, why: str, body: Any = None, event: Envelope | None = None
    ) -> Reply:
        """Return the fallback's reply to a question that could not be read, since ``why``."""
        reply, decision = self._reply(provider, spec, self._fallen_back(why), body)
        self._say(provider, spec, decision, event)
        return reply

    def _fall_back_on(self, provider: Provider, spec: CommandSpec, callback: Callback, why: str) -> Reply:
        """Keep a question verbatim that could not be asked, and answer it."""
        reason = f"{why}; answered with the fallback, {self._fallback.kind}"
        event = self._record(lambda: self._catalog.unrecognized(callback, reason), UNRECOGNIZED, callback)
        return self.fall_back(provider, spec, why, callback.json, event)

    def _fallen_back(self, why: str) -> Decision:
        return Decision(wanted=self._fallback, sent=self._fallback, fallback=why)

    def _decide(self, question: Question, answers: Answers) -> Decision:
        started = perf_counter()
        try:
            decision = self._decider.decide(question)
        except Exception as error:  # noqa: BLE001 a bug in a rule must not cost the caller its answer
            self._log.exception("decision.failed", provider=question.callback.provider, act=question.act)
            return self._fallen_back(f"deciding failed: {type(error).__name__}")
        finally:
            telemetry.DECISION_SECONDS.observe(perf_counter() - started)
        sent = answers.express(decision.sent)
        return decision if sent is decision.sent else decision._replace(sent=sent)

    def _reply(
        self, provider: Provider, spec: CommandSpec, decision: Decision, body: Any
    ) -> tuple[Reply, Decision]:
        """Return the reply with the decision it words: a neutral allow where the wording itself fails."""
        try:
            return provider.reply(spec.answers, decision, body), decision
        except Exception as error:  # noqa: BLE001 the caller gets a legal answer whatever we got wrong
            self._log.exception("reply.failed", provider=provider.name, command=spec.name)
            why = f"wording the reply failed: {type(error).__name__}"
        neutral = decision._replace(sent=_ALLOW, reason_text="", reason_code=None, fallback=why)
        return self._neutral(provider, spec, neutral, body), neutral

    def _neutral(self, provider: Provider, spec: CommandSpec, decision: Decision, body: Any) -> Reply:
        """Return allow with the fields the row needs, plain success where even that cannot be worded."""
        try:
            return provider.reply(spec.answers, decision, body)
        except Exception:  # noqa: BLE001 the caller gets a legal answer whatever we got wrong
            self._log.exception("reply.failed", provider=provider.name, command=spec.name, sent="allow")
            return provider.ack()

    def _record(self, event: Callable[[], Envelope], topic: str, callback: Callback) -> Envelope | None:
        """Enter an event into the journal's queue; None where it is dropped, which is counted and shown."""
        try:
            envelope = event()
            self._submit(record_of(topic, envelope, callback.received_ms))
        except Exception as error:  # noqa: BLE001 the reply must go out whether or not it can be recorded
            self._drop(error, callback.received_ms)
            return None
        return envelope

    def _submit(self, record: Record) -> None:
        journal = self._state.journal
        if journal is None or self._state.journal_failed:
            raise LogUnavailable("there is no journal to append to")
        journal.submit([record], partial(self._stored, record.timestamp), patient=True)

    def _stored(self, received_ms: int, _: int, error: LogError | None) -> None:
        if error is not None:
            self._drop(error, received_ms)

    def _drop(self, error: Exception, received_ms: int) -> None:
        telemetry.DECISION_EVENTS_DROPPED.inc()
        self._state.note(error)
        self._state.decision_events_dropped += 1
        self._state.last_dropped_ms = received_ms
        count = self._seldom.due(type(error).__name__)
        if count:
            unexpected = None if isinstance(error, LogError) else error
            self._log.warning("decision_event.dropped", error=str(error), count=count, exc_info=unexpected)

    def _say(self, provider: Provider, spec: CommandSpec, decision: Decision, event: Envelope | None) -> None:
        kind, fallback = decision.sent.kind, decision.fallback
        self._tally.callback(provider.name, spec.name, "decided" if fallback is None else "fallback")
        outcome = kind if fallback is None else f"fallback_{kind}"
        telemetry.DECISIONS.inc(provider.name, spec.name, outcome)
        rules = decision.rule_set
        count = 0 if fallback is None else self._seldom.due("fallback", provider.name, spec.name)
        say = self._log.warning if count else self._log.info  # without rules every question falls back
        say(
            "decision.made",
            provider=provider.name,
            command=spec.name,
            id=None if event is None else event.id,
            subject=None if event is None else event.subject,
            wanted=decision.wanted.kind,
            sent=kind,
            refused=len(decision.sent.refused),
            reason=decision.reason_text,
            rule=decision.reason_rule,
            rule_set=None if rules is None else f"{rules.name}@{rules.version}",
            staleness_ms=decision.staleness_ms,
            fallback=fallback,
            count=count or None,
            elapsed_us=decision.elapsed_us,
        )
