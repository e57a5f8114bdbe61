"""Which commands are sent, and how often: a file of the operator's, or what a chat of people looks like."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from bridge.errors import UsageError
from schemas.catalog import Catalog, CommandSpec

USUAL: Final[Mapping[str, Mapping[str, float]]] = {
    "tencent": {
        "Group.CallbackAfterSendMsg": 50,
        "C2C.CallbackAfterSendMsg": 10,
        "Group.CallbackAfterNewMemberJoin": 14,
        "Group.CallbackAfterMemberExit": 6,
        "Group.CallbackAfterMemberFieldChanged": 8,
        "Group.CallbackAfterCreateGroup": 2,
        "Group.CallbackAfterGroupInfoChanged": 2,
        "State.StateChange": 8,
    },
    "openim": {
        "callbackAfterSendGroupMsgCommand": 50,
        "callbackAfterSendSingleMsgCommand": 10,
        "callbackAfterJoinGroupCommand": 14,
        "callbackAfterQuitGroupCommand": 4,
        "callbackAfterKickGroupCommand": 2,
        "callbackAfterSetGroupMemberInfoCommand": 8,
        "callbackAfterCreateGroupCommand": 2,
        "callbackAfterSetGroupInfoExCommand": 2,
        "callbackAfterUserOnlineCommand": 8,
    },
}
"""Weights of after-commands without a mix: an invention, messages first. No vendor publishes such figures."""

QUESTIONS: Final[Mapping[str, Mapping[str, float]]] = {
    "tencent": {"Group.CallbackBeforeInviteJoinGroup": 1},
    "openim": {"callbackBeforeInviteJoinGroupCommand": 1},
}
BEFORE_SHARE: Final = 0.1
"""The share of questions without a mix."""


_Pair = tuple[CommandSpec, float]


class Weighted(NamedTuple):
    """Commands and how often each is sent, in relation to the others."""

    specs: Sequence[CommandSpec]
    weights: Sequence[float]


def choose(
    catalog: Catalog, provider: str, mix: Mapping[str, float] | None, before: float | None
) -> Weighted:
    """Return the weights of a provider's commands.

    ``before`` is the share of questions: of those in the mix, or of invitations where it has none. Without
    it a mix counts as it stands. Raises UsageError, naming every command that the catalog does not know.
    """
    if mix is None:
        mix, before = USUAL[provider], BEFORE_SHARE if before is None else before
    chosen = _known(catalog, provider, mix)
    if before is not None:
        if not any(spec.phase == "before" for spec, _ in chosen):
            chosen += _known(catalog, provider, QUESTIONS[provider])
        chosen = _shared(chosen, before)
    chosen = [pair for pair in chosen if pair[1] > 0]
    if not chosen:
        raise UsageError("nothing would be sent: every command of the mix weighs nothing")
    return Weighted([spec for spec, _ in chosen], [weight for _, weight in chosen])


def read_mix(file: Path) -> Mapping[str, float]:
    """Return the weights a TOML or JSON file names: command = weight. Raises UsageError."""
    try:
        content = file.read_bytes()
        said = orjson.loads(content) if file.suffix == ".json" else tomllib.loads(content.decode())
    except (OSError, ValueError) as error:  # both decoders' errors are ValueErrors
        raise UsageError(f"the mix {file} cannot be read: {error}") from error
    if not isinstance(said, dict):
        raise UsageError(f"the mix {file} is no table of command names and weights")
    wrong = [name for name, weight in said.items() if not _is_weight(weight)]
    if wrong:
        raise UsageError(f"the mix {file} gives no weight (a number, 0 or more) for {', '.join(wrong)}")
    return said


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _known(catalog: Catalog, provider: str, mix: Mapping[str, float]) -> list[_Pair]:
    found = [(catalog.find(provider, name), float(weight)) for name, weight in mix.items()]
    unknown = [name for name, (spec, _) in zip(mix, found, strict=True) if spec is None]
    if unknown:
        raise UsageError(
            f"{provider} has no command {', '.join(unknown)}: see `imbridge catalog list` for those it has"
        )
    return [(spec, weight) for spec, weight in found if spec is not None]


def _shared(chosen: Sequence[_Pair], before: float) -> list[_Pair]:
    """Return the weights scaled so that ``before`` is the share of questions."""
    shares = {"before": before, "after": 1 - before}
    totals = {phase: sum(weight for spec, weight in chosen if spec.phase == phase) for phase in shares}
    return [(spec, shares[spec.phase] * weight / (totals[spec.phase] or 1)) for spec, weight in chosen]
