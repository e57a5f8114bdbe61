"""The world the callbacks tell of: groups of skewed popularity, and who is in them."""

from bisect import bisect
from itertools import accumulate
from random import Random
from typing import Final

GROUPS: Final = 200
"""How many groups there are at any time."""

_KNOWN_MEMBERS: Final = 200
_FIRST_MEMBERS: Final = 8
_LATECOMERS: Final = 2


class Group:
    """One group. Nobody joins it twice; of a large one the latest members are known."""

    __slots__ = ("_last_ms", "_seq", "id", "members")

    def __init__(self, group_id: str, members: list[str]) -> None:
        self.id, self.members = group_id, members
        self._last_ms = self._seq = 0

    def moment(self, now_ms: int) -> int:
        """Return the present by the vendor's clock: no two facts about a group share a millisecond."""
        self._last_ms = max(now_ms, self._last_ms + 1)
        return self._last_ms

    def next_seq(self) -> int:
        """Return the next number of a message here."""
        self._seq += 1
        return self._seq

    def admit(self, users: list[str]) -> None:
        """Take the users in."""
        self.members = [*self.members, *users][-_KNOWN_MEMBERS:]

    def remove(self, users: list[str]) -> None:
        """Let the users go."""
        gone = set(users)
        self.members = [user for user in self.members if user not in gone]


class World:
    """Groups and users of one run: every id is new to whoever has met other runs.

    The n-th most popular group is picked 1/n as often as the first (Zipf).
    """

    def __init__(self, run: str, rng: Random, groups: int = GROUPS) -> None:
        self._run, self._rng = run, rng
        self._users = self._made = 0
        self._weights = list(accumulate(1 / rank for rank in range(1, groups + 1)))
        self._groups = [self._new_group() for _ in range(groups)]

    def pick(self) -> Group:
        """Return a group by its popularity."""
        return self._groups[self._rank()]

    def create(self) -> Group:
        """Return a new group with nobody in it yet; it is one of the less popular."""
        place = self._rng.randrange(len(self._groups) // _LATECOMERS, len(self._groups))
        self._groups[place] = group = Group(self._next_id(), [])
        return group

    def dismiss(self) -> Group:
        """Return a group that is no more; another takes its place."""
        place = self._rank()
        gone, self._groups[place] = self._groups[place], self._new_group()
        return gone

    def strangers(self, count: int) -> list[str]:
        """Return users nobody has heard of."""
        first, self._users = self._users, self._users + count
        return [f"{self._run}u{place}" for place in range(first, self._users)]

    def members(self, group: Group, count: int) -> list[str]:
        """Return so many members of the group, each another one."""
        missing = count - len(group.members)
        if missing > 0:
            group.admit(self.strangers(missing))
        return self._rng.sample(group.members, count)

    def _rank(self) -> int:
        return bisect(self._weights, self._rng.random() * self._weights[-1])

    def _new_group(self) -> Group:
        return Group(self._next_id(), self.strangers(_FIRST_MEMBERS))

    def _next_id(self) -> str:
        self._made += 1
        return f"{self._run}g{self._made}"
