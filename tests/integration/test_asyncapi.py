"""The AsyncAPI document, read by the parser of the AsyncAPI project (npm)."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from schemas.__main__ import ASYNCAPI

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "asyncapi"
INSTALL_SECONDS, CHECK_SECONDS = 100, 60


@pytest.fixture(scope="module")
def parser() -> Path:
    """The folder of the parser, installed once from the lock file."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("AsyncAPI IS NOT CHECKED: node and npm are needed for its parser")
    lock = (SOURCE / "package-lock.json").read_bytes()
    place = ROOT / "build" / "asyncapi" / hashlib.sha256(lock).hexdigest()[:12]
    place.mkdir(parents=True, exist_ok=True)
    with (place / "install.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (place / "installed").exists():
            _install(place)
    shutil.copy(SOURCE / "check.mjs", place)
    return place


def _install(place: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, place)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode != 0:
        says = f"AsyncAPI IS NOT CHECKED: its parser cannot be installed: {done.stderr[-2000:]}"
        pytest.fail(says, pytrace=False) if os.environ.get("CI") else pytest.skip(says)
    (place / "installed").touch()


def findings(parser: Path, document: Path) -> list[str]:
    command = ["node", "check.mjs", str(document)]
    done = subprocess.run(
        command, cwd=parser, capture_output=True, text=True, timeout=CHECK_SECONDS, check=True
    )
    return done.stdout.splitlines()


def test_the_document_of_the_topics_is_valid(parser: Path) -> None:
    *found, verdict = findings(parser, ASYNCAPI)
    assert [line for line in found if line.startswith("error")] == []
    assert verdict.endswith(" messages")
    assert verdict != "0 messages"


def test_the_parser_tells_a_document_that_is_not_valid(parser: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "asyncapi.yaml"
    damaged.write_text(ASYNCAPI.read_text().replace("#/components/messages/im.", "#/components/messages/no."))
    *found, verdict = findings(parser, damaged)
    assert [line for line in found if line.startswith("error")]
    assert verdict == "invalid"
