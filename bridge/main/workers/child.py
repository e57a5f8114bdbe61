"""One process under the supervisor: started, looked at, started again when it ends, stopped in order."""

import asyncio
import signal
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from bridge.backoff import Backoff
from bridge.errors import ConfigurationError
from bridge.main.workers.looking import Look, Window
from bridge.main.workers.orders import Accept, Duty, Hurry, Order, Stop, duty_line, order_line
from bridge.main.workers.worker import MODULE
from bridge.ops.server import Part
from bridge.telemetry import WORKER_RESTARTS, logger

_LOOK_SECONDS: Final = 1.0
_START_LOOK_SECONDS: Final = 0.1
_SILENT_SECONDS: Final = 60.0
_STEADY_SECONDS: Final = 30.0
_CONFIGURATION: Final = 2
_NOT_STARTED: Final = 126
_log = logger("supervisor")


class Child:
    """A duty, and the process that does it now.

    ``changed`` is called whenever it became ready or ceased to be; ``ended`` whenever a process is gone.
    ``tried`` is set once it has started, or died, for the first time.
    """

    def __init__(self, duty: Duty, changed: Callable[[], None], ended: Callable[[str], None]) -> None:
        self.name, self._duty = duty.name, duty
        self._changed, self._ended = changed, ended
        self._window = Window(duty.ops_path)
        self._process: asyncio.subprocess.Process | None = None
        self._seen: Look | None = None
        self._backoff = Backoff(0.1, 10.0)
        self._stopping = asyncio.Event()
        self._last: Stop | Hurry | None = None
        self._deaths = 0
        self._last_words = ""
        self._failed = False
        self.tried = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether its process said, when it was looked at last, that it is ready."""
        return self._seen is not None and self._seen.ready

    @property
    def look(self) -> Look | None:
        """What was seen last of the process that runs; None when there is none, or it does not answer."""
        return self._seen

    async def run(self) -> bool:
        """Keep a process at the duty until stopped; return whether the last one ended in order.

        Raises ConfigurationError when one refuses its settings before it ever started.
        """
        while not self._stopping.is_set():
            begun = asyncio.get_running_loop().time()
            code = await self._one_life()
            if self._stopping.is_set():
                return code == 0 and not self._failed
            self._note_end(code, asyncio.get_running_loop().time() - begun)
            await self._backoff.pause(self._stopping)
            if not self._stopping.is_set():
                WORKER_RESTARTS.labels(self.name).inc()
        return not self._failed

    def accept(self, listeners: Collection[int]) -> None:
        """Let its process, and those after it, accept from exactly these listeners."""
        if self._duty.accepts != frozenset(listeners):
            self._duty = self._duty._replace(accepts=frozenset(listeners))
            self._tell(Accept(listeners))

    def stop(self, seconds: float) -> None:
        """Stop the process in order, within so many seconds, and start no other."""
        self._end(Stop(seconds))

    def hurry(self) -> None:
        """Let the process end now, whatever it is about."""
        self._end(Hurry())

    def kill(self) -> None:
        """End the process without its help."""
        self._failed = True
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def metrics(self) -> str | None:
        """Return what the process counts, None when it does not say or is gone by then."""
        process = self._process
        told = await self._window.metrics() if process is not None else None
        return told if process is self._process else None

    def part(self) -> Part:
        """Return how the process is, for operators."""
        pid = self._process.pid if self._process is not None else None
        details = {"pid": pid, "ended_in_a_row": self._deaths}
        if pid is None:
            return Part(False, f"{self._last_words}; started again soon", details=details)
        if self._seen is None:
            says = "starting" if not self._deaths else f"starting again: {self._last_words}"
            return Part(False, says, details=details)
        return Part(self.is_ready, "ready" if self.is_ready else "not ready", details=details)

    async def _one_life(self) -> int:
        """Start a process, look at it until it ends, and return its exit code."""
        try:
            self._duty.ops_path.unlink(missing_ok=True)
            process = self._process = await self._start()
        except OSError as error:  # no memory, no processes left: as if it had ended at once
            _log.error("worker.not_started", worker=self.name, reason=str(error))
            return _NOT_STARTED
        self._tell_first()
        looking = asyncio.create_task(self._keep_looking(process))
        try:
            return await process.wait()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            self._process = None
            self._note(None)
            self._ended(self.name)

    async def _start(self) -> asyncio.subprocess.Process:
        """Start it in a session of its own: a signal of the terminal reaches the supervisor alone."""
        inherited = [descriptor for each in self._duty.listeners.values() for descriptor in each]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", MODULE),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=inherited,
            start_new_session=True,
        )

    def _tell_first(self) -> None:
        """Tell the process its duty, and to end if that was said while it was being started."""
        self._write(duty_line(self._duty))
        if self._last is not None:
            self._tell(self._last)

    def _end(self, order: Stop | Hurry) -> None:
        self._last = order
        self._stopping.set()
        self._tell(order)

    def _tell(self, order: Order) -> None:
        self._write(order_line(order))

    def _write(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(ConnectionError, RuntimeError):  # it ended meanwhile: its successor is told anew
                self._process.stdin.write(line)

    async def _keep_looking(self, process: asyncio.subprocess.Process) -> None:
        """Look every second, and end a process whose loop has stood still for a minute."""
        loop = asyncio.get_running_loop()
        answered = loop.time()
        while True:
            seen = await self._window.look()
            if seen is not None:
                answered = loop.time()
            elif loop.time() - answered > _SILENT_SECONDS:
                _log.error("worker.hung", worker=self.name, pid=process.pid, seconds=_SILENT_SECONDS)
                process.kill()
                return
            self._note(seen)
            await asyncio.sleep(_LOOK_SECONDS if self.is_ready else _START_LOOK_SECONDS)

    def _note(self, seen: Look | None) -> None:
        before, self._seen = self.is_ready, seen
        if seen is not None and seen.started:
            self.tried.set()
        if before != self.is_ready:
            self._changed()

    def _note_end(self, code: int, seconds: float) -> None:
        if code == _CONFIGURATION and not self.tried.is_set():
            raise ConfigurationError(f"{self.name} refused its settings: it said why")
        if seconds > _STEADY_SECONDS:
            self._backoff.reset()
            self._deaths = 0
        self._deaths += 1
        self._last_words = f"{_how(code)}, {self._deaths} times in a row"
        _log.error(
            "worker.ended",
            worker=self.name,
            how=_how(code),
            after_seconds=round(seconds, 3),
            row=self._deaths,
        )
        self.tried.set()


def _how(code: int) -> str:
    if code == _NOT_STARTED:
        return "could not be started"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
