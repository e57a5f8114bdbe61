"""The door by source address: allowed networks, and proxies in front."""

import pytest
from multidict import CIMultiDict

from bridge.errors import Unauthenticated
from bridge.ingress.sources import SourceGate

NETWORKS = {"openim": ("10.1.0.0/16", "2001:db8::/32", "192.0.2.7/32")}


def passes(peer: str, *forwarded: str, hops: int = 0, provider: str = "openim") -> bool:
    headers = CIMultiDict([("x-forwarded-for", value) for value in forwarded])
    try:
        SourceGate(NETWORKS, trusted_hops=hops).check(provider, peer, headers)
    except Unauthenticated as error:
        return error.reason != "network"
    return True


@pytest.mark.parametrize(
    ("peer", "passed"),
    [
        ("10.1.255.3", True),
        ("10.2.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:10.1.2.3", True),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_only_allowed_networks_pass_of_either_family(peer: str, passed: bool) -> None:
    assert passes(peer) is passed


def test_a_provider_without_networks_may_call_from_anywhere() -> None:
    assert passes("203.0.113.1", provider="tencent")
    assert passes("", provider="tencent")


def test_without_trusted_proxies_what_is_forwarded_counts_nothing() -> None:
    assert not passes("203.0.113.1", "10.1.0.1")
    assert passes("10.1.0.1", "203.0.113.1")


@pytest.mark.parametrize(
    ("forwarded", "hops", "passed"),
    [
        (("10.1.0.1",), 1, True),
        (("203.0.113.1",), 1, False),
        (("10.1.0.1, 203.0.113.1",), 1, False),
        (("203.0.113.1, 10.1.0.1",), 1, True),
        (("junk, 10.1.0.1",), 1, True),
        (("10.1.0.1, 172.16.0.1",), 2, True),
        (("10.1.0.1", "172.16.0.1"), 2, True),
        (("10.1.0.1, 203.0.113.1, 172.16.0.1",), 2, False),
        (("10.1.0.1:4711",), 1, True),
        (("[2001:db8::5]:4711",), 1, True),
        (("2001:db8::5",), 1, True),
    ],
)
def test_behind_proxies_the_source_is_counted_from_the_right(
    forwarded: tuple[str, ...], hops: int, passed: bool
) -> None:
    assert passes("172.16.0.2", *forwarded, hops=hops) is passed


@pytest.mark.parametrize(
    ("forwarded", "hops"),
    [
        ((), 1),
        (("",), 1),
        (("10.1.0.1",), 2),
        (("10.1.0.1,",), 1),
        (("10.1.0.1, unknown",), 2),
        (("_hidden",), 1),
        (("10.1.0.256",), 1),
        (("10.1.0.1 10.1.0.2",), 1),
    ],
)
def test_a_forwarded_source_that_is_missing_or_malformed_does_not_pass(
    forwarded: tuple[str, ...], hops: int
) -> None:
    assert not passes("10.1.0.1", *forwarded, hops=hops)


def test_messages_show_what_came_without_its_control_characters() -> None:
    gate = SourceGate(NETWORKS, trusted_hops=1)
    with pytest.raises(Unauthenticated, match="no address") as caught:
        gate.check("openim", "10.1.0.1", CIMultiDict({"X-Forwarded-For": "\x1b[31m"}))
    assert "\x1b" not in str(caught.value)
