"""Who keeps the journal goes on keeping it, whatever stands in the way of forgetting."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.config import JournalSettings, Settings
from bridge.log.clock import HybridClock
from bridge.main import journal as keeping
from bridge.main.journal import JournalKeeper


async def test_marks_that_cannot_be_read_are_said_and_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, journal=JournalSettings(segment_bytes=1 << 20))
    keeper = JournalKeeper(settings, HybridClock(), lambda _: None)
    looked: list[Path] = []

    def forbidden(directory: Path, _: bytes) -> None:
        looked.append(directory)
        if len(looked) > 1:
            keeper.stop()
        raise PermissionError(13, "Permission denied", str(directory / "marks"))

    monkeypatch.setattr(keeping, "read_marks", forbidden)
    monkeypatch.setattr(keeping, "_FORGET_SECONDS", 0.01)
    assert await keeper.try_open()
    try:
        with capture_logs() as said:
            async with asyncio.timeout(20):
                await keeper.run()
    finally:
        await keeper.close(5.0)
    assert [each["event"] for each in said].count("journal.not_forgotten") == 2
    assert "Permission denied" in said[0]["reason"]
