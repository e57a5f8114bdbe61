"""What ``imbridge run`` prints at its start: where it listens, which rules answer, and calls to paste."""

import shlex
from collections.abc import Iterator

import orjson

from bridge.config import Settings
from bridge.main.doors import doors
from bridge.main.service import Started
from schemas.catalog import Catalog, CommandSpec

_SHOWN = (
    "im.group.created.v1",
    "im.group.member.joined.v1",
    "im.group.member.updated.v1",
    "im.group.invite.decided.v1",
)


def banner(settings: Settings, started: Started, catalog: Catalog) -> str:
    """Return the text: ready to paste, with placeholders where the settings hold secrets."""
    return "\n".join(("", *_facts(settings, started), "", *_calls(settings, started, catalog), *_looks()))


def _facts(settings: Settings, started: Started) -> Iterator[str]:
    yield f"imbridge listens on {started.ingress} ({'embedded' if settings.embedded else 'over Kafka'})"
    yield f"  data directory   {settings.data_dir.resolve()}"
    yield f"  operators        {started.ops}/readyz  {started.ops}/metrics"
    yield f"  rules            {started.rules}"
    if settings.tencent.enabled:
        apps = ", ".join(settings.tencent.app_ids)
        yield f"  Tencent apps     {apps or 'any is accepted (tencent.app_ids)'}"
    if settings.openim.enabled:
        yield f"  OpenIM app       {settings.openim.app!r}"
    for door in doors(settings):
        yield f"  {f'{door.name} door':<16} {door.says or f'open: set {door.settings}'}"


def _calls(settings: Settings, started: Started, catalog: Catalog) -> Iterator[str]:
    yield "One call per kind of callback, ready to paste into a second terminal:"
    yield ""
    enabled = {"tencent": settings.tencent.enabled, "openim": settings.openim.enabled}
    if settings.tencent.enabled and settings.tencent.tokens:
        yield "TOKEN='your Tencent token'; T=$(date +%s)"
        yield "SIGN=$(printf %s \"$TOKEN$T\" | sha256sum | cut -d' ' -f1)"
    if settings.openim.enabled and settings.openim.path_secrets:
        yield "SECRET='your OpenIM path secret'"
    for spec in catalog:
        if enabled[spec.provider] and spec.type in _SHOWN and spec.row.status == "current":
            yield f"# {spec.row.summary} ({spec.name})"
            yield curl(settings, started.ingress, spec)
    yield ""


def curl(settings: Settings, base: str, spec: CommandSpec) -> str:
    """Return a curl command that sends the command's example as the provider would."""
    if spec.provider == "tencent":
        app = settings.tencent.app_ids[0] if settings.tencent.app_ids else "1400000000"
        query = spec.row.example_query.replace("SdkAppid=1400000000", f"SdkAppid={app}")
        url = shlex.quote(f"{base}/?{query}")
        if settings.tencent.tokens:
            url += '"&RequestTime=$T&Sign=$SIGN"'
    else:
        prefix = f"{base}{settings.openim.path}{'/$SECRET' if settings.openim.path_secrets else ''}"
        query = f"?{spec.row.example_query}" if spec.row.example_query else ""
        url = f'"{prefix}/{spec.name}{query}"'
    headers = "".join(
        f" -H {shlex.quote(f'{name}: {value}')}" for name, value in spec.row.example_headers.items()
    )
    return f"curl -sS {url}{headers} -d {shlex.quote(orjson.dumps(spec.row.example).decode())}"


def _looks() -> Iterator[str]:
    yield "Then: imbridge groups list | imbridge topics read im.group.v1 --json | imbridge decisions list"
    yield "Stop with Ctrl-C. Log lines follow on standard error."
    yield ""
