from pathlib import Path

from bridge.config import Settings
from bridge.main.service import ALL_ROLES, Service


async def test_before_everything_is_started_readiness_says_so(tmp_path: Path) -> None:
    parts = Service(Settings(data_dir=tmp_path), ALL_ROLES).parts()
    assert [(name, part.ok, part.gates) for name, part in parts.items()] == [("process", False, True)]
