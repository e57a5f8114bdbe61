"""The guide's example is one that can be published, and its tables name what there is."""

import re
from pathlib import Path
from typing import get_args

import pytest

from consumers.rules import check
from consumers.rules.acts import known_acts
from consumers.rules.deciding import FallbackReason
from consumers.rules.guide import END, with_tables
from consumers.rules.operators import OPERATORS
from consumers.rules.schema import SCHEMA

GUIDE = (Path(__file__).parents[2] / "deploy" / "RULES.md").read_text("utf-8")


def test_the_complete_example_checks_out_without_a_warning(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "example.yaml").write_text(example)
    report = check([tmp_path], 1_767_225_600_000)
    assert (report.problems, report.warnings) == ((), ())
    assert (report.rules, report.lists, report.tests_run) == (5, 2, 11)


def _missing(names: set[str]) -> set[str]:
    return {name for name in names if f"`{name}`" not in GUIDE}


def test_every_act_fact_operator_setting_and_fallback_is_in_the_guide() -> None:
    facts = {fact for act in known_acts().values() for fact in act.facts}
    rule = set(SCHEMA["$defs"]["rule"]["properties"]) - {"apiVersion"}
    given = set(SCHEMA["$defs"]["given"]["properties"])
    expect = set(SCHEMA["$defs"]["test"]["properties"]["expect"]["properties"])
    for names in (
        facts,
        set(OPERATORS),
        rule,
        given,
        expect,
        set(known_acts()),
        set(get_args(FallbackReason)),
    ):
        assert _missing(names) == set()


def test_the_tables_of_acts_are_current() -> None:
    assert with_tables(GUIDE) == GUIDE, "run python -m consumers.rules"


def test_the_tables_name_every_act_its_callbacks_and_their_codes() -> None:
    for act in known_acts().values():
        for one in act.asking:
            codes = f"{one.codes[0]}-{one.codes[-1]}" if one.codes else "none"
            assert f"| `{act.name}` | `{one.command}` | {codes} |" in GUIDE


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        with_tables(GUIDE.replace(END, ""))
