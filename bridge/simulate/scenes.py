"""One fact or question of the world: what stands in each slot of its body."""

from random import Random
from typing import Final

from bridge.simulate.samples import Sample
from bridge.simulate.templates import USER
from bridge.simulate.world import Group, World

_CREATED: Final = "im.group.created.v1"
_JOINED: Final = "im.group.member.joined.v1"
_LEFT: Final = frozenset({"im.group.member.left.v1", "im.group.member.kicked.v1"})
_DISMISSED: Final = "im.group.dismissed.v1"


class Scene(dict[str, str]):
    """Values by slot. Making it moves the world on: who joins is a stranger before, a member afterwards."""

    def __init__(self, sample: Sample, world: World, rng: Random, marker: str, app: str, now_ms: int) -> None:
        self._rng = rng
        self.group = _group(sample, world)
        self.subjects = _cast(self, sample, world, self.group)
        moment = self.group.moment(now_ms)
        self.update(marker=marker, app=app, group=self.group.id, ms=str(moment), s=str(moment // 1000))

    def __missing__(self, slot: str) -> str:
        kind, _, example = slot.partition(":")
        if kind == "pair":
            self[slot] = made = "_".join(sorted(self[USER + user] for user in example.split("+")))
            return made
        self[slot] = made = self._make(kind)
        return made

    def _make(self, kind: str) -> str:
        if kind == "seq":
            return str(self.group.next_seq())
        if kind == "count":
            return self["marker"].rpartition("-")[2]
        if kind == "random":
            return str(self._rng.getrandbits(32))
        if kind in ("fresh", "op"):
            return f"{self._rng.getrandbits(128):032x}"
        raise KeyError(kind)


def _group(sample: Sample, world: World) -> Group:
    if sample.spec.type == _CREATED:
        return world.create()
    return world.dismiss() if sample.spec.type == _DISMISSED else world.pick()


def _cast(scene: Scene, sample: Sample, world: World, group: Group) -> list[str]:
    """Give every user of the sample a user of the world; return those it is about."""
    kind, users = sample.spec.type, sample.template.users
    new = kind in (_CREATED, _JOINED) or sample.spec.phase == "before"
    strangers = [user for user in users if new and (user in sample.subjects or kind == _CREATED)]
    known = [user for user in users if user not in strangers]
    played = dict(zip(strangers, world.strangers(len(strangers)), strict=True))
    played |= zip(known, world.members(group, len(known)), strict=True)
    scene.update({USER + user: played[user] for user in users})
    subjects = [played[user] for user in users if user in sample.subjects]
    if kind in (_CREATED, _JOINED):
        group.admit([played[user] for user in strangers])
    elif kind in _LEFT:
        group.remove(subjects)
    return subjects
