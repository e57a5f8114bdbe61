"""Runs one load in a process of its own, on the cores the server does not have: wrk, else our generator."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.cores import other_cores, pinned
from tests.bench.load import Figures, Load
from tests.bench.traffic import Kind, Traffic

_POST = Path(__file__).with_name("post.lua")
_GRACE_SECONDS = 30.0


def generator() -> str:
    """Return which generator closed loops use here."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def generate(port: int, run: int, load: Load, *, kind: Kind = "joined", ours: bool = False) -> Figures:
    """Send the load and return what came back. A load with a rate is always sent by our generator.

    Raises RuntimeError with the generator's own words when it fails.
    """
    with tempfile.TemporaryDirectory(prefix="imbridge-bench-") as place:
        is_ours = ours or load.rate is not None or generator() != "wrk"
        return _figures(
            _ours(port, run, load, kind) if is_ours else _wrk(port, run, load, kind, Path(place)),
            load.seconds,
        )


def _ours(port: int, run: int, load: Load, kind: Kind) -> list[str]:
    command = [sys.executable, "-m", "tests.bench.load", str(port), "--run", str(run), "--kind", kind]
    command += ["--connections", str(load.connections), "--seconds", str(load.seconds)]
    command += [] if load.rate is None else ["--rate", str(load.rate)]
    return command if load.requests is None else [*command, "--requests", str(load.requests)]


def _wrk(port: int, run: int, load: Load, kind: Kind, place: Path) -> list[str]:
    traffic = Traffic(port, run, kind)
    template = place / "request"
    template.write_text(traffic.template)
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(load.seconds))}s", "-s", str(_POST)]
    target = f"http://127.0.0.1:{port}/"
    return [*command, target, "--", str(template), str(traffic.first), str(traffic.since)]


def _figures(command: list[str], seconds: float) -> Figures:
    with pinned(other_cores()):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = child.communicate(timeout=seconds + _GRACE_SECONDS)
    finally:
        child.kill()
        child.wait()
    try:
        return Figures(**json.loads(said.rstrip().rsplit("\n", 1)[-1]))
    except (ValueError, TypeError) as error:
        raise RuntimeError(f"{command[0]} gave no figures: {said[-1000:]}") from error
