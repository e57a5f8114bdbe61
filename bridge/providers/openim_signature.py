"""The signature of OpenIM's commercial edition: an HMAC over one header, the nonce.

It proves who sent, and nothing of what: the body is not covered, and the nonce carries no time, so neither a
changed body nor an old request shows. Not stated is how it is written; hex and base64 are both taken.
"""

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Final

from bridge.errors import Unauthenticated

ALGORITHMS: Final = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256", "HMAC-SHA512": "sha512"}
"""What can be checked. The edition's RSA-SHA256 and ECDSA-SHA256 need a library that is not part of this."""

_SIZES: Final = {"sha1": 20, "sha256": 32, "sha512": 64}
_URL_SAFE: Final = str.maketrans("-_", "+/")


class NonceSignature:
    """Checks ``signature_header`` against the HMAC of ``nonce_header`` under one of the live ``secrets``."""

    def __init__(
        self, algorithm: str, *, signature_header: str, nonce_header: str, secrets: Sequence[str]
    ) -> None:
        self._digest = ALGORITHMS[algorithm]
        self._signature_header, self._nonce_header = self.headers = signature_header, nonce_header
        self._secrets = tuple(secret.encode() for secret in secrets)

    def check(self, headers: Mapping[str, str]) -> None:
        """Return if the request is signed. Raises Unauthenticated, reason ``signature``."""
        nonce = headers.get(self._nonce_header, "")
        signature = headers.get(self._signature_header, "")
        if not (nonce and signature):
            missing = self._signature_header if nonce else self._nonce_header
            raise Unauthenticated("signature", f"the request has no header {missing}: is OpenIM signing?")
        offered = _decoded(signature.strip(), _SIZES[self._digest])
        signed = nonce.encode(errors="surrogateescape")
        genuine = False
        for secret in self._secrets:
            genuine |= hmac.compare_digest(hmac.digest(secret, signed, self._digest), offered)
        if not genuine:
            raise Unauthenticated(
                "signature", "the request is signed with no live secret: is it in openim.signature_secrets?"
            )


def _decoded(signature: str, size: int) -> bytes:
    """Return the bytes of a signature in hex or base64, nothing where it is neither."""
    try:
        if len(signature) == 2 * size:
            return bytes.fromhex(signature)
        bare = signature.rstrip("=").translate(_URL_SAFE)
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (ValueError, binascii.Error):
        return b""
