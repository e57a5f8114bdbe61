"""The callback every load generator sends: Tencent's documented member-joined body, different each time."""

import time

PATH = (
    "/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterNewMemberJoin"
    "&contenttype=json&ClientIP=127.0.0.1&OptPlatform=RESTAPI"
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
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(_BODY % self._numbers(0))}\r\n\r\n"
        )
        self.template = head + _BODY
        self._template = self.template.encode()

    def _numbers(self, number: int) -> tuple[int, int, int, int]:
        return number % _GROUPS, self.first + number, self.since + number // 1000, number % 1000

    def request(self, number: int) -> bytes:
        """Return the whole request with that number, ready to be written to a socket."""
        return self._template % self._numbers(number)
