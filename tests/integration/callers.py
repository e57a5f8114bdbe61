"""Plays the vendors' senders over keep-alive connections, a group each, and keeps every answer."""

import http.client
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import orjson

TENCENT_OK = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
OPENIM_OK = {"actionCode": 0, "errCode": 0, "errMsg": "", "errDlt": "", "nextCode": 0}
BEGAN_MS = 1_700_000_000_000


class Call(NamedTuple):
    """One callback. ``user`` tells it from every other; ``wanted`` is the answer of a bridge that is well."""

    group: str
    user: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    wanted: dict[str, Any]
    after: bool = True


class Answer(NamedTuple):
    """What came back, and how long that took."""

    call: Call
    status: int
    body: Any
    seconds: float

    @property
    def is_wanted(self) -> bool:
        """Whether the caller was told what a bridge that is well tells it."""
        return self.status == 200 and self.body == self.call.wanted


def tencent_join(group: str, user: str, number: int = 0, app: str = "1400000000") -> Call:
    """Return Tencent's callback that ``user`` joined."""
    command = "Group.CallbackAfterNewMemberJoin"
    body = {
        "CallbackCommand": command,
        "GroupId": group,
        "Type": "Public",
        "JoinType": "Apply",
        "Operator_Account": "leckie",
        "NewMemberList": [{"Member_Account": user}],
        "EventTime": BEGAN_MS + number,
    }
    path = f"/?SdkAppid={app}&CallbackCommand={command}&contenttype=json"
    return Call(group, user, path, body, {}, TENCENT_OK)


def openim_join(group: str, user: str, number: int = 0) -> Call:
    """Return OpenIM's callback that ``user`` joined."""
    command = "callbackAfterMemberJoinGroupCommand"
    body = {"callbackCommand": command, "groupID": group, "userID": user, "ex": "e", "groupEx": "g"}
    headers = {"operationID": f"{group}-{number}"}
    return Call(group, user, f"/openim/{command}?contenttype=json", body, headers, OPENIM_OK)


def tencent_invite(group: str, *users: str, refused: str | None = None, app: str = "1400000000") -> Call:
    """Return Tencent's question whether ``users`` may be invited, of whom ``refused`` should not."""
    command = "Group.CallbackBeforeInviteJoinGroup"
    body = {
        "CallbackCommand": command,
        "GroupId": group,
        "Type": "Public",
        "Operator_Account": "leckie",
        "DestinationMembers": [{"Member_Account": user} for user in users],
    }
    wanted = {**TENCENT_OK, "RefusedMembers_Account": [refused]} if refused else TENCENT_OK
    path = f"/?SdkAppid={app}&CallbackCommand={command}&contenttype=json"
    return Call(group, users[0], path, body, {}, wanted, after=False)


class Callers:
    """Callers at work while the block lasts: odd ones are OpenIM, even ones Tencent.

    Each sends its next callback when the one before was answered, ``pause`` seconds later. With ``refused``
    every fifth call of a Tencent caller asks whether that user may be invited.
    """

    def __init__(
        self, base: str, name: str = "g", *, count: int = 4, pause: float = 0.01, refused: str = ""
    ) -> None:
        self._address = urlsplit(base).netloc
        self._name, self._pause, self._refused = name, pause, refused
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(place,)) for place in range(count)]
        self.answers: list[Answer] = []
        self.unanswered: list[Call] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send nothing more and wait for the answers under way."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def acknowledged(self) -> list[str]:
        """The users of the after-callbacks that were acknowledged, per caller in order."""
        return [answer.call.user for answer in self.answers if answer.call.after and answer.is_wanted]

    @property
    def decided(self) -> list[Answer]:
        """The answers to questions."""
        return [answer for answer in self.answers if not answer.call.after]

    @property
    def wrong(self) -> list[Answer]:
        """The answers other than those of a bridge that is well."""
        return [answer for answer in self.answers if not answer.is_wanted]

    def until_acknowledged(self, more: int, seconds: float = 20.0) -> None:
        """Return once so many more after-callbacks than now were acknowledged."""
        wanted, deadline = len(self.acknowledged) + more, time.monotonic() + seconds
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, f"{len(self.acknowledged)} of {wanted} in {seconds:g} s"
            time.sleep(0.02)

    def _call(self, place: int) -> None:
        number = 0
        connection = http.client.HTTPConnection(self._address, timeout=10)
        while not self._over.is_set():
            number += 1
            call = self._next(place, number)
            try:
                self.answers.append(_ask(connection, call))
            except (OSError, http.client.HTTPException):
                self.unanswered.append(call)
                connection.close()
                self._over.wait(0.02)
            self._over.wait(self._pause)
        connection.close()

    def _next(self, place: int, number: int) -> Call:
        group = f"{self._name}{place}"
        if place % 2:
            return openim_join(group, f"{group}-{number}", number)
        if self._refused and number % 5 == 0:
            return tencent_invite(group, f"{group}-{number}", self._refused, refused=self._refused)
        return tencent_join(group, f"{group}-{number}", number)


def _ask(connection: http.client.HTTPConnection, call: Call) -> Answer:
    begun = time.monotonic()
    connection.request("POST", call.path, orjson.dumps(call.body), call.headers)
    response = connection.getresponse()
    content = response.read()
    body: Any = content
    with suppress(orjson.JSONDecodeError):
        body = orjson.loads(content)
    return Answer(call, response.status, body, time.monotonic() - begun)
