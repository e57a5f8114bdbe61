"""A start refuses an open door unless that is written down; what counts as locked."""

from pathlib import Path
from typing import Any

import pytest

from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.main.doors import doors, refuse_open_doors
from tests.command_line import imbridge

SIGNED = {
    "signature_algorithm": "HMAC-SHA256",
    "signature_header": "S",
    "nonce_header": "N",
    "signature_secrets": ["s"],
}
LOCKED: dict[str, Any] = {"tencent": {"tokens": ["t"]}, "openim": {"path_secrets": ["s"]}}


def settings(host: str = "0.0.0.0", *, allow: bool = False, **sections: Any) -> Settings:
    ingress: Any = {"host": host, "allow_unauthenticated": allow}
    return Settings(ingress=ingress, **sections)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "im.example"])
def test_open_doors_on_a_public_address_refuse_to_start_and_both_settings_are_named(host: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        refuse_open_doors(settings(host))
    for named in ("tencent.tokens", "openim.path_secrets", "ingress.allow_unauthenticated = true"):
        assert named in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_loopback_doors_may_stand_open(host: str) -> None:
    assert refuse_open_doors(settings(host)) == ()


def test_only_the_open_door_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        refuse_open_doors(settings(tencent=LOCKED["tencent"]))
    assert "OpenIM" in str(caught.value)
    assert "tencent" not in str(caught.value).lower()


def test_written_down_a_start_goes_on_and_says_which_doors_are_open() -> None:
    assert [door.name for door in refuse_open_doors(settings(allow=True))] == ["Tencent", "OpenIM"]
    assert refuse_open_doors(settings(allow=True, **LOCKED)) == ()


@pytest.mark.parametrize(
    ("provider", "section", "locked"),
    [
        ("Tencent", {"tokens": ["t"]}, True),
        ("Tencent", {"app_ids": ["1"]}, False),
        ("Tencent", {"networks": ["10.0.0.0/8"]}, True),
        ("OpenIM", {"path_secrets": ["s"]}, True),
        ("OpenIM", {"networks": ["2001:db8::/32"]}, True),
        ("OpenIM", {"networks": ["10.0.0.0/8", "::/0"]}, False),
        ("OpenIM", {"networks": ["0.0.0.0/0"]}, False),
        ("OpenIM", SIGNED, True),
        ("OpenIM", {"app": "a"}, False),
    ],
)
def test_what_locks_a_door(provider: str, section: dict[str, Any], locked: bool) -> None:
    sections: dict[str, Any] = {provider.lower(): section}
    (door,) = [one for one in doors(settings(**sections)) if one.name == provider]
    assert door.is_open is not locked


def test_a_provider_switched_off_has_no_door() -> None:
    locked = settings(tencent={"enabled": False}, openim=LOCKED["openim"])
    assert refuse_open_doors(locked) == ()
    assert [door.name for door in doors(locked)] == ["OpenIM"]
    with pytest.raises(ConfigurationError) as caught:
        refuse_open_doors(settings(openim={"enabled": False}))
    assert "tencent.enabled = false" in str(caught.value)
    assert "OpenIM" not in str(caught.value)


@pytest.mark.parametrize("role", ["run", "ingress"])
def test_the_command_line_refuses_with_2_before_anything_is_made(tmp_path: Path, role: str) -> None:
    env = {
        "IMBRIDGE_DATA_DIR": str(tmp_path / "data"),
        "IMBRIDGE_INGRESS__HOST": "0.0.0.0",
        "IMBRIDGE_INGRESS__PORT": "0",
        "IMBRIDGE_OPS__PORT": "0",
        "PATH": "",
    }
    said = imbridge(role, env=env)
    assert said.code == 2
    assert "ingress.allow_unauthenticated = true" in said.err
    assert "tencent.tokens" in said.err
    assert not (tmp_path / "data").exists()
