"""Events of the audit trail ``im.ops.v1``: what operators did, as envelopes."""

from secrets import token_hex
from typing import Any, Final

from schemas.envelope import Envelope, format_time

SOURCE: Final = "/im/operations"


def operation(fact: str, subject: str, data: dict[str, Any], moment: int) -> Envelope:
    """Return the event ``im.ops.{fact}.v1``; ``moment`` is 48 bits milliseconds, 16 bits counter."""
    when = format_time(moment >> 16)
    return Envelope(
        id=f"ops-{token_hex(16)}",
        source=SOURCE,
        type=f"im.ops.{fact}.v1",
        subject=subject,
        time=when,
        recordedtime=when,
        sequence=f"{moment:016x}",
        partitionkey=subject,
        data=data,
    )
