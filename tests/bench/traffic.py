"""The callback every load generator sends: Tencent's documented member-joined body, different each time."""

import time

# Every user calls from an address of its own, so no two requests have the same target either.
_TARGET = (
    "/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterNewMemberJoin"
    "&contenttype=json&ClientIP=10.1%02d.1%02d.1%02d&OptPlatform=Android"
)
_GROUPS = 1000
# Every number has a fixed width, so the length is the same for all; post.lua fills in the same way.
_BODY = (
    '{"CallbackCommand":"Group.CallbackAfterNewMemberJoin","GroupId":"@TGS#2J4SZE%03d","Type":"Public",'
    '"JoinType":"Apply","Operator_Account":"leckie",'
    '"NewMemberList":[{"Member_Account":"jared%09d"},{"Member_Account":"tommy"}],"EventTime":"%010d%03d"}'
)


class Traffic:
    """Requests to one port of 127.0.0.1, each with another member, spread over a thousand groups.

    Two traffics with different ``run`` numbers have no callback in common. ``run`` is below 90.
    """

    def __init__(self, port: int, run: int = 0) -> None:
        self.first = run * 10_000_000
        self.since = int(time.time()) - 7200
        length = len(_BODY % self._numbers(0)[3:])
        headers = f"Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}"
        self.template = f"POST {_TARGET} HTTP/1.1\r\n{headers}\r\n\r\n{_BODY}"
        self._template = self.template.encode()

    def _numbers(self, number: int) -> tuple[int, ...]:
        address = number // 10_000 % 100, number // 100 % 100, number % 100
        return *address, number % _GROUPS, self.first + number, self.since + number // 1000, number % 1000

    def request(self, number: int) -> bytes:
        """Return the whole request with that number, ready to be written to a socket."""
        return self._template % self._numbers(number)
