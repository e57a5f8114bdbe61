"""``imbridge relay --until-empty``: what journals hold goes to Kafka; the exit code says whether all did."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import TaskID

from bridge.cli.output import print_json, print_line, print_table, progress
from bridge.cli.state import run, settings
from bridge.main.emptying import Emptied, relay_until_empty
from bridge.relay import RelayStatus


def empty(data_dir: Path | None, timeout: float, as_json: bool) -> int:
    """Relay every journal to its end and say how far each came; return 0 if all are empty, else 1."""
    current = settings() if data_dir is None else settings(data_dir=data_dir)
    with _bars() as show:
        journals = run(relay_until_empty(current, timeout, show))
    left = [journal for journal in journals if not journal.is_empty]
    (_tell_programs if as_json else _tell_people)(journals, not left)
    return 1 if left else 0


def _tell_programs(journals: Sequence[Emptied], is_empty: bool) -> None:
    print_json({"empty": is_empty, "journals": [journal._asdict() for journal in journals]})


def _tell_people(journals: Sequence[Emptied], is_empty: bool) -> None:
    print_table("journals", Emptied._fields, journals)
    if is_empty:
        print_line("Every journal is relayed to its end.")
    else:
        print_line("Not everything is relayed: keep the directory, and run this again.", "bold")


@contextmanager
def _bars() -> Iterator[Callable[[Sequence[RelayStatus]], None]]:
    """Yield what shows how far each relay is, as bars for people."""
    tasks: dict[int, TaskID] = {}
    with progress() as bars:

        def show(statuses: Sequence[RelayStatus]) -> None:
            for status in statuses:
                if status.journal not in tasks:
                    tasks[status.journal] = bars.add_task(f"journal {status.journal}")
                bars.update(tasks[status.journal], completed=status.next_offset, total=status.end_offset)

        yield show
