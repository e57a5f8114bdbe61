"""What the driver raises, as errors of ours: one function, so that none leaks past this package."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiokafka import errors as driver

from bridge.errors import LogError, LogUnavailable, RecordRefused

# Of these a repeat fails the same way, whatever happens to the cluster meanwhile.
_REFUSED: Final = (
    driver.MessageSizeTooLargeError,
    driver.RecordListTooLargeError,
    driver.InvalidTimestampError,
    driver.UnsupportedForMessageFormatError,
)
_ADVICE: Final = (
    (
        (
            driver.AuthenticationFailedError,
            driver.AuthenticationMethodNotSupported,
            driver.SaslAuthenticationFailed,
            driver.UnsupportedSaslMechanismError,
            driver.IllegalSaslStateError,
        ),
        "check security protocol, mechanism, user name and password",
    ),
    (
        (
            driver.TopicAuthorizationFailedError,
            driver.GroupAuthorizationFailedError,
            driver.ClusterAuthorizationFailedError,
        ),
        "grant this user the right on the broker",
    ),
    (
        (
            driver.UnsupportedVersionError,
            driver.IncompatibleBrokerVersion,
            driver.UnrecognizedBrokerVersion,
            NotImplementedError,
        ),
        "Apache Kafka 3.1 or newer is needed",
    ),
    ((driver.UnknownTopicOrPartitionError,), "the topic does not exist: see `imbridge doctor`"),
    (
        (driver.NotEnoughReplicasError, driver.NotEnoughReplicasAfterAppendError),
        "too few replicas are in sync",
    ),
    (  # the driver says the same of a broker that is away and of one that refuses the login
        (OSError, driver.KafkaConnectionError, driver.NodeNotReadyError),
        "is the broker running and reachable, and do security protocol, user name and password fit?",
    ),
)

DRIVER_ERRORS: Final = (
    driver.KafkaError,
    driver.ConsumerStoppedError,
    driver.IllegalOperation,
    OSError,  # refused, reset, no route, TLS; every time-out too
    NotImplementedError,  # a request of which the broker speaks no version we do
    AssertionError,  # how the driver says that it lost its state
)
"""Everything aiokafka raises from its public calls."""


def translate(error: BaseException, doing: str) -> LogError:
    """Return our error for one of the driver's: RecordRefused for the record itself, else LogUnavailable.

    Unknown errors count as retriable: what is tried again for too long is seen, what is dropped is not.
    """
    said = f"{doing}: {_words(error)}"
    if isinstance(error, _REFUSED):
        return RecordRefused(said)
    for classes, advice in _ADVICE:
        if isinstance(error, classes):
            return LogUnavailable(f"{said}; {advice}")
    return LogUnavailable(said)


def is_passing(error: BaseException) -> bool:
    """Say whether asking the same again within seconds can help (elections, new topics, lost connections)."""
    return bool(getattr(error, "retriable", isinstance(error, OSError)))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Let no error of the driver through; ``doing`` says what was tried, and with whom."""
    try:
        yield
    except LogError:
        raise
    except DRIVER_ERRORS as error:
        raise translate(error, doing) from error


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    if isinstance(error, OSError):
        return str(error)
    said = ", ".join(str(argument) for argument in error.args) or getattr(error, "description", "")
    return f"{type(error).__name__}{f' ({said})' if said else ''}"
