"""The signature headers of OpenIM's commercial edition."""

import hmac
from base64 import b64encode, urlsafe_b64encode

import pytest
from multidict import CIMultiDict

from bridge.errors import Unauthenticated
from bridge.providers.base import RawRequest
from bridge.providers.openim import OpenIMProvider
from bridge.providers.openim_signature import ALGORITHMS, NonceSignature

NONCE = "b5f0c2"
EACH = pytest.mark.parametrize("algorithm", list(ALGORITHMS))


def door(algorithm: str = "HMAC-SHA256", *path_secrets: str) -> OpenIMProvider:
    signature = NonceSignature(
        algorithm, signature_header="X-Sig", nonce_header="X-Nonce", secrets=["old", "new"]
    )
    return OpenIMProvider(signature=signature, path_secrets=path_secrets)


def digest(secret: str, algorithm: str = "HMAC-SHA256", nonce: str = NONCE) -> bytes:
    return hmac.digest(secret.encode(), nonce.encode(), algorithm.removeprefix("HMAC-").lower())


def passes(provider: OpenIMProvider, *segments: str, **headers: str) -> bool:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    try:
        provider.authenticate(RawRequest(segments or ("callbackX",), False, {}, named))
    except Unauthenticated as error:
        return error.reason not in {"signature", "path_secret"} or "old" in str(error)
    return True


def test_the_signature_is_the_textbook_hmac_of_the_nonce() -> None:
    signature = NonceSignature("HMAC-SHA256", signature_header="S", nonce_header="N", secrets=["Jefe"])
    known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"  # RFC 4231, test case 2
    signature.check({"N": "what do ya want for nothing?", "S": known})


@EACH
@pytest.mark.parametrize("secret", ["old", "new"])
def test_two_secrets_are_live_and_hex_and_base64_are_taken(algorithm: str, secret: str) -> None:
    signed = digest(secret, algorithm)
    written = [
        signed.hex(),
        signed.hex().upper(),
        b64encode(signed).decode(),
        urlsafe_b64encode(signed).decode().rstrip("="),
    ]
    for one in written:
        assert passes(door(algorithm), x_nonce=NONCE, x_sig=one)


@EACH
def test_what_is_not_signed_with_a_live_secret_does_not_pass(algorithm: str) -> None:
    signed = digest("old", algorithm).hex()
    for headers in (
        {},
        {"x_nonce": NONCE},
        {"x_sig": signed},
        {"x_nonce": "", "x_sig": digest("old", algorithm, "").hex()},
        {"x_nonce": NONCE, "x_sig": ""},
        {"x_nonce": "other", "x_sig": signed},
        {"x_nonce": NONCE, "x_sig": digest("older", algorithm).hex()},
        {"x_nonce": NONCE, "x_sig": signed[:-2]},
        {"x_nonce": NONCE, "x_sig": "ü" * len(signed)},
        {"x_nonce": NONCE, "x_sig": "\udcff"},
    ):
        assert not passes(door(algorithm), **headers), headers


def test_a_signature_does_not_stand_in_for_the_path_secret_nor_the_other_way() -> None:
    signed = {"x_nonce": NONCE, "x_sig": digest("new").hex()}
    both = door("HMAC-SHA256", "s3cret")
    assert passes(both, "s3cret", "callbackX", **signed)
    assert not passes(both, "callbackX", **signed)
    assert not passes(both, "s3cret", "callbackX")
