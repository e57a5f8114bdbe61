"""A consumer that was killed holds its partitions no longer than until its successor comes."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.log.base import Record, TopicPartition
from bridge.log.kafka import KafkaLog, MemberBook
from bridge.log.kafka.subscription import KafkaSubscription
from schemas.topics import GROUP, TOPICS
from tests.parts import KafkaServer

SESSION_SECONDS = 30.0
SOON_SECONDS = 15.0


class Owner:
    """Starts every partition at its beginning."""

    async def assigned(self, _partition: TopicPartition, _log_id: str) -> int | None:
        return None

    async def revoked(self, _partitions: Sequence[TopicPartition]) -> None:
        return None


def opened(kafka: KafkaServer, prefix: str, book: MemberBook) -> KafkaLog:
    topics = (TOPICS[GROUP]._replace(partitions=1),)
    return KafkaLog(
        kafka.bootstrap_servers,
        topic_prefix=prefix,
        topics=topics,
        members=book,
        session_seconds=SESSION_SECONDS,
    )


async def joined(log: KafkaLog) -> KafkaSubscription:
    """Return a subscription that has read something."""
    await log.append([Record(GROUP, "g", b"{}", {}, 1)])
    subscription = log.subscribe([GROUP], "killed", Owner())
    async with asyncio.timeout(2 * SESSION_SECONDS):
        while await subscription.read(1, 0.2) is None:
            pass
    return subscription


async def killed(log: KafkaLog, subscription: KafkaSubscription, book: MemberBook) -> None:
    """Do what the kernel does for a process that was killed: end its connections, give back its locks.

    Without a book its successor then waits for the whole session.
    """
    assert subscription._pull is not None
    coordinator = subscription._pull.consumer._coordinator
    assert coordinator is not None
    coordinator._coordination_task.cancel()
    coordinator.generation = -1  # so that it leaves no group as it is cleared away
    await log.close()
    book.close()


async def test_a_killed_member_is_taken_out_of_its_group_by_its_successor(
    kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    book = MemberBook(tmp_path)
    log = opened(kafka, prefix, book)
    await killed(log, await joined(log), book)
    heir = opened(kafka, prefix, MemberBook(tmp_path))
    began = time.monotonic()
    await joined(heir)
    assert time.monotonic() - began < SOON_SECONDS
    await heir.close()


def test_two_processes_of_one_directory_have_a_book_each(tmp_path: Path) -> None:
    one, two = MemberBook(tmp_path), MemberBook(tmp_path)
    one.write("groups", "a")
    two.write("groups", "b")
    one.close()
    heir = MemberBook(tmp_path)
    assert (heir.of("groups"), two.of("groups")) == ("a", "b")


@pytest.mark.parametrize("torn", [b"", b'{"groups": "a', b"[1]", b'{"groups": 7}'])
def test_a_book_torn_by_a_kill_says_nothing(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "kafka-members-1.json").write_bytes(torn)
    assert MemberBook(tmp_path).of("groups") is None


def test_where_no_book_can_be_had_nothing_is_remembered_beyond_the_process(tmp_path: Path) -> None:
    (tmp_path / "in-the-way").touch()
    book = MemberBook(tmp_path / "in-the-way")
    book.write("groups", "a")
    assert book.of("groups") == "a"
