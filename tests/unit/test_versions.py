"""Events of every released version are read by today's schemas and by today's reader of envelopes."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from schemas.catalog_readme import EVENTS
from schemas.envelope import read_structured
from tests.samples.freeze import VERSIONS, freeze

KEPT = sorted(VERSIONS.glob("*/*/*.event.json"))


def check(event: Any) -> None:
    """Read one structured event. Raises ValueError where today's schemas do not take it."""
    envelope = read_structured(orjson.dumps(event))
    schema = orjson.loads((EVENTS / f"{envelope.type}.json").read_bytes())
    jsonschema_rs.validator_for(schema).validate(envelope.data)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: "-".join(path.parts[-3:]))
def test_todays_schemas_read_a_sample_of_an_older_version(path: Path) -> None:
    content = orjson.loads(path.read_bytes())
    for event in content if isinstance(content, list) else [content]:
        check(event)


def test_every_version_that_was_kept_holds_samples_of_both_providers() -> None:
    kept = {path.name: {below.name for below in path.iterdir()} for path in VERSIONS.iterdir()}
    assert "0.1.0" in kept
    assert all(providers == {"tencent", "openim"} for providers in kept.values())


def test_what_the_schemas_would_no_longer_read_is_found() -> None:
    event = orjson.loads(KEPT[0].read_bytes())
    del event["data"]["origin"]
    with pytest.raises(jsonschema_rs.ValidationError, match="origin"):
        check(event)


def test_freezing_again_leaves_what_is_golden_now(tmp_path: Path) -> None:
    (tmp_path / "1.2.3" / "tencent").mkdir(parents=True)
    (tmp_path / "1.2.3" / "tencent" / "gone.event.json").touch()
    count = freeze("1.2.3", tmp_path)
    assert count == len(list(tmp_path.rglob("*.event.json"))) > 0


def test_what_is_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got '\.\.'"):
        freeze("..", tmp_path)
