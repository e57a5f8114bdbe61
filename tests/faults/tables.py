"""Whether projections have come to the end of the logs, and what a fresh one makes of the same records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consumers.projections.known import PROJECTIONS
from tests.looking import checkpoints, tables
from tests.process_kit import running, until

TOPICS = {topic for projection in PROJECTIONS.values() for topic in projection.topics}
Ends = Mapping[tuple[str, int], int]


def store_in(directory: Path) -> str:
    """Return the address of the SQLite store of a data directory."""
    return f"sqlite:///{directory}/imbridge.sqlite"


def until_projected(url: str, ends: Ends, seconds: float = 60.0) -> None:
    """Return once every projection's checkpoint stands at these ends, by topic and partition."""
    wanted = {
        (projection.name, topic, partition): end
        for projection in PROJECTIONS.values()
        for (topic, partition), end in ends.items()
        if topic in projection.topics
    }

    def is_there() -> bool:
        held = checkpoints(url)
        return all(held.get(place, 0) >= end for place, end in wanted.items())

    until(is_there, f"the projections in {url} stand at {dict(wanted)}", seconds)


def fresh_tables(
    data_dir: Path, place: Path, ends: Ends, **settings: str
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the tables that a consumer with an empty store makes of the same logs. Stop the others first."""
    place.mkdir()
    url = store_in(place)
    with running("consume", data_dir=data_dir, **{**settings, "STORE__URL": url}) as consumer:
        until_projected(url, ends)
        assert consumer.stop() == 0
    return tables(url)
