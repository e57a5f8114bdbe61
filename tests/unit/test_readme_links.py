"""What the README points at exists: files, and the tests that prove its promises."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "deploy/README.md", "deploy/RULES.md")
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)[^)]*\)")


def links(page: str) -> list[tuple[str, Path]]:
    text = (ROOT / page).read_text()
    found = [(label, target) for label, target in LINK.findall(text) if "://" not in target]
    return [(label, ((ROOT / page).parent / target).resolve()) for label, target in found]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: str) -> None:
    assert [str(target) for _, target in links(page) if not target.exists()] == []


def test_every_test_named_beside_a_promise_stands_in_its_file() -> None:
    named = [(label, path) for label, path in links("README.md") if label.startswith("test_")]
    assert len(named) >= 7
    assert [label for label, path in named if f"def {label}(" not in path.read_text()] == []
