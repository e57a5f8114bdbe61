"""``imbridge normalize``: what a captured request would become. Nothing is stored and no door is asked."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer

from bridge.cli.output import print_bytes
from bridge.cli.state import settings
from bridge.errors import CallbackError, UsageError
from bridge.ingress.routes import Routes
from bridge.ingress.target import read_target
from bridge.log.clock import HybridClock
from bridge.main.opening import open_doors
from schemas.callback import Callback
from schemas.catalog import Catalog, Misfit

_COMMAND_KEYS = {
    "CallbackCommand": "/?SdkAppid={app}&CallbackCommand={command}",
    "callbackCommand": "/{command}",
}


class Captured(NamedTuple):
    """One request: its target with query, its headers, its body."""

    target: str
    headers: Mapping[str, str]
    body: bytes


def normalize(
    files: Annotated[
        list[Path], typer.Argument(help="Captured requests or bare bodies; - for standard input.")
    ],
    target: Annotated[
        str | None, typer.Option(help="For bare bodies: the path and query they arrived at.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line per event.")] = False,
) -> None:
    """Print the events, or the question, that captured requests would become.

    A captured request is a JSON object with target, headers and body, as in tests/samples; anything else is
    taken as a bare body, whose own command names the provider unless --target is given.
    """
    doors, catalog, clock = Routes(open_doors(settings())), Catalog.load(), HybridClock()
    for file in files:
        content = sys.stdin.buffer.read() if str(file) == "-" else _read(file)
        callback = _callback(doors, _captured(content, target), clock.tick(), str(file))
        for line in _outcome(catalog, callback):
            print_bytes(line if as_json else orjson.dumps(orjson.loads(line), option=orjson.OPT_INDENT_2))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _captured(content: bytes, target: str | None) -> Captured:
    parsed = _parsed(content)
    if isinstance(parsed.get("target"), str):
        body = parsed.get("body")
        raw = body.encode() if isinstance(body, str) else orjson.dumps(body)
        headers = {str(name).lower(): str(text) for name, text in (parsed.get("headers") or {}).items()}
        return Captured(parsed["target"], headers, raw)
    return Captured(target or _target_of(parsed), {}, content)


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _target_of(body: Mapping[str, Any]) -> str:
    for key, form in _COMMAND_KEYS.items():
        if isinstance(body.get(key), str):
            return form.format(app="0", command=body[key])
    raise UsageError(
        "the body names no command: say with --target where it arrived, e.g. --target /tencent?..."
    )


def _callback(doors: Routes, captured: Captured, moment: int, name: str) -> Callback:
    segments, query = read_target(captured.target)
    found = doors.find(segments, query, captured.headers)
    if found is None:
        raise UsageError(f"{name}: no provider answers at {captured.target}")
    provider, raw = found
    try:
        request = provider.authenticate(raw)
    except CallbackError as error:
        raise UsageError(f"{name}: {error}") from error
    return provider.parse(request, captured.body, moment)


def _outcome(catalog: Catalog, callback: Callback) -> Iterator[bytes]:
    spec = catalog.find(callback.provider, callback.command)
    if spec is None:
        yield catalog.unrecognized(callback, "no row of the catalog knows the command").structured()
        return
    try:
        if spec.phase == "before":
            question = spec.question(callback)
            asked = {"act": question.act, "subject": question.subject, "partial": question.partial}
            yield orjson.dumps(
                {"question": asked | {"members": question.members, "data": dict(question.data)}}
            )
        else:
            yield from (envelope.structured() for envelope in spec.normalize(callback))
    except Misfit as error:
        yield catalog.unrecognized(callback, f"the body does not fit its row: {error}").structured()
