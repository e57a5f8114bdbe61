"""What deploy/ says is checked against the program: settings, subcommands, ports, paths, time-outs, links."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import SecretStr
from typer.core import TyperGroup

from bridge.cli import app
from bridge.config import Settings, variables
from bridge.telemetry import REGISTRY
from schemas.topics import TOPICS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = ("compose.yaml", "compose.embedded.yaml")
UNIT = DEPLOY / "systemd" / "imbridge.service"
IMAGE = "imbridge:local"
ROLES = {"run", "ingress", "relay", "consume"}
DRAIN_SECONDS = Settings().drain_seconds
COMMAND_LINE: Any = typer.main.get_command(app)


def _text(name: str) -> str:
    return (DEPLOY / name).read_text()


def _compose(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(_text(name)))


def _ours(name: str) -> dict[str, dict[str, Any]]:
    return {key: service for key, service in _compose(name)["services"].items() if service["image"] == IMAGE}


SERVICES = [
    pytest.param(service, id=f"{file}:{name}") for file in COMPOSE for name, service in _ours(file).items()
]


def _files() -> list[Path]:
    return [path for path in DEPLOY.rglob("*") if path.is_file() and not path.name.startswith(".env")]


def _instructions(name: str) -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with continued lines joined."""
    lines = [line for line in _text("Dockerfile").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    parts = [line.split(None, 1) for line in joined if line.strip()]
    return [(part[0], " ".join(part[1].split())) for part in parts if part[0] == name]


def _last(name: str) -> str:
    return _instructions(name)[-1][1]


def _unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def _seconds(text: str) -> float:
    number = re.fullmatch(r"(\d+)s?", text)
    assert number, f"{text!r} is not written in seconds"
    return float(number[1])


def _check_command(words: list[str]) -> None:
    """Fail unless the command line has this subcommand, and every option that is given."""
    command, path = COMMAND_LINE, ["imbridge"]
    words = list(words)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"`{' '.join(path)}` has no subcommand {name}"
        command, path = command.commands[name], [*path, name]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in words:
        if word.startswith("-") and word != "--help":
            assert word.split("=")[0] in known, f"`{' '.join(path)}` has no option {word}"


def _shown_commands(text: str) -> Iterator[list[str]]:
    """Yield every ``imbridge ...`` that stands in code of a page, up to the end of the shell command."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    code = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + spans
    for line in code:
        for found in re.finditer(r"(?:^|[\s/])imbridge((?: +(?:'[^']*'|[^\s|;&<>)#'`]+))+)", line):
            words = shlex.split(found[1])
            if words[0] in COMMAND_LINE.commands:
                yield words


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_named_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"\bIMBRIDGE_[A-Z0-9_]+\b", path.read_text()))
    assert named <= {*variables(), "IMBRIDGE_CONFIG"}


@pytest.mark.parametrize("file", COMPOSE)
def test_compose_files_hold_services_with_an_image_and_named_volumes(file: str) -> None:
    compose = _compose(file)
    assert _ours(file), "none of the services is the bridge"
    for service in compose["services"].values():
        assert re.fullmatch(r"[a-z/]+:[\w.]+", service["image"]), "an image without a tag changes by itself"
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"]


@pytest.mark.parametrize("service", SERVICES)
def test_services_run_a_role_of_the_command_line(service: dict[str, Any]) -> None:
    assert service["command"][0] in ROLES
    _check_command(service["command"])


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_stopped_later_than_the_drain_deadline(service: dict[str, Any]) -> None:
    assert _seconds(service["stop_grace_period"]) >= DRAIN_SECONDS + 5
    assert service["init"] is True


@pytest.mark.parametrize("service", SERVICES)
def test_services_run_again_after_they_end_and_are_confined(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service


@pytest.mark.parametrize("service", SERVICES)
def test_roles_that_keep_something_keep_it_on_the_data_volume(service: dict[str, Any]) -> None:
    keeps = service["command"][0] in {"run", "ingress", "relay"}
    assert service.get("volumes", []) == ([f"data:{_env('IMBRIDGE_DATA_DIR')}"] if keeps else [])


@pytest.mark.parametrize("file", COMPOSE)
def test_nothing_is_published_beyond_this_host_unless_asked_for(file: str) -> None:
    for service in _compose(file)["services"].values():
        for port in service.get("ports", []):
            assert port.startswith(("127.0.0.1:", "${PUBLISH:-127.0.0.1}:"))


@pytest.mark.parametrize("service", SERVICES)
def test_published_ports_are_those_listened_on(service: dict[str, Any]) -> None:
    listened = {str(Settings().ingress.port), str(Settings().ops.port)}
    assert {port.rsplit(":", 1)[1] for port in service.get("ports", [])} <= listened


@pytest.mark.parametrize("file", COMPOSE)
def test_doors_may_stand_open_only_where_nothing_is_published_beyond_this_host(file: str) -> None:
    settings = _compose(file).get("x-settings") or next(iter(_ours(file).values()))["environment"]
    allow = settings["IMBRIDGE_INGRESS__ALLOW_UNAUTHENTICATED"]
    assert allow == "${IMBRIDGE_INGRESS__ALLOW_UNAUTHENTICATED:-true}", "deploy/.env can take it back"
    assert "IMBRIDGE_INGRESS__ALLOW_UNAUTHENTICATED=false" in _text(file).partition("\nname:")[0]


def test_the_roles_apart_cover_the_whole_bridge() -> None:
    roles = {service["command"][0] for service in _ours("compose.yaml").values()}
    assert roles == ROLES - {"run"}


def test_services_reach_kafka_and_postgres_under_their_names() -> None:
    compose = _compose("compose.yaml")
    settings, services = compose["x-settings"], compose["services"]
    host, port = settings["IMBRIDGE_KAFKA__BOOTSTRAP_SERVERS"].split(":")
    assert f"CLIENT://{host}:{port}" in services[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert re.search(
        rf"@{next(n for n in services if n == 'postgres')}:5432/", settings["IMBRIDGE_STORE__URL"]
    )
    assert services["postgres"]["environment"]["POSTGRES_DB"] in settings["IMBRIDGE_STORE__URL"]


def _env(name: str) -> str:
    found = re.search(rf"\b{name}=(\S+)", " ".join(value for _, value in _instructions("ENV")))
    assert found, f"the Dockerfile does not set {name}"
    return found[1]


def test_the_image_checks_hashes_and_installs_nothing_that_is_not_locked() -> None:
    installs = [step for _, run in _instructions("RUN") for step in run.split("&&") if "pip install" in step]
    assert len(installs) == 2
    assert "--require-hashes -r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation ." in installs[1]


def test_the_image_runs_as_a_user_that_owns_only_the_data_volume() -> None:
    user, data = _last("USER"), _env("IMBRIDGE_DATA_DIR")
    assert user not in {"root", "0"}
    assert json.loads(_last("VOLUME")) == [data]
    assert f"install -d -o {user} -g {user} -m 0750 {data}" in _last("RUN")


def test_the_image_starts_quietly_and_listens_inside_the_container() -> None:
    assert json.loads(_last("ENTRYPOINT")) == ["imbridge"]
    _check_command(json.loads(_last("CMD")))
    assert (_env("IMBRIDGE_INGRESS__HOST"), _env("IMBRIDGE_OPS__HOST")) == ("0.0.0.0", "0.0.0.0")
    assert _last("EXPOSE").split() == [str(Settings().ingress.port), str(Settings().ops.port)]


def test_the_health_check_asks_whether_the_loop_turns_on_the_operators_port() -> None:
    check = json.loads(_last("HEALTHCHECK").split("CMD", 1)[1])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "HEALTHCHECK", "exec")
    assert "/livez" in check[2]
    assert f"or {Settings().ops.port}" in check[2]


def test_everything_copied_into_the_image_is_let_through_by_dockerignore() -> None:
    copied = {
        word.rstrip("/")
        for _, step in _instructions("COPY")
        if not step.startswith("--from")
        for word in step.split()[:-1]
    }
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:].rstrip("/") for line in ignore if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_unit_runs_the_bridge_as_a_user_of_its_own_on_its_state_directory() -> None:
    unit = _unit()
    program, *words = unit["ExecStart"][0].split()
    assert program == "/opt/imbridge/bin/imbridge"
    _check_command(words)
    assert unit["User"] == unit["Group"] == ["imbridge"]
    assert unit["Environment"] == [f"IMBRIDGE_DATA_DIR=/var/lib/{unit['StateDirectory'][0]}"]


def test_the_unit_is_stopped_later_than_the_drain_deadline_and_always_started_again() -> None:
    unit = _unit()
    assert _seconds(unit["TimeoutStopSec"][0]) >= DRAIN_SECONDS + 5
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["KillSignal"] == ["SIGTERM"]


def test_every_command_the_runbook_shows_exists() -> None:
    shown = list(_shown_commands(_text("README.md")))
    assert len(shown) > 20, "the page's commands were not found"
    for words in shown:
        _check_command(words)


def _defaults() -> dict[str, str]:
    """Return every variable with its default as the runbook writes it."""
    found = {}
    for name in variables():
        section, _, inner = name.removeprefix("IMBRIDGE_").lower().partition("__")
        value = getattr(Settings(), section)
        found[name] = _shown(getattr(value, inner) if inner else value)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def test_the_runbook_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(IMBRIDGE_\w+)` \| (.*?) \|", _text("README.md"), re.MULTILINE)
    said = {name: default.strip("`") for name, default in rows}
    assert said == _defaults()


def test_log_lines_the_runbook_names_are_written_somewhere() -> None:
    sources = "".join(
        path.read_text() for part in ("bridge", "consumers") for path in (ROOT / part).rglob("*.py")
    )
    named = set(re.findall(r"`([a-z]+\.(?!toml|sqlite|sh)[a-z_]+)`", _text("README.md")))
    assert len(named) > 10, "the page's log lines were not found"
    for event in named:
        noun, fact = event.split(".")
        assert f'"{event}"' in sources or (f'"{fact}"' in sources and f'f"{noun}.' in sources), event


def test_metrics_the_runbook_names_are_measured() -> None:
    measured = {f"{family.name}{'_total' * (family.type == 'counter')}" for family in REGISTRY.collect()}
    assert set(re.findall(r"`(imbridge_[a-z_]+)`", _text("README.md"))) <= measured


def test_topics_and_files_the_runbook_names_exist() -> None:
    text = _text("README.md")
    assert set(re.findall(r"\bim\.[a-z]+\.v1\b", text)) <= set(TOPICS)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (DEPLOY / target).exists(), f"the page links to {target}"
