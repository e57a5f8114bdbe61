"""One rule, published as an operator does, beside whatever runs over the data directory."""

from pathlib import Path
from typing import Final

from tests.command_line import imbridge
from tests.process_kit import environment

_NOT_MALLORY: Final = """\
kind: rule
id: not-mallory
rev: 1
on: [invite]
members: {fact: invitee.id, eq: mallory}
effect: refuse_members
"""


def publish_not_mallory(data_dir: Path, **settings: str) -> None:
    """Publish the rule that refuses mallory alone."""
    rule = data_dir.parent / "rule.yaml"
    rule.write_text(_NOT_MALLORY)
    said = imbridge("rules", "publish", str(rule), env=environment(data_dir, **settings))
    assert said.code == 0, said.err
