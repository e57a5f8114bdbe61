"""What callers may take of time and memory, each and all together."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Bytes, seconds and numbers that hold for every caller.

    A body has ``body_seconds`` to arrive from its head on, a head likewise, and a caller that does not read
    its answers as long. ``journal_seconds`` bounds the wait for the disk, ``keepalive_seconds`` the silence
    between two requests, ``lingering_seconds`` how long a caller that was answered early may go on sending.

    ``buffer_bytes`` hold what has arrived of requests that are not whole, over all connections.
    """

    body_bytes: int
    body_seconds: float
    journal_seconds: float
    keepalive_seconds: float
    buffer_bytes: int
    lingering_seconds: float = 2.0


class Room:
    """The memory for what arrives ahead of its turn, shared by all connections; ``free`` bytes are left."""

    def __init__(self, size: int) -> None:
        self.free = size


class Share:
    """What one connection holds of the room."""

    __slots__ = ("_room", "held")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.held = 0

    def take(self, size: int) -> bool:
        """Hold ``size`` bytes more; False, with nothing taken, when the room has none left."""
        if size > self._room.free:
            return False
        self._room.free -= size
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """Hold ``size`` bytes less, or nothing where that is all."""
        size = min(size, self.held)
        self._room.free += size
        self.held -= size

    def let_go(self) -> None:
        """Give everything back."""
        self.give_back(self.held)
