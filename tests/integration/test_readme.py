"""The README's sixty seconds, walked as written in a fresh clone.

Under CI everything is set up anew there, as for somebody who just cloned it; elsewhere, to be quick, the
clone is given the environment that runs these tests.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from tests.parts.process import free_ports
from tests.process_kit import until

ROOT = Path(__file__).parents[2]
SECTION = "## Sixty seconds"
SET_UP_SECONDS = 200
LOOK_SECONDS = 20


class Step(NamedTuple):
    """A command of the README and the lines it says follow."""

    command: str
    wanted: list[str]


def shell_blocks() -> list[str]:
    """Return the shell blocks of the section, as written."""
    section = (ROOT / "README.md").read_text().partition(f"\n{SECTION}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def steps(block: str) -> Iterator[Step]:
    """Yield each command with the comment lines below it."""
    for part in re.split(r"\n(?!#)", block.strip()):
        command, *comments = part.split("\n")
        yield Step(command, [line.removeprefix("#").strip() for line in comments])


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The last commit in a directory of its own."""
    place = tmp_path / "imbridge"
    cloned = subprocess.run(
        ["git", "clone", "-q", str(ROOT), str(place)], capture_output=True, text=True, check=False
    )
    if cloned.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"no checkout to clone: {cloned.stderr.strip()}"
        )
    if not os.environ.get("CI"):
        (place / ".venv").mkdir()
        (place / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
        (place / ".venv" / ".runtime").touch()
    return place


@pytest.fixture
def env(clone: Path) -> dict[str, str]:
    """The environment of somebody who never heard of this project; other ports where the usual are taken."""
    ours = ("IMBRIDGE_", "VIRTUAL_ENV", "PYTHON", "MAKE")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    if not os.environ.get("CI"):
        env["PYTHONPATH"] = str(clone)
    ports = [8080, 8081]
    if not all(map(is_free, ports)):
        ports = free_ports(2)
    return env | {"IMBRIDGE_INGRESS__PORT": str(ports[0]), "IMBRIDGE_OPS__PORT": str(ports[1])}


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextmanager
def first_terminal(command: str, clone: Path, env: dict[str, str]) -> Iterator[Path]:
    """Run the command as in a terminal of its own; yield the file with what it prints."""
    shown = clone / "first-terminal"
    with shown.open("wb") as sink:
        terminal = subprocess.Popen(
            ["sh", "-c", command],
            cwd=clone,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:

        def listens() -> bool:
            assert terminal.poll() is None, shown.read_text()
            return "Stop with Ctrl-C" in shown.read_text()

        until(listens, "it says where it listens", SET_UP_SECONDS)
        yield shown
        os.kill(bridge_pid(clone), signal.SIGTERM)
        assert terminal.wait(30) == 0
    finally:
        if terminal.poll() is None:
            os.killpg(terminal.pid, signal.SIGKILL)
            terminal.wait()


def bridge_pid(clone: Path) -> int:
    """Return the process that holds the journal."""
    return int((clone / "data" / "journals" / "0001" / "lock").read_text())


def walk(step: Step, clone: Path, env: dict[str, str]) -> None:
    """Run the command until it prints what the README says; a row is there a moment later."""
    command = step.command.replace("127.0.0.1:8080", f"127.0.0.1:{env['IMBRIDGE_INGRESS__PORT']}")
    printed = ""

    def says_so() -> bool:
        nonlocal printed
        done = subprocess.run(
            ["sh", "-c", command], cwd=clone, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        printed = done.stdout
        return done.returncode == 0 and all(is_said(line, printed) for line in step.wanted)

    try:
        until(says_so, f"{command!r} prints {step.wanted}", LOOK_SECONDS)
    except AssertionError as missed:
        raise AssertionError(f"{missed}\nit printed:\n{printed}") from None


def is_said(wanted: str, printed: str) -> bool:
    """Say whether the output is that JSON, or holds what the comment lists behind its colon."""
    if wanted.startswith("{"):
        return bool(orjson.loads(printed) == orjson.loads(wanted))
    listed = wanted.rpartition(": ")[2]
    return all(each in printed for each in listed.split(", "))


@pytest.mark.slow
@pytest.mark.timeout(SET_UP_SECONDS + 60)
def test_the_sixty_seconds_go_as_written(clone: Path, env: dict[str, str]) -> None:
    assert shutil.which("curl"), "the README's calls are curl's"
    start, second_terminal = shell_blocks()
    walked = list(steps(second_terminal))
    assert len(walked) >= 3
    assert all(step.wanted for step in walked)
    with first_terminal(start, clone, env):
        for step in walked:
            walk(step, clone, env)
