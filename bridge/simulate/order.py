"""Order: whether what was acknowledged before something else was sent also stands before it."""

from collections.abc import Iterable, Iterator, Sequence


def inversions(
    rows: Iterable[int], sent_ns: Sequence[int], acked_ns: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Yield (late, early) for each row that stands behind one sent only after its acknowledgement.

    ``rows`` are the first occurrences under one key and journal, in the order of the log. ``early`` is the
    latest sent of those before ``late``; others may be inverted against it too. In one pass.
    """
    latest: int | None = None
    for row in rows:
        if latest is not None and sent_ns[latest] > acked_ns[row]:
            yield row, latest
        if latest is None or sent_ns[row] > sent_ns[latest]:
            latest = row
