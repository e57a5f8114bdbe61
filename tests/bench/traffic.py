"""The callbacks load generators send, as Tencent documents them, different each time.

Members who joined (an after-callback) and invitations (a before-callback).
"""

import time
from typing import Final, Literal, NamedTuple

Kind = Literal["joined", "invited"]
INVITEES: Final = 50


class _Shape(NamedTuple):
    """A command and its body; every number has a fixed width, so all are of one length. See post.lua."""

    command: str
    body: str


# Every user calls from an address of its own, so no two requests have the same target either.
_TARGET = (
    "/tencent?SdkAppid=1400000000&CallbackCommand={}"
    "&contenttype=json&ClientIP=10.1%02d.1%02d.1%02d&OptPlatform=Android"
)
_GROUPS = 1000
_OTHERS = ",".join(f'{{"Member_Account":"user-{n % 10}-{n + 990}"}}' for n in range(INVITEES - 1))
_SHAPES: Final[dict[Kind, _Shape]] = {
    "joined": _Shape(
        "Group.CallbackAfterNewMemberJoin",
        '"GroupId":"@TGS#2J4SZE%03d","Type":"Public","JoinType":"Apply","Operator_Account":"leckie",'
        '"NewMemberList":[{"Member_Account":"jared%09d"},{"Member_Account":"tommy"}],'
        '"EventTime":"%010d%03d"',
    ),
    "invited": _Shape(
        "Group.CallbackBeforeInviteJoinGroup",
        '"GroupId":"@TGS#2J4SZE%03d","Type":"Public","Operator_Account":"leckie",'
        f'"DestinationMembers":[{{"Member_Account":"jared%09d"}},{_OTHERS}],"EventTime":"%010d%03d"',
    ),
}


class Traffic:
    """Requests to one port of 127.0.0.1, each with another member, spread over a thousand groups.

    Two traffics with different ``run`` numbers have no callback in common. ``run`` is below 90.
    """

    def __init__(self, port: int, run: int = 0, kind: Kind = "joined") -> None:
        self.first = run * 10_000_000
        self.since = int(time.time()) - 7200
        command, rest = _SHAPES[kind]
        body = f'{{"CallbackCommand":"{command}",{rest}}}'
        length = len(body % self._numbers(0)[3:])
        headers = f"Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}"
        self.template = f"POST {_TARGET.format(command)} HTTP/1.1\r\n{headers}\r\n\r\n{body}"
        self._template = self.template.encode()

    def _numbers(self, number: int) -> tuple[int, ...]:
        address = number // 10_000 % 100, number // 100 % 100, number % 100
        return *address, number % _GROUPS, self.first + number, self.since + number // 1000, number % 1000

    def request(self, number: int) -> bytes:
        """Return the whole request with that number, ready to be written to a socket."""
        return self._template % self._numbers(number)
