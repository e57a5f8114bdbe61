"""Giving a parked record again: to its own topic, with its id and sequence, told to the audit trail."""

from secrets import token_hex

from bridge.errors import UsageError
from bridge.log.base import JOB_HEADER, Log, Record, record_of
from bridge.log.dead_letters import PREFIX
from schemas.operations import operation
from schemas.topics import OPS, TOPICS


async def redrive(log: Log, letter: Record, *, actor: str, moment: int) -> str:
    """Append the original record to the topic it came from and return the job's id.

    Raises UsageError when the letter holds no record or names no topic of ours, RecordRefused when the log
    refuses it again.
    """
    if letter.headers.get(f"{PREFIX}disposition") == "gap":
        raise UsageError(
            "this dead letter tells of a gap and holds no record: there is nothing to give again"
        )
    topic = letter.headers.get(f"{PREFIX}topic", "")
    if topic not in TOPICS:
        raise UsageError(f"the dead letter names the topic {topic!r}, which is none of {', '.join(TOPICS)}")
    job = f"redrive-{token_hex(8)}"
    headers = {name: text for name, text in letter.headers.items() if not name.startswith(PREFIX)}
    timestamp = int(letter.headers.get(f"{PREFIX}timestamp", letter.timestamp))
    await log.append([Record(topic, letter.key, letter.value, {**headers, JOB_HEADER: job}, timestamp)])
    data = {"job": job, "dead_letter": letter.headers.get(f"{PREFIX}id"), "to_topic": topic, "actor": actor}
    envelope = operation("dead_letter.redriven", f"redrive/{job}", data, moment)
    await log.append([record_of(OPS, envelope, moment >> 16)])
    return job
