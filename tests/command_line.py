"""Runs ``imbridge`` commands inside the tests' own process: the same main, a hundred times sooner."""

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
import structlog

from bridge.cli import main


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return its standard output as one JSON document."""
        return orjson.loads(self.out)

    def lines(self) -> list[Any]:
        """Return its standard output as one JSON document a line."""
        return [orjson.loads(line) for line in self.out.splitlines()]


def imbridge(*words: str, env: Mapping[str, str]) -> Said:
    """Run a command with ``env`` as its whole environment and return how it ended. It may not stay."""
    out, err = io.BytesIO(), io.BytesIO()
    with _in_place(["imbridge", *words], env, out, err):
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return Said(code, out.getvalue().decode(), err.getvalue().decode())


@contextmanager
def _in_place(words: list[str], env: Mapping[str, str], out: io.BytesIO, err: io.BytesIO) -> Iterator[None]:
    before = sys.argv, sys.stdout, sys.stderr, dict(os.environ)
    logging = structlog.get_config() if structlog.is_configured() else None
    sys.argv = words
    sys.stdout = io.TextIOWrapper(out, "utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(err, "utf-8", write_through=True)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        sys.stdout.detach()
        sys.stderr.detach()
        sys.argv, sys.stdout, sys.stderr = before[:3]
        os.environ.clear()
        os.environ.update(before[3])
        structlog.configure(**logging) if logging else structlog.reset_defaults()
