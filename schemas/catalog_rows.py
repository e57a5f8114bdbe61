"""The rows of the catalog as data: everything there is to say about one callback command.

``schemas/commands/*.toml`` holds them, ``catalog_tables`` reads them, ``catalog_events`` compiles what a row
means when a callback arrives.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from schemas.normalize.fields import Field

Phase = Literal["before", "after"]
Status = Literal["current", "legacy", "docs-only", "defined-never-sent"]

PHASES: Final[tuple[str, ...]] = get_args(Phase)
STATUSES: Final[tuple[str, ...]] = get_args(Status)


class TimeSource(NamedTuple):
    """Where the vendor's time stands in the body, and its unit: ``ms`` or ``s``."""

    path: str
    unit: str


class Answers(NamedTuple):
    """How a before-command is refused.

    ``deny_code`` is the vendor's code for a plain refusal, ``codes`` the inclusive range of own codes.
    ``refuse_some`` is the answer's field for refused members, None where the vendor knows none.
    ``echo`` names body fields that an answer must carry back, lest the vendor blanks them.
    """

    deny_code: int
    codes: tuple[int, int]
    refuse_some: str | None = None
    echo: tuple[str, ...] = ()


class Row(NamedTuple):
    """One callback command of one provider, as declared. ``unmapped`` fields are kept in the origin alone."""

    provider: str
    name: str
    summary: str
    phase: Phase
    status: Status
    since: str
    type: str
    topic: str
    subject: str
    partition_key: str
    fields: tuple[Field, ...]
    unmapped: tuple[str, ...]
    on_failure: str
    pages: tuple[str, ...]
    example: Mapping[str, Any]
    example_query: str
    example_headers: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    time: TimeSource | None = None
    act: str = ""
    members: str = ""
    answers: Answers | None = None


class Table(NamedTuple):
    """One TOML file: the provider, where its bodies usually carry their time, and its rows."""

    provider: str
    time: TimeSource | None
    rows: tuple[Row, ...]
