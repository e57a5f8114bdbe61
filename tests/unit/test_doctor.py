"""``imbridge doctor`` without anything running: what it finds, and that it changes nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Said, imbridge
from tests.parts.process import free_port


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"IMBRIDGE_DATA_DIR": str(tmp_path / "data"), "IMBRIDGE_OPS__PORT": str(free_port()), "PATH": ""}


def levels(said: Said) -> dict[str, str]:
    return {finding["about"]: finding["level"] for finding in said.json()["findings"]}


def finding(said: Said, about: str) -> dict[str, Any]:
    (found,) = [one for one in said.json()["findings"] if one["about"] == about]
    return dict(found)


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(
    env: dict[str, str], tmp_path: Path
) -> None:
    said = imbridge("doctor", "--json", env=env)
    assert said.code == 0
    assert set(levels(said).values()) == {"ok", "warning"}
    assert "does not exist yet" in finding(said, "data directory")["says"]
    assert "is the bridge running?" in finding(said, "process")["says"]
    assert not (tmp_path / "data").exists()


def test_open_doors_on_a_public_address_are_problems_and_exit_with_1(env: dict[str, str]) -> None:
    said = imbridge("doctor", "--json", env=env | {"IMBRIDGE_INGRESS__HOST": "0.0.0.0"})
    assert said.code == 1
    found = levels(said)
    assert (found["Tencent door"], found["OpenIM door"], found["Tencent apps"]) == (
        "problem",
        "problem",
        "warning",
    )
    assert "set tencent.tokens" in finding(said, "Tencent door")["says"]
    shown = imbridge("doctor", env=env | {"IMBRIDGE_INGRESS__HOST": "0.0.0.0"})
    assert shown.code == 1
    assert "ACT" in shown.out


def test_a_provider_switched_off_has_no_door_to_lock(env: dict[str, str]) -> None:
    only_openim = {
        "IMBRIDGE_INGRESS__HOST": "0.0.0.0",
        "IMBRIDGE_TENCENT__ENABLED": "false",
        "IMBRIDGE_OPENIM__PATH_SECRETS": "secret",
    }
    said = imbridge("doctor", "--json", env=env | only_openim)
    assert said.code == 0
    assert levels(said)["OpenIM door"] == "ok"
    assert not {"Tencent door", "Tencent apps"} & levels(said).keys()


def test_doors_left_open_on_purpose_are_still_named(env: dict[str, str]) -> None:
    open_on_purpose = {
        "IMBRIDGE_INGRESS__HOST": "0.0.0.0",
        "IMBRIDGE_INGRESS__ALLOW_UNAUTHENTICATED": "true",
        "IMBRIDGE_OPENIM__NETWORKS": "10.0.0.0/8",
    }
    said = imbridge("doctor", "--json", env=env | open_on_purpose)
    assert said.code == 0
    assert (levels(said)["Tencent door"], levels(said)["OpenIM door"]) == ("warning", "ok")
    assert "left open by ingress.allow_unauthenticated" in finding(said, "Tencent door")["says"]
    assert "networks" in finding(said, "OpenIM door")["says"]


def test_closed_doors_on_a_public_address_are_fine(env: dict[str, str]) -> None:
    closed = {
        "IMBRIDGE_INGRESS__HOST": "0.0.0.0",
        "IMBRIDGE_TENCENT__TOKENS": "tencent-token",
        "IMBRIDGE_TENCENT__APP_IDS": "1400000000",
        "IMBRIDGE_OPENIM__PATH_SECRETS": "openim-secret",
    }
    said = imbridge("doctor", "--json", "--settings", env=env | closed)
    assert said.code == 0
    assert levels(said)["Tencent door"] == levels(said)["OpenIM door"] == "ok"
    assert said.json()["settings"]["tencent"]["app_ids"] == ["1400000000"]
    shown = imbridge("doctor", "--settings", env=env | closed)
    for output in (said.out, said.err, shown.out, shown.err):
        assert "tencent-token" not in output
        assert "openim-secret" not in output


def test_parts_out_of_reach_are_problems_named_without_their_passwords(env: dict[str, str]) -> None:
    port = free_port()
    away = {
        "IMBRIDGE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "IMBRIDGE_STORE__URL": f"postgresql://imbridge:store-password@127.0.0.1:{port}/imbridge",
    }
    said = imbridge("doctor", "--json", "--settings", env=env | away)
    assert said.code == 1
    assert (levels(said)["Kafka"], levels(said)["store"]) == ("problem", "problem")
    assert f"127.0.0.1:{port}" in finding(said, "Kafka")["says"]
    assert f"127.0.0.1:{port}" in finding(said, "store")["says"]
    assert "store-password" not in said.out + said.err


def test_a_data_directory_that_is_no_directory_is_a_problem(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journals").write_text("in the way")
    said = imbridge("doctor", "--json", env=env)
    assert said.code == 1
    assert levels(said)["journals"] == "problem"


def test_a_disk_without_room_for_the_journal_is_a_problem(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    huge = {"IMBRIDGE_JOURNAL__SEGMENT_BYTES": str(1 << 50), "IMBRIDGE_JOURNAL__MAX_BYTES": str(1 << 52)}
    said = imbridge("doctor", "--json", env=env | huge)
    assert said.code == 1
    assert "the journal needs" in finding(said, "data directory")["says"]
