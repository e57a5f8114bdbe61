"""The places of connections: how many there are, and how one is made for a new caller."""

import resource
from typing import Final, Protocol

from bridge.ingress.tally import Seldom
from bridge.telemetry import CONNECTIONS, CONNECTIONS_ENDED, logger

_SPARE_FILES: Final = 256
"""Files that the process needs beside its connections."""

_IDLE_SECONDS: Final = 1.0
_log = logger("ingress")


class Connection(Protocol):
    """A connection, as far as its place is concerned."""

    idle_since: float

    def is_idle(self) -> bool:
        """Say whether no request is here."""

    def end(self) -> None:
        """Close the connection once what was written is sent."""

    def sweep(self, now: float) -> None:
        """Act when time is up."""

    def cut_off(self) -> None:
        """End the connection now, whatever is under way."""


class Places:
    """``most`` connections have a place; a quarter more are let in, for one question each.

    When the places are taken, those connections lose theirs that have been idle the longest, a second at
    least. What comes beyond the quarter is cut off unheard.
    """

    def __init__(self, most: int) -> None:
        self.connections: set[Connection] = set()
        self.most = most
        self._may_look = True
        self._seldom = Seldom()

    def __len__(self) -> int:
        return len(self.connections)

    def admit(self, connection: Connection) -> bool:
        """Take a connection in; say whether it has a place."""
        self.connections.add(connection)
        if not self.is_crowded():
            return True
        self._make_room(connection.idle_since)
        if len(self.connections) > self.most + max(1, self.most // 4):
            CONNECTIONS_ENDED.labels("no_place").inc()
            connection.cut_off()
        return False

    def dismiss(self, connection: Connection) -> None:
        """Forget a connection that ended."""
        self.connections.discard(connection)

    def is_crowded(self) -> bool:
        """Say whether there are more connections than places."""
        return len(self.connections) > self.most

    def look_again(self) -> None:
        """Allow another search for idle connections: it costs as much as there are connections."""
        self._may_look = True
        CONNECTIONS.set(len(self.connections))

    def fit_files(self) -> None:
        """Raise the limit of open files to what is needed; have fewer places where it stays lower."""
        needed = self.most + max(1, self.most // 4) + _SPARE_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= needed:
            return
        allowed = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < needed:
            self.most = max(1, (allowed - _SPARE_FILES) * 4 // 5)
            _log.warning("connections.limited", open_files=allowed, needed=needed, max_connections=self.most)

    def _make_room(self, now: float) -> None:
        if not self._may_look:
            return
        self._may_look = False
        idle = [one for one in self.connections if one.is_idle() and now - one.idle_since >= _IDLE_SECONDS]
        idle.sort(key=lambda one: one.idle_since)
        for one in idle[: self.most // 16 + 1]:
            CONNECTIONS_ENDED.labels("made_room").inc()
            one.end()
        count = self._seldom.due("crowded")
        if count:
            _log.warning("connections.crowded", connections=len(self), idle=len(idle), count=count)
