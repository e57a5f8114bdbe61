"""Which doors of the ingress stand open, and that nothing starts so unless that is written down."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bridge.config import Settings
from bridge.errors import ConfigurationError

ALLOW: Final = "ingress.allow_unauthenticated"


class Door(NamedTuple):
    """One provider's door. ``says`` is what locks it; where nothing does, ``settings`` names what would."""

    name: str
    says: str
    settings: str

    @property
    def is_open(self) -> bool:
        """Whether whoever reaches the port can send this provider's callbacks."""
        return not self.says


def doors(settings: Settings) -> tuple[Door, ...]:
    """Return the doors of the providers that are enabled."""
    tencent, openim = settings.tencent, settings.openim
    networks = "callbacks come from the allowed networks alone"
    tencent_locks = [
        *(["signatures are checked"] if tencent.tokens else []),
        *([networks] if _restrict(tencent.networks) else []),
    ]
    openim_locks = [
        *(["a path secret is asked for"] if openim.path_secrets else []),
        *(["the nonce's signature is checked"] if openim.signature_algorithm else []),
        *([networks] if _restrict(openim.networks) else []),
    ]
    found = (
        (tencent.enabled, Door("Tencent", ", ".join(tencent_locks), "tencent.tokens")),
        (openim.enabled, Door("OpenIM", ", ".join(openim_locks), "openim.path_secrets or openim.networks")),
    )
    return tuple(door for enabled, door in found if enabled)


def exposed_doors(settings: Settings) -> Iterator[Door]:
    """Yield the open doors of an address that more than this machine can reach."""
    if not is_loopback(settings.ingress.host):
        yield from (door for door in doors(settings) if door.is_open)


def refuse_open_doors(settings: Settings) -> tuple[Door, ...]:
    """Return the doors left open on purpose. Raises ConfigurationError naming all others."""
    exposed = tuple(exposed_doors(settings))
    if exposed and not settings.ingress.allow_unauthenticated:
        where = f"{settings.ingress.host}:{settings.ingress.port}"
        problems = [
            f"  - anybody who reaches {where} can send {door.name} callbacks: set {door.settings},"
            f" or {door.name.lower()}.enabled = false"
            for door in exposed
        ]
        remedy = f"or write {ALLOW} = true down, if something in front keeps others out"
        raise ConfigurationError("\n".join(["a door stands open:", *problems, remedy]))
    return exposed


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _restrict(networks: Sequence[str]) -> bool:
    """Say whether the networks keep anybody out."""
    return bool(networks) and all(ipaddress.ip_network(network).prefixlen for network in networks)
