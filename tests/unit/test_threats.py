"""The tests that deploy/threats.md names exist where it says."""

import ast
import re
from functools import cache
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"
PAGE = (DEPLOY / "threats.md").read_text()
NAMED = re.findall(r"\[(test_\w+)\]\(([^)]+)\)", PAGE)


@cache
def _functions_in(path: str) -> frozenset[str]:
    """Return the names pytest collects from a file: its functions that begin with test_."""
    tree = ast.parse((DEPLOY / path).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_every_test_the_page_names_is_in_the_file_it_links_to() -> None:
    assert len(NAMED) > 30, "the page's tests were not found"
    missing = [f"{name} in {path}" for name, path in NAMED if name not in _functions_in(path)]
    assert not missing


def test_every_threat_names_its_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| **")]
    assert len(rows) > 15, "the page's threats were not found"
    assert all(re.search(r"\[test_\w+\]\(", row.rpartition(" | ")[2]) for row in rows)


def test_every_threat_of_the_door_is_there() -> None:
    for threat in ("forged", "replayed", "huge", "slow", "flooding", "secrets", "terminal", "browser"):
        assert re.search(rf"\*\*[^|]*{threat}", PAGE, re.IGNORECASE), threat
