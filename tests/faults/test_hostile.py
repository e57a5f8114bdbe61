"""Hostile callers: every answer is one, every connection ends, memory is bounded, others are served."""

import asyncio
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.calls import fixed_ports, send
from tests.faults.hostile import (
    ATTACKS,
    CAP,
    TARGETS,
    Attack,
    answers_in,
    attack,
    complaint,
    head,
    spoilt,
    whole,
)
from tests.faults.kit import assert_kept, assert_legal, calling, metric
from tests.faults.scale import chance, scaled
from tests.faults.shim import Shim
from tests.integration.callers import TENCENT_OK, tencent_invite
from tests.process_kit import Bridge, running, until

LIMIT_SECONDS = 20.0
"""In which every connection has its next answer or its end; the bridge's own limits add up to less."""

MEMORY_MB = 96.0
SETTINGS = {
    "INGRESS__BODY_BYTES": str(CAP),
    "INGRESS__BODY_SECONDS": "1",
    "INGRESS__KEEPALIVE_SECONDS": "1",
    "INGRESS__MAX_WAITING": "16",
    "INGRESS__BUFFER_BYTES": str(16 << 20),
}


def memory_mb(bridge: Bridge, which: str = "VmHWM") -> float:
    """Return the most memory the process has taken so far."""
    lines = Path(f"/proc/{bridge.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


def sockets(bridge: Bridge) -> int:
    """Return how many sockets the process has open."""
    found = 0
    for each in Path(f"/proc/{bridge.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += each.readlink().name.startswith("socket:")
    return found


def address_of(bridge: Bridge) -> tuple[str, int]:
    """Return where callbacks arrive."""
    url = urlsplit(bridge.ingress)
    assert url.hostname
    assert url.port
    return url.hostname, url.port


async def outcome(address: tuple[str, int], attacked: Attack, *, patient: bool) -> str:
    """Carry an attack out and return what is wrong with what came back, empty where nothing is.

    The ``patient`` wait for the end of the connection, the others say that they have no more to send.
    """
    reader, writer = await asyncio.open_connection(*address)
    received = b""
    try:
        with suppress(ConnectionError):
            for piece in attacked.pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            if not patient:
                writer.write_eof()
            while data := await asyncio.wait_for(reader.read(65536), LIMIT_SECONDS):
                received += data
    except TimeoutError:
        return f"{attacked.name}: hung, with {received[:200]!r}"
    finally:
        writer.transport.abort()
    try:
        complaints = [
            complaint(attacked, answer) for answer in answers_in(received, head_only=attacked.head_only)
        ]
    except (ValueError, KeyError) as error:
        return f"{attacked.name}: {error!r} in {received[:500]!r}"
    return "; ".join(f"{attacked.name}: {one}" for one in complaints if one)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with running("ingress", data_dir=tmp_path_factory.mktemp("hostile") / "data", **SETTINGS) as bridge:
        yield bridge


async def test_every_kind_of_attack_is_answered_or_ended(bridge: Bridge) -> None:
    before = sockets(bridge)
    attacks = [attack(name, chance(f"{name} {turn}")) for name in ATTACKS for turn in range(4)]
    said = await asyncio.gather(*(outcome(address_of(bridge), one, patient=True) for one in attacks))
    assert not any(said), [one for one in said if one]
    until(lambda: sockets(bridge) <= before, "every connection has ended")


def never_read(held: socket.socket) -> None:
    """Ask again and again, never too far ahead, until nothing more is taken; read nothing."""
    held.settimeout(0.5)
    with suppress(OSError):
        for _ in range(1000):
            held.sendall(head(TARGETS[0]._replace(url="/nowhere")) * 24)
            time.sleep(0.01)


HELD: dict[str, Callable[[socket.socket], None]] = {
    "silent from the start": lambda _: None,
    "slow heads": lambda held: held.sendall(b"POST / HTTP/1.1\r\nX-A: "),
    "slow bodies": lambda held: held.sendall(head(TARGETS[0], "Content-Length: 100") + b"{"),
    "slow questions": lambda held: held.sendall(head(TARGETS[1], "Content-Length: 100") + b"{"),
    "silent after an answer": lambda held: held.sendall(whole(TARGETS[1])),
    "never reading": never_read,
}


@pytest.mark.parametrize("kind", HELD)
def test_callers_that_hold_on_are_let_go_while_others_are_answered(bridge: Bridge, kind: str) -> None:
    before, start_mb, count = sockets(bridge), memory_mb(bridge), 1 if kind == "never reading" else 100
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.connect(address_of(bridge))
        until(lambda: sockets(bridge) >= before + count, "they are connected")
        threads = [threading.Thread(target=HELD[kind], args=(each,)) for each in held]
        for thread in threads:
            thread.start()
        assert_answers(bridge)
        for thread in threads:
            thread.join()
        until(lambda: sockets(bridge) <= before, "everyone is let go", LIMIT_SECONDS)
    finally:
        for each in held:
            each.close()
    assert memory_mb(bridge) - start_mb < MEMORY_MB


def test_what_arrives_by_halves_is_bounded_in_memory(bridge: Bridge) -> None:
    start_mb, before = memory_mb(bridge), sockets(bridge)
    held = [socket.create_connection(address_of(bridge)) for _ in range(600)]
    try:
        for each in held:
            with suppress(ConnectionError):
                each.sendall(head(TARGETS[0], f"Content-Length: {CAP}") + b"x" * (CAP - 1))
        assert_answers(bridge)
        until(lambda: metric(bridge, "imbridge_callbacks_total", outcome="too_slow") > 0, "slow bodies end")
    finally:
        for each in held:
            each.close()
    print(f"600 bodies of {CAP} bytes: {memory_mb(bridge) - start_mb:.0f} MB more")
    assert memory_mb(bridge) - start_mb < MEMORY_MB
    until(lambda: sockets(bridge) <= before, "every connection has ended")


def assert_answers(bridge: Bridge) -> None:
    """Fail unless a question is answered at once."""
    begun = time.monotonic()
    assert send(bridge, tencent_invite("hostile", "ada")) == (200, TENCENT_OK)
    assert time.monotonic() - begun < 1.0


class Fuzz(threading.Thread):
    """Spoilt requests over many connections at once, until there were ``count``, or ``stop``."""

    def __init__(self, address: tuple[str, int], count: int, seed: random.Random) -> None:
        super().__init__()
        self._address, self.left, self._seed = address, count, seed
        self.complaints: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.refused_connections = 0
        self.is_killing = False

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        await asyncio.gather(*(self._caller() for _ in range(48)))

    async def _caller(self) -> None:
        while self.left > 0:
            self.left -= 1
            attacked = spoilt(self._seed)
            killed = self.is_killing
            try:
                said = await outcome(self._address, attacked, patient=self._seed.random() < 0.02)
            except OSError:
                self.refused_connections += 1
                self.left += 1
                await asyncio.sleep(0.1)
                continue
            self.kinds[attacked.name] += 1
            if said and not (killed or self.is_killing):
                self.complaints.append(said)


@contextmanager
def fuzzing(bridge: Bridge, count: int) -> Iterator[Fuzz]:
    """Yield a fuzz at work; it ends with the block."""
    fuzz = Fuzz(address_of(bridge), count, chance("fuzz"))
    fuzz.start()
    try:
        yield fuzz
    finally:
        fuzz.left = 0
        fuzz.join()


def test_a_fuzz_under_slow_syncs_a_full_line_and_a_kill_harms_nobody_else(tmp_path: Path, shim: Shim) -> None:
    count, data_dir = scaled(10_000, 100_000), tmp_path / "data"
    settings = {**SETTINGS, **fixed_ports()}
    with shim.around():
        first = Bridge("ingress", data_dir=data_dir, **settings)
    second = None
    try:
        first.until_started()
        before = sockets(first)
        with (
            calling(first.ingress, tmp_path, "--before", "0.3", rate=20, seconds=600) as load,
            fuzzing(first, count) as fuzz,
        ):
            load.until_acknowledged(20)
            shim.slow_down("/journals/", 15)
            until(lambda: fuzz.left < count * 0.6, "the fuzz goes on", 300)
            fuzz.is_killing = True
            first.kill()
            with shim.around():
                second = Bridge("ingress", data_dir=data_dir, **settings)
            second.until_started()
            start_mb = memory_mb(second)
            time.sleep(0.5)  # for what began before the kill to have met it
            fuzz.is_killing = False
            load.until_acknowledged(20)
            until(lambda: fuzz.left <= 0, "the fuzz is over", 600)
            fuzz.join()
            refused = metric(second, "imbridge_callbacks_total", outcome="overload")
            reports = load.stop()
        until(lambda: sockets(second) <= before, "every connection has ended", LIMIT_SECONDS)
        print(
            f"{sum(fuzz.kinds.values())} requests, {refused} refused, {fuzz.refused_connections} met nobody"
        )
        print(f"peak memory {memory_mb(second):.0f} MB, {memory_mb(second) - start_mb:.0f} MB of it new")
        assert not fuzz.complaints, fuzz.complaints[:10]
        assert_legal(reports)
        assert memory_mb(second) - start_mb < MEMORY_MB
        assert second.stop() == 0
    finally:
        first.end()
        if second is not None:
            second.end()
    assert_kept(load.ledgers, data_dir)
