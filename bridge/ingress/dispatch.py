"""From an HTTP request to its answer, whatever happens: the table of answers, free of the HTTP library.

``open`` looks at method, target and headers, before a byte of the body is read; ``answer`` takes the body;
``unread`` answers where it cannot be had.
"""

from time import perf_counter
from typing import Any, Final, NamedTuple

from multidict import MultiMapping

from bridge import telemetry
from bridge.errors import CallbackError, Unauthenticated, UnknownPath
from bridge.ingress.after import AfterPath, Waiting
from bridge.ingress.before import BeforePath
from bridge.ingress.routes import Routes
from bridge.ingress.sources import SourceGate
from bridge.ingress.tally import UNKNOWN, Seldom, Tally
from bridge.ingress.target import read_target
from bridge.log.clock import HybridClock
from bridge.providers.base import AuthenticRequest, Provider, RawRequest, Reply, failure_for_both
from schemas.callback import Callback
from schemas.catalog import Catalog, CommandSpec
from schemas.named import make

BAD_REQUEST: Final = failure_for_both(400, "bad request")
NOT_FOUND: Final = failure_for_both(404, "unknown path")
POST_ONLY: Final = failure_for_both(405, "callbacks arrive by POST")
OVERLOAD: Final = failure_for_both(503, "overload")
INTERNAL: Final = failure_for_both(503, "internal error")
_UNREAD: Final = {413: "too_large", 408: "too_slow", 503: "overload"}


class Opened(NamedTuple):
    """A request that passed the door.

    ``spec`` is None while the URL alone does not name a known command; ``is_question`` says that it names one
    of a before-callback.
    """

    provider: Provider
    request: AuthenticRequest
    spec: CommandSpec | None
    is_question: bool


class Dispatch:
    """Answers requests. Nothing here raises but cancellation: a bug of ours is answered, too."""

    def __init__(
        self,
        catalog: Catalog,
        routes: Routes,
        sources: SourceGate,
        clock: HybridClock,
        before: BeforePath,
        after: AfterPath,
        tally: Tally,
        log: Any,
    ) -> None:
        self._catalog, self._routes, self._sources, self._clock = catalog, routes, sources, clock
        self._before, self._after = before, after
        self._tally, self._log = tally, log
        self._seldom = Seldom()

    def open(
        self, method: str, target: str, headers: MultiMapping[str], peer: str, crowded: bool
    ) -> Opened | Reply:
        """Return the request once it passed the door and has a place, else the answer that ends it.

        ``peer`` is the address at the other end of the connection; ``crowded`` says that there is a place for
        questions alone.
        """
        if method != "POST":
            return self._end(POST_ONLY, "method")
        segments, query = read_target(target)
        found = self._routes.find(segments, query, headers)
        if found is None:
            return self._end(NOT_FOUND, "path")
        provider, raw = found
        return self._authenticate(provider, raw, headers, peer, crowded)

    def answer(self, opened: Opened, body: bytes) -> Reply | Waiting:
        """Return the answer to a request whose body has arrived, or what waits for the disk."""
        started = perf_counter()
        provider, request, spec, _ = opened
        try:
            callback = provider.parse(request, body, self._clock.tick())
            if spec is None:
                spec, callback = self._named_by_body(provider, callback)
                is_question = spec is not None and spec.phase == "before"
                refused = None if is_question else self._after.refusal(provider, _name(spec), crowded=False)
                if refused is not None:
                    return refused
            if spec is None or spec.phase == "after":
                return self._after.keep(provider, spec, callback, started, request.signed)
            reply = self._before.answer(provider, spec, callback)
        except Exception as error:  # noqa: BLE001 the caller gets a legal answer whatever we got wrong
            return self._failed(provider, spec, error)
        self._tally.seconds(perf_counter() - started, provider.name, spec.phase)
        return reply

    def stored(self, waiting: Waiting) -> Reply:
        """Return the answer to what waited, now that its append is done or has failed. Call it once."""
        try:
            return self._after.finish(waiting)
        except Exception as error:  # noqa: BLE001 the caller gets a legal answer whatever we got wrong
            return self._failed(waiting.provider, None, error)

    def late(self, waiting: Waiting) -> Reply:
        """Return the answer to what has waited for the disk too long."""
        return self._after.late(waiting)

    def unread(self, opened: Opened, error: CallbackError) -> Reply:
        """Return the answer to a request whose body cannot be had: too large, too slow, cut off."""
        provider, _, spec, _ = opened
        if spec is not None and spec.phase == "before":
            return self._before.fall_back(provider, spec, str(error))
        outcome = _UNREAD.get(error.status, "cut_off")
        self._tally.callback(provider.name, _name(spec), outcome)
        self._note("callback.unread", provider.name, outcome, error=str(error))
        return provider.failure(error.status, str(error))

    def unparseable(self, error: Exception) -> Reply:
        """Return the answer to what is no HTTP request. Its text is not logged: secrets travel in URLs."""
        return self._end(BAD_REQUEST, "http", error=type(error).__name__)

    def overloaded(self) -> Reply:
        """Return the answer to what there is no memory for before it is known what it is."""
        return self._end(OVERLOAD, "overload")

    def _authenticate(
        self, provider: Provider, raw: RawRequest, headers: MultiMapping[str], peer: str, crowded: bool
    ) -> Opened | Reply:
        try:
            self._sources.check(provider.name, peer, headers)
            request = provider.authenticate(raw)
        except Unauthenticated as error:
            telemetry.DOOR_REFUSALS.labels(provider.name, error.reason).inc()
            self._note("door.refused", provider.name, error.reason, error=str(error))
            return provider.failure(error.status, f"forbidden: {error.reason}")
        except UnknownPath as error:
            return self._end(provider.failure(error.status, "unknown path"), "path", provider.name)
        except Exception as error:  # noqa: BLE001 the caller gets a legal answer whatever we got wrong
            return self._failed(provider, None, error)
        spec = None if request.command is None else self._catalog.find(provider.name, request.command)
        is_question = spec is not None and spec.phase == "before"
        if crowded or (spec is not None and not is_question):
            refused = None if is_question else self._after.refusal(provider, _name(spec), crowded)
            if refused is not None:
                return refused
        return make(Opened, (provider, request, spec, is_question))

    def _named_by_body(self, provider: Provider, callback: Callback) -> tuple[CommandSpec | None, Callback]:
        """Return the command the body names, where the URL names none that is known."""
        command = provider.command_in(callback.json)
        spec = None if command is None else self._catalog.find(provider.name, command)
        if command is None or spec is None:
            return None, callback
        return spec, callback._replace(command=command)

    def _failed(self, provider: Provider, spec: CommandSpec | None, error: Exception) -> Reply:
        self._log.error("callback.failed", provider=provider.name, exc_info=error)
        if spec is not None and spec.phase == "before":
            return self._before.fall_back(provider, spec, f"answering failed: {type(error).__name__}")
        self._tally.callback(provider.name, _name(spec), "failed")
        return provider.failure(503, "internal error")

    def _end(self, reply: Reply, outcome: str, provider: str = UNKNOWN, **more: Any) -> Reply:
        self._tally.callback(provider, UNKNOWN, f"bad_{outcome}")
        self._note("request.refused", provider, outcome, status=reply.status, **more)
        return reply

    def _note(self, event: str, provider: str, reason: str, **more: Any) -> None:
        """Log one line per reason and ten seconds, with how many there were."""
        count = self._seldom.due(event, provider, reason)
        if count:
            self._log.warning(event, provider=provider, reason=reason, count=count, **more)


def _name(spec: CommandSpec | None) -> str:
    return UNKNOWN if spec is None else spec.name
