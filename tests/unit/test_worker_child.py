"""One supervised process: what cannot be started, what ends at once, what is told of it."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from bridge.backoff import Backoff
from bridge.config import Settings, TencentSettings
from bridge.errors import ConfigurationError
from bridge.main.service import Role
from bridge.main.workers.child import Child
from bridge.main.workers.looking import Window
from bridge.main.workers.orders import Accept, Duty, Hurry, Stop, duty_line, order_line, read_duty, read_order
from bridge.main.workers.supervisor import Supervisor


def made(place: Path, ended: Callable[[str], None] = lambda _: None) -> Child:
    roles = frozenset({Role.INGRESS})
    duty = Duty("worker 1", roles, Settings(data_dir=place), place / "ops", {}, frozenset({1}))
    return Child(duty, lambda: None, ended)


@pytest.fixture
def worker_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script where the worker's Python is looked for; gives its place."""

    def put(script: str) -> Path:
        place = tmp_path / "worker"
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(place))
        return place

    return put


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 another process changes it
            await asyncio.sleep(0.01)


async def test_a_process_that_cannot_be_started_is_tried_again_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing-here"))
    child = made(tmp_path)
    with capture_logs() as said:
        task = asyncio.create_task(child.run())
        await until(lambda: child.part().details["ended_in_a_row"] == 2)
        assert child.part().says.startswith("could not be started, 2 times in a row")
        assert child.tried.is_set()
        assert not child.is_ready
        child.stop(1.0)
        await task
    assert [each["event"] for each in said if each["event"] == "worker.not_started"]


async def test_settings_that_are_refused_before_the_first_start_are_raised(
    tmp_path: Path, worker_does: Callable[[str], Path]
) -> None:
    worker_does("exit 2")
    ended: list[str] = []
    with pytest.raises(ConfigurationError, match="worker 1 refused its settings"):
        await made(tmp_path, ended.append).run()
    assert ended == ["worker 1"]


async def test_waits_between_starts_grow_and_a_stop_ends_them(
    tmp_path: Path, worker_does: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_does("exit 7")
    waited: list[float] = []
    real = Backoff.next_delay

    def at_once(backoff: Backoff) -> float:
        waited.append(real(backoff))
        return 0.0

    monkeypatch.setattr(Backoff, "next_delay", at_once)
    child = made(tmp_path)
    task = asyncio.create_task(child.run())
    await until(lambda: len(waited) > 8)
    child.stop(1.0)
    await task
    assert max(waited[:2]) <= 0.2
    assert max(waited) > 10 * waited[0]
    assert max(waited) <= 10.0


async def test_a_stop_while_the_process_is_being_started_is_told_behind_its_duty(
    tmp_path: Path, worker_does: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_does("read duty; read order; echo $order > $0.told")
    starting = asyncio.create_subprocess_exec
    child = made(tmp_path)

    async def start(*words: str, **options: Any) -> asyncio.subprocess.Process:
        process = await starting(*words, **options)
        child.stop(1.5)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    async with asyncio.timeout(20):
        assert await child.run()
    assert worker.with_suffix(".told").read_bytes() == order_line(Stop(1.5))


async def test_what_a_process_counted_is_not_told_once_it_is_gone(
    tmp_path: Path, worker_does: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_does("read duty; read order")
    answered = asyncio.Event()

    async def late(_: Window) -> str:
        await answered.wait()
        return "counted_total 1.0"

    monkeypatch.setattr(Window, "metrics", late)
    child = made(tmp_path)
    task = asyncio.create_task(child.run())
    await until(lambda: child.part().details["pid"])
    asking = asyncio.create_task(child.metrics())
    await asyncio.sleep(0)
    child.stop(1.0)
    await task
    answered.set()
    assert await asking is None


async def test_what_one_process_counted_is_kept_before_another_has_answered(tmp_path: Path) -> None:
    supervisor = Supervisor(Settings(data_dir=tmp_path), frozenset({Role.INGRESS}), 1)
    quick, slow = Told("worker 1", "counted_total 5.0"), Told("worker 2", "counted_total 1.0")
    quick.answers.set()
    supervisor._workers = cast("dict[int, Child]", {1: quick, 2: slow})
    scraping = asyncio.create_task(supervisor._scrape())
    await until(quick.asked.is_set)
    supervisor._merging.ended("worker 1")
    slow.answers.set()
    await scraping
    quick.says = quick.says.replace("5.0", "2.0")  # its successor's
    assert b"counted_total 8.0" in await supervisor.metrics()


class Told:
    """A process that tells what it counted when it is let."""

    def __init__(self, name: str, says: str) -> None:
        self.name, self.says = name, f"# TYPE counted_total counter\n{says}\n"
        self.answers, self.asked = asyncio.Event(), asyncio.Event()

    async def metrics(self) -> str:
        await self.answers.wait()
        self.asked.set()
        return self.says


def test_what_is_told_is_read_as_it_was_said(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, tencent=TencentSettings(tokens=(SecretStr("hush"),)))
    duty = Duty("worker 2", frozenset({Role.RELAY}), settings, tmp_path / "ops", {1: (7, 8)}, frozenset({1}))
    line = duty_line(duty)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_duty(line) == duty
    assert read_duty(line).settings.tencent.tokens[0].get_secret_value() == "hush"
    for order in (Accept(frozenset({1, 3})), Accept(frozenset()), Stop(2.5), Hurry()):
        assert read_order(order_line(order)) == order
