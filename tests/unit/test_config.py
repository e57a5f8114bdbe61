from pathlib import Path

import pytest

from bridge.config import Settings, load_settings, variables
from bridge.errors import ConfigurationError

SCRIPTED = {
    "DATA_DIR",
    "INGRESS__HOST",
    "INGRESS__PORT",
    "OPS__HOST",
    "OPS__PORT",
    "STORE__URL",
    "TENCENT__APP_IDS",
    "TENCENT__TOKENS",
    "OPENIM__APP",
    "OPENIM__PATH_SECRETS",
    "KAFKA__BOOTSTRAP_SERVERS",
    "KAFKA__SECURITY_PROTOCOL",
    "KAFKA__SASL_MECHANISM",
    "KAFKA__SASL_USERNAME",
    "KAFKA__SASL_PASSWORD",
    "KAFKA__CA_FILE",
    "KAFKA__TOPIC_PREFIX",
    "KAFKA__REPLICATION_FACTOR",
}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("IMBRIDGE_CONFIG", raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"IMBRIDGE_{name}", value)
    return load_settings()


def problems(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(monkeypatch, **values)
    return str(caught.value)


def test_with_nothing_set_it_is_embedded_on_loopback() -> None:
    settings = load_settings()
    assert settings.embedded
    assert (settings.ingress.host, settings.ingress.port, settings.ops.port) == ("127.0.0.1", 8080, 8081)
    assert settings.tencent.app_ids == ()
    assert settings.store_url == "sqlite:///data/imbridge.sqlite"


def test_the_names_people_script_against_are_read() -> None:
    assert {f"IMBRIDGE_{name}" for name in SCRIPTED} <= set(variables())


@pytest.mark.parametrize(
    "text", ["1400000000,app", '["1400000000", "app"]', '[1400000000, "app"]', " 1400000000 , app,"]
)
def test_lists_are_json_or_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert load(monkeypatch, TENCENT__APP_IDS=text).tencent.app_ids == ("1400000000", "app")


def test_the_file_has_the_same_tree_and_variables_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "imbridge.toml").write_text("[ingress]\nport = 9000\n[tencent]\napp_ids = [14, 'x']\n")
    assert load_settings().ingress.port == 9000
    assert load_settings().tencent.app_ids == ("14", "x")
    assert load(monkeypatch, INGRESS__PORT="9001").ingress.port == 9001


def test_every_problem_is_reported_at_once_with_the_accepted_values(monkeypatch: pytest.MonkeyPatch) -> None:
    said = problems(
        monkeypatch,
        INGRESS__PORT="99999",
        RULES__FALLBACK="maybe",
        DATADIR="x",
        KAFKA__BOOTSTRAP_SERVER="a:1",
    )
    assert "IMBRIDGE_INGRESS__PORT" in said
    assert "'allow' or 'deny', got 'maybe'" in said
    assert "did you mean IMBRIDGE_DATA_DIR?" in said
    assert "did you mean IMBRIDGE_KAFKA__BOOTSTRAP_SERVERS?" in said


def test_secrets_are_neither_printed_nor_quoted_in_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, TENCENT__TOKENS="hush-a", KAFKA__SASL_PASSWORD="hush-b", STORE__URL="postgresql://u:hush-c@h/d",
                    KAFKA__SASL_USERNAME="u", KAFKA__SECURITY_PROTOCOL="SASL_PLAINTEXT")  # fmt: skip
    assert "hush" not in repr(settings)
    assert "hush" not in problems(monkeypatch, TENCENT__TOKENS="hush-1,hush-2,hush-3")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "sasl_username is needed"),
        ({"KAFKA__SASL_USERNAME": "u"}, "set security_protocol"),
        ({"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CA_FILE": "/nowhere.pem"}, "/nowhere.pem is not a file"),
        ({"TENCENT__APP_IDS": "[14"}, "a list is JSON or separated by commas"),
        ({"CONFIG": "/nowhere.toml"}, "/nowhere.toml does not exist"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], said: str
) -> None:
    assert said in problems(monkeypatch, **values)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "imbridge.toml").write_text("port: 1")
    with pytest.raises(ConfigurationError, match=r"imbridge\.toml"):
        load_settings()


@pytest.mark.parametrize("algorithm", ["RSA-SHA256", "ecdsa-sha256", "HMAC-MD5"])
def test_signature_algorithms_that_cannot_be_checked_are_refused_naming_those_that_can(
    monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    said = problems(monkeypatch, OPENIM__SIGNATURE_ALGORITHM=algorithm)
    for accepted in ("HMAC-SHA1", "HMAC-SHA256", "HMAC-SHA512"):
        assert accepted in said


def test_a_signature_is_set_wholly_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "signature_header, nonce_header" in problems(monkeypatch, OPENIM__SIGNATURE_ALGORITHM="HMAC-SHA1")
    monkeypatch.delenv("IMBRIDGE_OPENIM__SIGNATURE_ALGORITHM")
    said = problems(monkeypatch, OPENIM__SIGNATURE_SECRETS="the-secret")
    assert "only with signature_algorithm" in said
    assert "the-secret" not in said
    whole = load(
        monkeypatch,
        OPENIM__SIGNATURE_ALGORITHM="hmac-sha512",
        OPENIM__SIGNATURE_HEADER="X-Sig",
        OPENIM__NONCE_HEADER="X-Nonce",
        OPENIM__SIGNATURE_SECRETS="old,new",
    )
    assert whole.openim.signature_algorithm == "HMAC-SHA512"
    assert len(whole.openim.signature_secrets) == 2


@pytest.mark.parametrize("network", ["10.0.0.1/8", "10.0.0.0/33", "office", "2001:db8::1/32"])
def test_networks_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    said = problems(monkeypatch, OPENIM__NETWORKS=f"192.0.2.0/24,{network}")
    assert network in said
    assert "203.0.113.0/24" in said


def test_networks_are_taken_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, TENCENT__NETWORKS="192.0.2.0/24, 2001:db8::/32, 198.51.100.7")
    assert settings.tencent.networks == ("192.0.2.0/24", "2001:db8::/32", "198.51.100.7")


def test_a_provider_can_be_switched_off_but_not_both(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load(monkeypatch, OPENIM__ENABLED="false").openim.enabled
    said = problems(monkeypatch, TENCENT__ENABLED="no")
    assert "  - no provider is left: set tencent.enabled or openim.enabled to true" in said
