"""The path of what happened: normalize, append to the journal, acknowledge.

Acknowledged means on disk and nothing else: every other end of this path is the provider's failure answer.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from bridge.errors import LogError
from bridge.ingress.replay_guard import ReplayGuard, fingerprint
from bridge.ingress.state import IngressState
from bridge.ingress.tally import UNKNOWN, Seldom, Tally
from bridge.log.base import Record, record_of
from bridge.providers.base import Provider, Reply
from schemas.callback import Callback
from schemas.catalog import Catalog, CommandSpec, Misfit
from schemas.envelope import Envelope
from schemas.topics import UNRECOGNIZED


class Waiting:
    """One after-callback that waits for the disk; ``then`` is called with it once its append has ended.

    ``error`` says that it is not on disk, and why.
    """

    __slots__ = ("command", "error", "outcome", "provider", "started", "then")

    then: "Callable[[Waiting], None]"
    error: LogError | None

    def __init__(self, provider: Provider, command: str, outcome: str, started: float) -> None:
        self.provider, self.command, self.outcome, self.started = provider, command, outcome, started

    def done(self, _: int, error: LogError | None) -> None:
        """Go on, now that the append has ended."""
        self.error = error
        self.then(self)


class AfterPath:
    """Keeps after-callbacks, and every callback that no row knows.

    At most ``max_waiting`` wait for their turn or the disk; ``refusal`` turns away what comes beyond, so that
    questions are answered however far the disk is behind. What it let in is kept, stopping or not.
    """

    def __init__(
        self,
        catalog: Catalog,
        state: IngressState,
        tally: Tally,
        log: Any,
        guard: ReplayGuard,
        *,
        max_waiting: int,
    ) -> None:
        self._catalog, self._state, self._tally, self._log = catalog, state, tally, log
        self._guard, self._max_waiting = guard, max_waiting
        self._seldom = Seldom()

    def refusal(self, provider: Provider, command: str, crowded: bool) -> Reply | None:
        """Return the failure answer where nothing more is kept now: to be asked before a body is read.

        ``crowded`` says that the caller's connection is one more than there are places.
        """
        state = self._state
        if state.draining:
            return self._refuse(provider, command, "stopping")
        if state.journal is None or state.journal_failed:
            return self._refuse(provider, command, "journal_unusable")
        if crowded or state.waiting >= self._max_waiting:
            return self._refuse(provider, command, "overload")
        return None

    def keep(
        self,
        provider: Provider,
        spec: CommandSpec | None,
        callback: Callback,
        started: float,
        signed: str = "",
    ) -> Waiting | Reply:
        """Enter the callback into the journal's queue and return what waits, else the failure answer.

        One that was ``signed`` and is known already is answered when the first copy is, and stored once.
        """
        command = UNKNOWN if spec is None else spec.name
        state = self._state
        journal = state.journal
        if journal is None or state.journal_failed:
            return self._refuse(provider, command, "journal_unusable")
        topic, envelopes = self._events(spec, callback)
        waiting = Waiting(provider, command, "unrecognized" if topic == UNRECOGNIZED else "acked", started)
        key = fingerprint(signed, callback.body, [event.id for event in envelopes]) if signed else b""
        if key and self._guard.knows(key):
            return self._repeated(key, waiting)
        try:
            done = self._guard.remember(key, waiting.done) if key else waiting.done
            journal.submit(_records(topic, envelopes, callback), done)
        except Exception as error:
            if key:
                self._guard.forget(key)
            if isinstance(error, LogError):
                return self._not_stored(provider, command, error)
            raise
        state.waiting += 1
        return waiting

    def _repeated(self, key: bytes, waiting: Waiting) -> Waiting | Reply:
        """Answer a repeat: with the first copy, or at once where that has committed."""
        waiting.outcome = "repeated"
        if not self._guard.join(key, waiting.done):
            self._tally.callback(waiting.provider.name, waiting.command, waiting.outcome)
            return waiting.provider.ack()
        self._state.waiting += 1
        return waiting

    def finish(self, waiting: Waiting) -> Reply:
        """Return the acknowledgement of what is on disk, the failure answer of what is not."""
        self._state.waiting -= 1
        provider, command = waiting.provider, waiting.command
        if waiting.error is not None:
            return self._not_stored(provider, command, waiting.error)
        self._tally.callback(provider.name, command, waiting.outcome)
        phase = UNKNOWN if command == UNKNOWN else "after"
        self._tally.seconds(perf_counter() - waiting.started, provider.name, phase)
        return provider.ack()

    def late(self, waiting: Waiting) -> Reply:
        """Return the failure answer of what has waited too long; it may still become durable."""
        waiting.then = self._forget
        return self._refuse(waiting.provider, waiting.command, "journal_slow")

    def _forget(self, waiting: Waiting) -> None:
        """Count out an append that was answered before its end."""
        self._state.waiting -= 1
        if waiting.error is not None:
            self._state.note(waiting.error)

    def _not_stored(self, provider: Provider, command: str, error: LogError) -> Reply:
        self._state.note(error)
        return self._refuse(provider, command, "not_stored", error)

    def _events(self, spec: CommandSpec | None, callback: Callback) -> tuple[str, list[Envelope]]:
        """Return topic and events; what cannot be normalized is kept verbatim."""
        if spec is None:
            return self._verbatim(UNKNOWN, callback, "no row of the catalog knows the command")
        try:
            return spec.topic, spec.normalize(callback)
        except Misfit as error:
            return self._verbatim(spec.name, callback, f"the body does not fit its row: {error}")
        except Exception as error:  # noqa: BLE001 a bug of ours must not cost a genuine callback
            self._log.exception("callback.not_normalized", provider=callback.provider, command=spec.name)
            return self._verbatim(spec.name, callback, f"normalizing failed: {type(error).__name__}")

    def _verbatim(self, command: str, callback: Callback, reason: str) -> tuple[str, list[Envelope]]:
        event = self._catalog.unrecognized(callback, reason)
        count = self._seldom.due("unrecognized", callback.provider, command)
        if count:
            self._log.warning(
                "callback.unrecognized",
                provider=callback.provider,
                command=command,
                sent_as=ascii(callback.command[:128]),
                reason=reason,
                id=event.id,
                count=count,
            )
        return UNRECOGNIZED, [event]

    def _refuse(self, provider: Provider, command: str, outcome: str, error: LogError | None = None) -> Reply:
        self._tally.callback(provider.name, command, outcome)
        count = self._seldom.due(outcome, provider.name)
        if count:
            self._log.warning(
                "callback.refused",
                provider=provider.name,
                command=command,
                outcome=outcome,
                error=None if error is None else str(error),
                count=count,
            )
        return provider.failure(503, outcome.replace("_", " "))


def _records(topic: str, envelopes: list[Envelope], callback: Callback) -> list[Record]:
    received_ms = callback.received_ms
    return [record_of(topic, envelope, received_ms) for envelope in envelopes]
