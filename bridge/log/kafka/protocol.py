"""The one request aiokafka does not know: metadata with topic ids, which never creates topics.

https://kafka.apache.org/41/design/protocol/#The_Messages_Metadata, version 12 (Kafka 3.1 and newer).
"""

from base64 import urlsafe_b64encode
from collections.abc import Collection
from io import BytesIO
from typing import Any, Final

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_METADATA: Final = 3
_VERSION: Final = 12
_ID_BYTES: Final = 16
_NO_ID: Final = bytes(_ID_BYTES)


class TopicId(AbstractType[str]):
    """A topic id, written as Kafka's own tools print it. Empty for a topic without one."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        """Return the id of a topic that is asked for by name."""
        if value:
            raise ValueError(f"topics are asked for by name, got the id {value}")
        return _NO_ID

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        """Return the id as text."""
        value = data.read(_ID_BYTES)
        return "" if value == _NO_ID else urlsafe_b64encode(value).rstrip(b"=").decode()


class TopicIdsResponse(Response):
    """Brokers, cluster id and topics with ids, partitions and replicas."""

    API_KEY = _METADATA
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString()),
                ("topic_id", TopicId),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class TopicIdsStruct(RequestStruct):
    """The request on the wire."""

    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = _VERSION
    RESPONSE_TYPE = TopicIdsResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", TopicId), ("name", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdsRequest(Request[TopicIdsStruct]):
    """Asks for the named topics, or for all of them with None."""

    API_KEY = _METADATA

    def __init__(self, topics: Collection[str] | None) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[TopicIdsStruct]) -> TopicIdsStruct:
        """Return what goes on the wire."""
        wanted: list[tuple[str, str, dict[int, Any]]] | None = None
        if self._topics is not None:
            wanted = [("", name, {}) for name in self._topics]
        return request_struct_class(wanted, False, False, {})
