"""How a set stands on the topic, and what of it is served."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.base import Record, StoredRecord
from consumers.rules import records as records_module
from consumers.rules import served as served_module
from consumers.rules.records import Packed, canonical, digest_of, named_keys, pack
from consumers.rules.served import Rejected, Served, resolve
from consumers.rules.topic import TopicState
from schemas.topics import RULES
from tests.rules_kit import documents, named, rule

BLOCKED = rule("keep-out", "refuse_members", members={"fact": "invitee.id", "on_list": "blocked"})


def manifest(packed: Packed, **changed: Any) -> dict[str, Any]:
    return {
        "apiVersion": "im.rules/v1",
        "kind": "manifest",
        "set": "default",
        "version": 3,
        "previous": 2,
        "published_at": "2026-01-01T00:00:00.000Z",
        "rules": packed.rules,
        "lists": packed.lists,
        "digest": packed.digest,
        **changed,
    }


def served(packed: Packed, **changed: Any) -> Served:
    return resolve("default", canonical(manifest(packed, **changed)), packed.records, 0)


def test_a_set_is_served_from_its_records_alone() -> None:
    packed = pack(documents(rule("a"), BLOCKED, named("blocked", "u9"), rule("b", mode="off")))
    made = served(packed)
    assert (made.rule_set, made.rules, made.lists) == (("default", 3, packed.digest), 3, 1)
    assert set(made.records) == named_keys(manifest(packed)) == set(packed.records)


def test_equal_content_has_one_digest_however_it_was_written() -> None:
    one = pack(documents(rule("a", priority=1), rule("b"), named("l", "x", "y", "x")))
    other = pack(documents(named("l", "y", "x"), rule("b"), {"priority": 1, **rule("a")}))
    assert one.digest == other.digest
    assert one.records == other.records
    assert pack(documents(rule("a", priority=2), rule("b"), named("l", "x", "y"))).digest != one.digest
    assert pack(documents(rule("a", priority=1), rule("b"), named("l", "x"))).digest != one.digest


@given(st.sets(st.text(min_size=1, max_size=8), max_size=60))
def test_a_list_in_chunks_is_the_list(values: set[str]) -> None:
    packed = _small_chunks(lambda: pack(documents({**named("l"), "values": sorted(values)})))
    found: list[str] = []
    for key, value in packed.records.items():
        content = orjson.loads(value)
        assert key == f"list/l/{digest_of(value)}"
        found += content["values"]
    assert sorted(found) == sorted(values)
    assert packed.lists == [{"name": "l", "count": len(values), "chunks": packed.lists[0]["chunks"]}]


def test_one_more_value_changes_one_chunk() -> None:
    values = [f"user-{number}" for number in range(50)]
    before = _small_chunks(lambda: pack(documents(named("l", *values))))
    after = _small_chunks(lambda: pack(documents(named("l", *values, "another"))))
    assert len(before.records) == len(after.records) == 8
    assert len(after.records.keys() - before.records.keys()) == 1


def _small_chunks(make: Callable[[], Packed]) -> Packed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records_module, "CHUNK_VALUES", 7)
        return make()


def _without(key: str) -> Callable[[Packed, dict[str, Any]], None]:
    def harm(packed: Packed, _: dict[str, Any]) -> None:
        for one in [one for one in packed.records if one.startswith(key)]:
            del packed.records[one]

    return harm


def _rewritten(key: str, **changed: Any) -> Callable[[Packed, dict[str, Any]], None]:
    def harm(packed: Packed, _: dict[str, Any]) -> None:
        (name,) = [one for one in packed.records if one.startswith(key)]
        packed.records[name] = canonical({**orjson.loads(packed.records[name]), **changed})

    return harm


def _said(**changed: Any) -> Callable[[Packed, dict[str, Any]], None]:
    return lambda _, content: content.update(changed)


def _repacked(content: Mapping[str, Any]) -> Callable[[Packed, dict[str, Any]], None]:
    """Put a rule on the topic that another program took for good: every digest fits."""

    def harm(packed: Packed, said: dict[str, Any]) -> None:
        value = canonical(content)
        packed.records["rule/a/1"] = value
        said["rules"] = [{"id": "a", "rev": 1, "digest": digest_of(value)}, *packed.rules[1:]]
        said["digest"] = records_module.content_digest(said["rules"], said["lists"])

    return harm


REJECTED: dict[str, tuple[Callable[[Packed, dict[str, Any]], None], str]] = {
    "a revision that is not there": (_without("rule/a/1"), "rule/a/1: is named by the manifest and does not"),
    "a chunk that is not there": (_without("list/blocked"), "is named by the manifest and does not stand"),
    "a revision with other content": (_rewritten("rule/a/1", priority=7), "rule/a/1: its digest is not the"),
    "a chunk with other content": (_rewritten("list/blocked", values=[]), "its digest is not the one"),
    "a manifest changed by hand": (_said(rules=[]), "manifest/default: its digest is not that of what it"),
    "a manifest of another set": (_said(set="other"), "is the manifest of set 'other'"),
    "a manifest without version": (_said(version="3"), "manifest/default, /version: "),
    "a manifest with an unknown setting": (_said(ttl=5), "unknown: ttl"),
    "a rule of a newer language": (
        _repacked({**rule("a"), "apiVersion": "im.rules/v2"}),
        "rule/a/1, /apiVersion: rule a: ",
    ),
    "a rule with a setting not known": (_repacked({**rule("a"), "until": 5}), "unknown: until"),
    "a rule on an act not known": (_repacked({**rule("a"), "on": ["fly"]}), "'fly' is no act known here"),
    "a rule that names a list not there": (
        _repacked({**rule("a"), "match": {"fact": "group.id", "on_list": "nope"}}),
        "there is no list 'nope'",
    ),
    "a rule whose own test fails": (
        _repacked({**rule("a"), "tests": [{"given": {}, "expect": {"effect": "allow"}}]}),
        "expected allow, got deny",
    ),
    "another rule under the key": (_repacked(rule("b")), "holds another rule or revision than its key says"),
    "something that is no rule": (_repacked({"kind": "note"}), "holds another rule"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_a_manifest_that_does_not_check_out_is_rejected_with_the_reason(case: str) -> None:
    harm, says = REJECTED[case]
    packed = pack(documents(rule("a"), BLOCKED, named("blocked", "u9")))
    content = manifest(packed)
    harm(packed, content)
    with pytest.raises(Rejected) as rejected:
        resolve("default", canonical(content), packed.records, 0)
    assert any(says in str(problem) for problem in rejected.value.problems), rejected.value.problems


def test_every_problem_of_a_manifest_is_named_at_once() -> None:
    packed = pack(documents(rule("a"), rule("b"), rule("c")))
    for key in ("rule/a/1", "rule/c/1"):
        del packed.records[key]
    with pytest.raises(Rejected) as rejected:
        served(packed)
    assert [str(problem).partition(":")[0] for problem in rejected.value.problems] == ["rule/a/1", "rule/c/1"]
    assert rejected.value.version == 3


def test_a_count_that_differs_is_rejected() -> None:
    packed = pack(documents(named("blocked", "u9")))
    packed.lists[0]["count"] = 2
    with pytest.raises(Rejected, match="1 values where the manifest says 2"):
        served(packed)


@pytest.mark.parametrize("value", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"{}"])
def test_a_manifest_that_cannot_be_read_is_rejected(value: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        resolve("default", value, {}, 0)
    assert rejected.value.version is None


def test_a_bug_while_making_a_set_is_a_rejection_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(served_module, "compile_set", broken)
    with pytest.raises(Rejected, match="cannot be made into a set: RecursionError"):
        served(pack(documents(rule("a"))))


def test_a_rule_nested_beyond_every_limit_is_a_rejection_not_a_crash() -> None:
    clause = orjson.loads(b'{"not":' * 200 + b'{"fact":"group.id","eq":"g"}' + b"}" * 200)
    packed = pack(documents(rule("a")))
    value = canonical({**rule("a"), "match": clause})
    packed.records["rule/a/1"] = value
    packed.rules[0]["digest"] = digest_of(value)
    with pytest.raises(Rejected, match="nested deeper than 20"):
        served(packed)


_events = st.lists(
    st.tuples(
        st.sampled_from(["rule/a/1", "rule/a/2", "manifest/default", "list/l/" + "0" * 32, "odd", None]),
        st.sampled_from([b"{}", b'{"a":1}', b"bad", None]),
    ),
    max_size=20,
)


@given(_events, st.sets(st.integers(0, 20)))
def test_a_topic_folded_in_any_batches_is_the_same(
    events: list[tuple[str | None, bytes | None]], cuts: set[int]
) -> None:
    stored = [
        StoredRecord(3 * offset, Record(RULES, key, value, {}, 0))
        for offset, (key, value) in enumerate(events)
    ]
    whole, parts = TopicState(), TopicState()
    whole.fold(stored)
    for begin, end in pairwise(sorted({0, *cuts, len(stored)})):
        parts.fold(stored[begin:end])
    assert (parts.records, parts.removed, parts.bad, parts.bad_count) == (
        whole.records,
        whole.removed,
        whole.bad,
        whole.bad_count,
    )
    last = {key: value for key, value in events if key not in {"odd", None}}
    assert {key: kept.value for key, kept in whole.records.items()} == {
        key: value for key, value in last.items() if value is not None
    }
    assert whole.removed == {key for key, value in last.items() if value is None}


def test_what_compaction_left_out_makes_no_difference() -> None:
    """A reader of the compacted topic sees only the last record of each key, at its old offset."""
    events = [
        ("rule/a/1", b"{}"),
        ("manifest/default", b"{}"),
        ("rule/a/1", None),
        ("manifest/default", b"[1]"),
    ]
    stored = [StoredRecord(at, Record(RULES, key, value, {}, 0)) for at, (key, value) in enumerate(events)]
    full, compacted = TopicState(), TopicState()
    full.fold(stored)
    compacted.fold(stored[2:])
    assert (full.records, full.removed) == (compacted.records, compacted.removed)
