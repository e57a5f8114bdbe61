"""The rows of the catalog as data: everything there is to say about one callback command.

``schemas/commands/*.toml`` holds them, ``catalog_tables`` reads them, ``catalog_events`` compiles what a row
means when a callback arrives.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from schemas.decisions import Effect
from schemas.normalize.fields import Field
from schemas.normalize.identity import Identity

Phase = Literal["before", "after"]
Status = Literal["current", "legacy", "docs-only", "defined-never-sent"]

PHASES: Final[tuple[str, ...]] = get_args(Phase)
STATUSES: Final[tuple[str, ...]] = get_args(Status)
NO_CODES: Final = (0, -1)
"""The range of own codes of a vendor that takes none."""


class TimeSource(NamedTuple):
    """Where the vendor's time stands in the body, and its unit: ``ms`` or ``s``."""

    path: str
    unit: str


class TypeChoice(NamedTuple):
    """Which event type a callback becomes: chosen by what stands at ``path``; another value fits none."""

    path: str
    values: Mapping[str, str]


class Batch(NamedTuple):
    """A body that holds events instead of being one: a list at ``path`` of one to ``at_most`` objects."""

    path: str
    at_most: int


class Answers(NamedTuple):
    """What a before-command can be told beside allow.

    ``deny_code`` is the vendor's code for a plain refusal, ``codes`` the inclusive range of own codes.
    ``refuse_some`` is the answer's field for refused members, None where the vendor knows none;
    ``per_target`` is the path of those in the body each of whom is answered by a verdict of its own.
    ``keep_some`` is the path of the people in the body whose list, at its first key, an answer may carry
    back with some of them left out.
    ``drop_code`` makes the act vanish while the user sees success. ``modify`` names the answer's field for
    each normalized field that can be changed, with ``modify_asked_only`` those alone that the question holds.
    ``constant`` holds fields every answer carries, ``echo`` names body fields that an answer must carry
    back, lest the vendor blanks them.
    """

    deny_code: int
    codes: tuple[int, int] = NO_CODES
    refuse_some: str | None = None
    echo: tuple[str, ...] = ()
    drop_code: int | None = None
    modify: Mapping[str, str] = {}
    per_target: str | None = None
    keep_some: str | None = None
    modify_asked_only: bool = False
    constant: Mapping[str, str] = {}

    def partial(self) -> bool:
        """Return whether some of the people can be refused and the others not."""
        return not (self.refuse_some is None and self.per_target is None and self.keep_some is None)

    def express(self, effect: Effect) -> Effect:
        """Return the effect the vendor can be told: what it has no words for is refused."""
        kind = effect.kind
        unsaid = (
            (kind == "refuse_members" and not self.partial())
            or (kind == "drop" and self.drop_code is None)
            or (kind == "modify" and not effect.changes.keys() <= self.modify.keys())
        )
        return Effect("deny") if unsaid else effect


class Row(NamedTuple):
    """One callback command of one provider, as declared. ``unmapped`` fields are kept in the origin alone.

    ``identity`` holds the identities to try in order, ``time`` the places of the vendor's time. Of a row
    with a ``choice``, ``type`` is the first; of a row with a ``batch``, all paths start at one of its parts.
    """

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
    identity: tuple[Identity, ...] = ()
    time: tuple[TimeSource, ...] = ()
    act: str = ""
    members: str = ""
    answers: Answers | None = None
    choice: TypeChoice | None = None
    batch: Batch | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """Every event type a callback of this command may become, ``unrecognized`` aside."""
        return (self.type,) if self.choice is None else tuple(dict.fromkeys(self.choice.values.values()))


class Table(NamedTuple):
    """One TOML file: the provider, where its bodies usually carry their time, and its rows."""

    provider: str
    time: tuple[TimeSource, ...]
    rows: tuple[Row, ...]
