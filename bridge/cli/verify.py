"""``imbridge verify``: whether everything a simulator was told is stored stands where it should."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.output import print_json, print_line, print_table, progress
from bridge.cli.state import run, settings, the_log, the_store
from bridge.config import Settings
from bridge.simulate.claims import Claims
from bridge.simulate.findings import is_kept
from bridge.simulate.ledger import Entry, read_ledger
from bridge.simulate.verification import Verification
from consumers import shown

_STEP = 5000
_EXAMPLES = 5
_MEANS = {
    "acknowledged": "after-callbacks acknowledged, twins counted one by one",
    "found": "of those, whole where they should be",
    "missing": "of those, not there: lost",
    "duplicated": "there more than once, under the same id: allowed",
    "split": "one callback under more than one id",
    "merged": "two callbacks under one id",
    "inversions": "behind something sent only after they were acknowledged",
    "unordered": "in several journals, or none that is named: bound to no order",
    "indistinct": "twins no row can tell apart, in pairs: kept, under one id",
}
_MEANS_IN_TABLES = {
    "acknowledged": "acknowledgements in the ledgers, of repeats too",
    "found": "of those, shown by the tables",
    "missing": "of those, not shown",
    "untold": "of those, of what no table tells: messages, profiles, presence",
}


def verify(
    ledger: Annotated[list[Path], typer.Option(help="What a simulator wrote; may be given several times.")],
    store: Annotated[
        bool, typer.Option("--store", help="Look into the tables instead of the topics: see above.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0.0, help="Look again for so many seconds while something is missing.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")] = False,
) -> None:
    """Look for everything acknowledged in the topics, or in the embedded log, by the markers in the bodies.

    Exit code 0: nothing is missing, repeats have the same ids, no two callbacks share one, and what was
    acknowledged before something else of its partition key and journal was sent stands before it. 1: not so.

    With --store the tables must show: of a created group its row with its time, and every founding member;
    of a join every user as joined, of a departure as left; of a dismissal the group as dismissed; of a
    changed group or member that there is a row. Values, order and repeats leave no trace there, and no table
    tells of messages, profiles and presence.
    """
    looking = _in_tables(ledger, wait) if store else _in_topics(ledger, wait, shows_progress=not as_json)
    findings = run(looking)
    print_json(findings) if as_json else _show(findings, _MEANS_IN_TABLES if store else _MEANS)
    raise typer.Exit(0 if is_kept(findings) else 1)


def _entries(ledgers: list[Path]) -> Iterator[Entry]:
    return chain.from_iterable(map(read_ledger, ledgers))


async def _in_topics(ledgers: list[Path], wait: float, *, shows_progress: bool) -> dict[str, Any]:
    current = settings()
    claims = Claims(_entries(ledgers))
    async with the_log(current) as log:
        with progress() as bar:
            task = bar.add_task("records read", total=None, visible=shows_progress)

            def tell(done: int, total: int) -> None:
                if done % _STEP == 0 or done == total:
                    bar.update(task, completed=done, total=total)

            return await Verification(log, claims, tell).run(wait)


async def _in_tables(ledgers: list[Path], wait: float) -> dict[str, Any]:
    current = settings()
    async with the_store(current) as store:
        found = await shown.look(store, (_fact(current, entry) for entry in _entries(ledgers)), wait)
    return {
        "acknowledged": found.looked_for + found.untold,
        "found": found.looked_for - len(found.hidden),
        "missing": len(found.hidden),
        "untold": found.untold,
        "examples": {"missing": [fact._asdict() for fact in found.hidden[:_EXAMPLES]]}
        if found.hidden
        else {},
    }


def _fact(current: Settings, entry: Entry) -> shown.Fact:
    app = entry.app or current.openim.app
    return shown.Fact(entry.provider, app, entry.type, entry.group, entry.users)


def _show(findings: dict[str, Any], means: Mapping[str, str]) -> None:
    rows = [(kind, findings[kind], says) for kind, says in means.items()]
    print_table("acknowledged, and found", ("", "count", "means"), rows)
    for kind, examples in findings["examples"].items():
        print_line(f"{kind}, for example: {examples[0]}")
