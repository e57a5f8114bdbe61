"""Counters without locks: what is looked at is what was counted, as the library's own would say it."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from bridge.counting import PlainCounter, PlainHistogram

BUCKETS = (0.001, 0.5, 1.0, 5.0)
OBSERVED = (0.0, 0.001, 0.0011, 0.5, 0.7, 5.0, 5.1, 60.0)


def shown(registry: CollectorRegistry) -> list[str]:
    """Return the lines of the exposition; when each counter was made is not told."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_a_plain_counter_shows_what_the_librarys_own_shows() -> None:
    plain, usual = CollectorRegistry(), CollectorRegistry()
    ours = PlainCounter("answers_total", "Answers", ("who", "what"), plain)
    theirs = Counter("answers_total", "Answers", ("who", "what"), registry=usual)
    assert shown(plain) == shown(usual)
    for labels in [("a", "x"), ("a", "y"), ("a", "x"), ('"', "\n")]:
        ours.inc(*labels)
        theirs.labels(*labels).inc()
        assert shown(plain) == shown(usual)


def test_a_plain_histogram_shows_what_the_librarys_own_shows() -> None:
    plain, usual = CollectorRegistry(), CollectorRegistry()
    ours = PlainHistogram("taken_seconds", "Taken", ("who",), BUCKETS, plain)
    theirs = Histogram("taken_seconds", "Taken", ("who",), buckets=BUCKETS, registry=usual)
    assert shown(plain) == shown(usual)
    for value in OBSERVED:
        for who in ("a", "b"):
            ours.observe(value, who)
            theirs.labels(who).observe(value)
            assert shown(plain) == shown(usual)
