"""No error of the driver leaks: every class it knows becomes one of ours."""

import pytest

driver = pytest.importorskip("aiokafka.errors")

from bridge.errors import LogError, LogUnavailable, RecordRefused  # noqa: E402
from bridge.log.kafka.errors import translated  # noqa: E402

CLASSES = sorted(
    {value for value in vars(driver).values() if isinstance(value, type) and issubclass(value, Exception)},
    key=lambda value: value.__name__,
)
REFUSED = {"MessageSizeTooLargeError", "RecordListTooLargeError", "InvalidTimestampError"}


def test_the_driver_knows_many_errors() -> None:
    assert len(CLASSES) > 90


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_driver_becomes_one_of_ours(kind: type[Exception]) -> None:
    with pytest.raises(LogError, match="cannot append: ") as caught, translated("cannot append"):
        raise kind
    assert type(caught.value) in {LogUnavailable, RecordRefused}
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_only_what_lies_in_the_record_itself_is_refused(kind: type[Exception]) -> None:
    """Anything else would set genuine records aside for what an operator can mend."""
    with pytest.raises(LogError) as caught, translated("cannot append"):
        raise kind
    refused = isinstance(caught.value, RecordRefused)
    assert refused == (kind.__name__ in REFUSED or kind.__name__ == "UnsupportedForMessageFormatError")


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "refused"), TimeoutError(), NotImplementedError()]
)
def test_what_sockets_and_clocks_raise_can_be_tried_again(error: Exception) -> None:
    with pytest.raises(LogUnavailable), translated("cannot read"):
        raise error


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(RecordRefused, match=r"^too large$"), translated("cannot append"):
        raise RecordRefused("too large")


def test_a_message_tells_what_to_do() -> None:
    with pytest.raises(LogUnavailable, match="check security protocol"), translated("cannot append"):
        raise driver.SaslAuthenticationFailed("bad password")


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(KeyError), translated("cannot append"):
        raise KeyError("typo")
