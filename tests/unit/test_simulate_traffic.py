"""What simulators send: bodies of every command, a world that moves on, twins and repeats as promised."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from random import Random
from typing import Any

import orjson
import pytest

from bridge.errors import UsageError
from bridge.simulate.markers import FIELD
from bridge.simulate.mix import Weighted, choose
from bridge.simulate.traffic import Sending, Traffic
from bridge.simulate.world import World
from schemas.callback import UNPARSED, Callback
from schemas.catalog import Catalog, CommandSpec
from schemas.envelope import Envelope
from schemas.normalize.lossless import read_json

CATALOG = Catalog.load()
PROVIDERS = ("tencent", "openim")
SAMPLE_IDS = (
    "ada",
    "bo",
    "cy",
    "dee",
    "bob",
    "leckie",
    "jared",
    "tommy",
    "u_10",
    "user78",
    "user79",
    "@TGS#",
)


def traffic(provider: str, weighted: Weighted, **options: Any) -> Traffic:
    return Traffic(provider, weighted, **{"run": "testruns", "seed": 7, "app": "1400000000", **options})


def only(spec: CommandSpec, **options: Any) -> Traffic:
    return traffic(spec.provider, Weighted([spec], [1]), **options)


def usual(provider: str, before: float | None = None, **options: Any) -> Traffic:
    return traffic(provider, choose(CATALOG, provider, None, before), **options)


def sent(supply: Traffic, count: int) -> Iterator[Sending]:
    return (supply.next() for _ in range(count))


def callback(sending: Sending, arrival: int = 0) -> Callback:
    """Return what the door makes of a sending, accepted as the ``arrival``-th."""
    spec, moment = sending.story.spec, (time.time_ns() // 1_000_000 << 16) + arrival
    content = read_json(sending.body)
    assert content is not UNPARSED
    operation = sending.operation_id or None
    return Callback(spec.provider, "1400000000", spec.name, {}, operation, sending.body, content, moment)


def events(sending: Sending, arrival: int = 0) -> list[Envelope]:
    return sending.story.spec.normalize(callback(sending, arrival))


AFTER = [pytest.param(spec, id=spec.name) for spec in CATALOG if spec.phase == "after"]
BEFORE = [pytest.param(spec, id=spec.name) for spec in CATALOG if spec.phase == "before"]


@pytest.mark.parametrize("spec", AFTER)
def test_every_after_command_fits_its_row_and_carries_its_marker(spec: CommandSpec) -> None:
    for sending in sent(only(spec), 20):
        made = events(sending)
        assert len(made) == sending.story.events
        assert all(event.type in spec.row.types for event in made)
        for event in made:
            assert event.data["origin"]["body"][FIELD] == str(sending.story.marker)


@pytest.mark.parametrize("spec", BEFORE)
def test_every_question_fits_its_row_and_carries_its_marker(spec: CommandSpec) -> None:
    for sending in sent(only(spec), 20):
        assert sending.asks
        asked = spec.question(callback(sending))
        assert asked.callback.json[FIELD] == str(sending.story.marker)


@pytest.mark.parametrize("spec", AFTER + BEFORE)
def test_nobody_of_the_samples_is_sent(spec: CommandSpec) -> None:
    body = orjson.loads(next(sent(only(spec), 1)).body)
    free = {"content", "GroupAttr", "NameCard", "Remark", "AddWording", "reqMsg", "faceURL", "HandleMsg"}
    told = orjson.dumps({key: value for key, value in body.items() if key not in free}).decode()
    if spec.provider == "tencent":
        told = told.replace("Remark", "")
    named = [known for known in SAMPLE_IDS if f'"{known}' in told]
    assert not named, told


@pytest.mark.parametrize("spec", AFTER)
def test_the_marker_changes_nothing_that_is_normalized(spec: CommandSpec) -> None:
    sending = only(spec).next()
    bare = {key: value for key, value in orjson.loads(sending.body).items() if key != FIELD}
    plain = sending._replace(body=orjson.dumps(bare))
    for with_marker, without in zip(events(sending), events(plain), strict=True):
        told, untold = dict(with_marker.data), dict(without.data)
        del told["origin"], untold["origin"]
        assert told == untold
        assert with_marker.subject == without.subject
        assert with_marker.partitionkey == without.partitionkey
        if "body" not in spec.row.identity[0] and spec.row.identity:
            assert with_marker.id == without.id


@pytest.mark.parametrize("spec", AFTER)
@pytest.mark.parametrize("request_ids", [False, True])
def test_twins_and_repeats_have_as_many_ids_as_their_story_says(spec: CommandSpec, request_ids: bool) -> None:
    """What verify expects is derived from the declared rows; here it is held against what they do."""
    supply = only(spec, identical=0.3, repeat=0.3, request_ids=request_ids and spec.provider == "tencent")
    ids: dict[str, dict[int, list[set[str]]]] = defaultdict(lambda: defaultdict(list))
    stories = {}
    for arrival, sending in enumerate(sent(supply, 200)):
        marker = str(sending.story.marker)
        stories[marker] = sending.story
        ids[marker][sending.twin].append({event.id for event in events(sending, arrival)})
    owners: Counter[str] = Counter()
    for marker, by_twin in ids.items():
        story = stories[marker]
        for arrivals in by_twin.values():
            assert len({frozenset(each) for each in arrivals}) == (len(arrivals) if story.restless else 1)
        if set(by_twin) == {0, 1}:
            assert story.twins
            assert (not by_twin[0][0] & by_twin[1][0]) == story.apart
        owners.update({one for arrivals in by_twin.values() for each in arrivals for one in each})
    assert set(owners.values()) == {1}, "two different callbacks share an id"


def test_twins_are_alike_byte_for_byte_and_repeats_in_everything() -> None:
    for provider in PROVIDERS:
        supply = usual(provider, 0.0, identical=0.2, repeat=0.2)
        first: dict[str, Sending] = {}
        kinds: Counter[str] = Counter()
        for sending in sent(supply, 2000):
            genuine = first.setdefault(str(sending.story.marker), sending)
            if sending.is_repeat:
                assert sending._replace(is_repeat=False) == genuine
                kinds["repeat"] += 1
            elif sending.twin:
                assert sending.body == genuine.body
                kinds["twin"] += 1
        shares = {kind: count / len(first) for kind, count in kinds.items()}
        assert shares == pytest.approx({"repeat": 0.2, "twin": 0.2}, abs=0.05)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_same_seed_gives_the_same_course(provider: str) -> None:
    def course(seed: int) -> list[tuple[str, int, bool, str]]:
        supply = usual(provider, identical=0.1, repeat=0.1, seed=seed)
        return [
            (sending.story.spec.name, sending.twin, sending.is_repeat, sending.story.group)
            for sending in sent(supply, 500)
        ]

    assert course(1) == course(1)
    assert course(1) != course(2)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_who_leaves_or_changes_was_there_and_who_joins_was_not(provider: str) -> None:
    inside: dict[str, set[str]] = defaultdict(set)
    strangers: set[str] = set()
    facts: Counter[str] = Counter()
    for sending in sent(usual(provider, 0.1), 3000):
        group, users = sending.story.group, set(sending.story.users)
        fact = sending.story.spec.type.split(".")[-2]
        facts[fact] += 1
        if fact == "joined":
            assert not users & strangers
            inside[group] |= users
        elif fact in ("left", "kicked"):
            assert not users & inside[f"gone {group}"]
            inside[f"gone {group}"] |= users
            inside[group] -= users
        strangers |= users
    assert min(facts[fact] for fact in ("joined", "left", "updated", "created", "sent", "decided")) > 20


def test_popularity_is_skewed_as_zipf_says() -> None:
    world = World("testruns", Random(3), groups=50)
    picked = Counter(world.pick().id for _ in range(20_000))
    (_, most), *_, (_, least) = picked.most_common()
    assert 20 < most / least < 150
    assert most / picked.most_common(2)[1][1] == pytest.approx(2, abs=0.3)


def test_a_mix_decides_what_is_sent_and_how_often() -> None:
    mix = {"Group.CallbackAfterGroupFull": 3, "push.offlinepush": 1}
    supply = traffic("tencent", choose(CATALOG, "tencent", mix, None))
    counts = Counter(sending.story.spec.name for sending in sent(supply, 4000))
    assert set(counts) == {"Group.CallbackAfterGroupFull", "Push.OfflinePush"}
    assert counts["Group.CallbackAfterGroupFull"] / counts["Push.OfflinePush"] == pytest.approx(3, abs=0.5)


def test_the_share_of_questions_counts_with_and_without_questions_in_the_mix() -> None:
    for mix in (
        None,
        {"C2C.CallbackAfterSendMsg": 1},
        {"C2C.CallbackAfterSendMsg": 1, "C2C.CallbackBeforeSendMsg": 9},
    ):
        supply = traffic("tencent", choose(CATALOG, "tencent", mix, 0.25))
        asked = sum(sending.asks for sending in sent(supply, 3000)) / 3000
        assert asked == pytest.approx(0.25, abs=0.04)


def test_every_unknown_command_of_a_mix_is_named() -> None:
    with pytest.raises(UsageError, match=r"Group\.Nothing, Nobody"):
        choose(CATALOG, "tencent", {"Group.Nothing": 1, "State.StateChange": 1, "Nobody": 2}, None)
    with pytest.raises(UsageError, match="weighs nothing"):
        choose(CATALOG, "tencent", {"State.StateChange": 0}, None)


def test_two_facts_about_one_group_never_share_a_moment() -> None:
    spec = CATALOG.find("tencent", "Group.CallbackAfterGroupFull")
    assert isinstance(spec, CommandSpec)
    seen = Counter(
        (event.subject, event.sequence) for sending in sent(only(spec), 3000) for event in events(sending)
    )
    assert set(seen.values()) == {1}
