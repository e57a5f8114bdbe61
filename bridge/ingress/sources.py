"""The door by source: which networks a provider may call from, directly or through trusted proxies."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from multidict import MultiMapping

from bridge.errors import Unauthenticated

FORWARDED: Final = "X-Forwarded-For"
_SHOWN: Final = 64

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class SourceGate:
    """Lets a provider's callbacks in only from its ``networks``, in CIDR notation; none means from anywhere.

    With ``trusted_hops`` proxies in front, the source is what the outermost of them wrote: the entry of
    X-Forwarded-For that many places from the right. Further left anybody may write anything.
    """

    def __init__(self, networks: Mapping[str, Sequence[str]], *, trusted_hops: int = 0) -> None:
        self._networks: dict[str, tuple[Network, ...]] = {
            provider: tuple(ip_network(text) for text in texts) for provider, texts in networks.items()
        }
        self._hops = trusted_hops

    def check(self, provider: str, peer: str, headers: MultiMapping[str]) -> None:
        """Return if a request from ``peer`` may come in. Raises Unauthenticated, reason ``network``."""
        allowed = self._networks.get(provider)
        if not allowed:
            return
        source = self._source(peer, headers)
        if not any(source in network for network in allowed):
            raise _refusal(f"{source} lies in none of the allowed networks: {provider}.networks")

    def _source(self, peer: str, headers: MultiMapping[str]) -> Address:
        if not self._hops:
            return _address(peer)
        entries = [entry for line in headers.getall(FORWARDED, ()) for entry in line.split(",")]
        if len(entries) < self._hops:
            raise _refusal(
                f"{FORWARDED} names {len(entries)} sources, ingress.trusted_hops counts {self._hops} proxies"
            )
        written = [_address(entry) for entry in entries[-self._hops :]]
        return written[0]


@lru_cache(maxsize=1024)
def _address(text: str) -> Address:
    """Return an address, with or without a port; an IPv4 address written as IPv6 is the IPv4 address."""
    text = text.strip()
    try:
        address = ip_address(_without_port(text).partition("%")[0])
    except ValueError:
        raise _refusal(f"the source is no address: {text[:_SHOWN]!a}") from None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _refusal(message: str) -> Unauthenticated:
    return Unauthenticated("network", message)
