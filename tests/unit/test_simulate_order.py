"""Order is judged in one pass; asked of every pair, the answer is the same."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.simulate.order import inversions

TIMES = st.tuples(st.integers(0, 30), st.integers(0, 10))


def late_by_every_pair(rows: list[int], sent: list[int], acked: list[int]) -> set[int]:
    """Return each row before which something stands that was sent only after the row's acknowledgement."""
    return {
        rows[behind]
        for behind in range(len(rows))
        for before in range(behind)
        if acked[rows[behind]] < sent[rows[before]]
    }


@given(st.lists(TIMES, max_size=25), st.randoms(use_true_random=False))
def test_one_pass_finds_what_every_pair_shows(times: list[tuple[int, int]], chance: object) -> None:
    sent, acked = [begin for begin, _ in times], [begin + took for begin, took in times]
    rows = list(range(len(times)))
    chance.shuffle(rows)  # type: ignore[attr-defined]
    found = list(inversions(rows, sent, acked))
    assert {late for late, _ in found} == late_by_every_pair(rows, sent, acked)
    for late, early in found:
        assert acked[late] < sent[early]
        assert rows.index(early) < rows.index(late)


def test_what_was_sent_before_the_acknowledgement_may_stand_before_or_behind() -> None:
    sent, acked = [10, 15], [20, 25]
    assert not list(inversions([0, 1], sent, acked))
    assert not list(inversions([1, 0], sent, acked))


def test_what_was_sent_at_the_moment_of_the_acknowledgement_is_bound_to_no_order() -> None:
    assert not list(inversions([1, 0], [10, 20], [20, 30]))
    assert list(inversions([1, 0], [10, 21], [20, 30])) == [(0, 1)]
