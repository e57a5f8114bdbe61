"""Single callbacks sent to a bridge, and what its vendor hears when nothing was stored."""

from pathlib import Path
from typing import Any

from tests.command_line import imbridge
from tests.integration.callers import TENCENT_OK, Call, openim_join, tencent_invite, tencent_join
from tests.parts.process import free_ports
from tests.process_kit import Bridge, environment, post, until


def fixed_ports() -> dict[str, str]:
    """Return settings under which a bridge is found at the same place again after a restart."""
    ingress, ops = free_ports(2)
    return {"INGRESS__PORT": str(ingress), "OPS__PORT": str(ops)}


def send(bridge: Bridge, call: Call) -> tuple[int, Any]:
    """Send one callback and return the status and the JSON of its answer."""
    return post(bridge.ingress + call.path, call.body, call.headers)


def is_stored(bridge: Bridge, call: Call) -> bool:
    """Send one after-callback; say whether it was acknowledged. Fails if the answer is neither yes nor no."""
    status, body = send(bridge, call)
    if (status, body) == (200, call.wanted):
        return True
    assert is_refusal(call, status, body), (status, body)
    return False


def is_refusal(call: Call, status: int, body: Any) -> bool:
    """Say whether this is the vendor's way of hearing that nothing was stored."""
    if call.wanted == TENCENT_OK:
        return status == 503 and (body["ActionStatus"], body["ErrorCode"]) == ("FAIL", 1)
    return status == 503 and (body["actionCode"], body["errCode"], body["nextCode"]) == (1, 20001, 0)


def assert_answers_questions_only(bridge: Bridge) -> None:
    """Fail unless after-callbacks of both vendors are refused and a before-callback is answered."""
    assert not is_stored(bridge, tencent_join("refused", "eve"))
    assert not is_stored(bridge, openim_join("refused", "eve"))
    assert send(bridge, tencent_invite("refused", "eve")) == (200, TENCENT_OK)


def kept(data_dir: Path, **settings: str) -> list[str]:
    """Return the users who joined a group, in order, as the log tells it beside or after the process."""
    said = imbridge("topics", "read", "im.group.v1", "--json", env=environment(data_dir, **settings))
    assert said.code == 0, said.err
    return [member["user_id"] for event in said.lines() for member in event["data"]["members"]]


def members(data_dir: Path, group: str, **settings: str) -> set[str]:
    """Return the members of a group, as the tables tell it; none where they tell nothing yet."""
    said = imbridge("groups", "show", group, "--json", env=environment(data_dir, **settings))
    shown = said.json() if said.code == 0 else []
    return {member["user_id"] for found in shown for member in found["members"]}


def until_members(data_dir: Path, group: str, users: set[str], seconds: float = 40.0) -> None:
    """Return once the tables tell that these are the members of a group."""
    until(lambda: members(data_dir, group) == users, f"the tables show {users} in {group}", seconds)
