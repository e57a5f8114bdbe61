"""Child processes on a leash, free ports, and the error that says that a part cannot be had here."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

Command = Sequence[str | Path]
LEASH = Path(__file__).with_name("leash.py")


class PartMissing(Exception):
    """A real part cannot be had on this machine; the message says what was tried."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 that nobody listens on now."""
    with ExitStack() as bound:
        probes = [bound.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def run(command: Command, seconds: float, *, user: int | None = None) -> str:
    """Run a command to its end and return what it printed. Raises PartMissing."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            text=True,
            errors="replace",
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PartMissing(f"{Path(command[0]).name}: {error}") from error
    if done.returncode:
        raise PartMissing(f"{Path(command[0]).name} ended with {done.returncode}: {done.stdout[-600:]}")
    return done.stdout


class Server:
    """One server process on a leash, its output in a file. It ends with this process, however that ends."""

    def __init__(
        self, command: Command, output: Path, *, user: int | None = None, ask: str = "SIGTERM"
    ) -> None:
        self._output = output
        with output.open("ab") as sink:
            self._from = sink.tell()
            self._leash = subprocess.Popen(
                [sys.executable, "-I", "-S", LEASH, ask, str(user or "-"), *command],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=sink,
            )

    def said(self) -> str:
        """Return what the server has printed since this start."""
        with self._output.open("rb") as text:
            text.seek(self._from)
            return text.read().decode(errors="replace")

    def wait_until(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Return once the server is ready. Raises PartMissing with the end of its output otherwise."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            if self._leash.poll() is not None:
                raise PartMissing(f"the server ended with {self._leash.returncode}: {self.said()[-1500:]}")
            if time.monotonic() > deadline:
                self.end(kill=True)
                raise PartMissing(f"the server was not ready after {seconds} s: {self.said()[-1500:]}")
            time.sleep(0.02)

    def suspend(self) -> None:
        """Stop the server in its tracks (SIGSTOP): its sockets stay open and nobody answers."""
        self._order(b"suspend\n")

    def resume(self) -> None:
        """Let a suspended server go on."""
        self._order(b"resume\n")

    def _order(self, order: bytes) -> None:
        assert self._leash.stdin is not None
        self._leash.stdin.write(order)
        self._leash.stdin.flush()

    def end(self, *, kill: bool = False) -> None:
        """End the server, orderly or without warning, and wait for that. Ending it twice is fine."""
        if self._leash.stdin is not None and not self._leash.stdin.closed:
            try:
                self._leash.stdin.write(b"kill\n" if kill else b"stop\n")
                self._leash.stdin.close()
            except BrokenPipeError:  # it ended by itself
                pass
        self._leash.wait()
