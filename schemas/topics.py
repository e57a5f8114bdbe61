"""The topics: name, partitions, retention, clean-up. One list, used by every log and by the documents."""

from typing import Final, Literal, NamedTuple

DAY_MS: Final = 86_400_000
_DEAD_LETTER_HEADERS: Final = 65_536


class Topic(NamedTuple):
    """One topic as it should stand on Kafka; ``home`` says which segment log holds it when embedded."""

    name: str
    partitions: int
    retention_ms: int
    cleanup: Literal["delete", "compact", "compact,delete"]
    home: Literal["journal", "control"]
    holds: str


GROUP: Final = "im.group.v1"
USER: Final = "im.user.v1"
MESSAGE: Final = "im.message.v1"
DECISION: Final = "im.decision.v1"
UNRECOGNIZED: Final = "im.unrecognized.v1"
RULES: Final = "im.rules.v1"
DLQ: Final = "im.dlq.v1"
OPS: Final = "im.ops.v1"

TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic(GROUP, 12, 30 * DAY_MS, "delete", "journal", "groups, their members and roles"),
        Topic(USER, 6, 30 * DAY_MS, "delete", "journal", "profiles, friends, presence"),
        Topic(MESSAGE, 24, 7 * DAY_MS, "delete", "journal", "messages sent, recalled, read"),
        Topic(DECISION, 12, 90 * DAY_MS, "delete", "journal", "one event per before-callback answered"),
        Topic(UNRECOGNIZED, 6, 30 * DAY_MS, "delete", "journal", "callbacks kept verbatim"),
        Topic(RULES, 1, -1, "compact", "control", "rules, lists and manifests"),
        Topic(DLQ, 6, 30 * DAY_MS, "delete", "control", "parked records with their reason"),
        Topic(OPS, 1, 90 * DAY_MS, "delete", "control", "replays, swaps, rule activations"),
    )
}


def max_message_bytes(topic: str, body_bytes: int) -> int:
    """Return the largest record ``topic`` must take for a body cap of ``body_bytes``: eight times that.

    A body that is not JSON travels as base64 (4/3), a JSON body may grow when written again, and the
    normalized fields repeat parts of it. Dead letters carry the original record and their own headers.
    """
    return 8 * body_bytes + (_DEAD_LETTER_HEADERS if topic == DLQ else 0)
