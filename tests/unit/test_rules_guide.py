"""The guide's example is one that can be published, and its tables name what there is."""

import re
from pathlib import Path
from typing import get_args

from consumers.rules import check
from consumers.rules.acts import known_acts
from consumers.rules.deciding import FallbackReason
from consumers.rules.operators import OPERATORS
from consumers.rules.schema import SCHEMA

GUIDE = (Path(__file__).parents[2] / "deploy" / "RULES.md").read_text("utf-8")


def test_the_complete_example_checks_out_without_a_warning(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "example.yaml").write_text(example)
    report = check([tmp_path], 1_767_225_600_000)
    assert (report.problems, report.warnings) == ((), ())
    assert (report.rules, report.lists, report.tests_run) == (4, 2, 9)


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


def test_the_guide_names_the_providers_that_never_say_a_fact() -> None:
    written = {"tencent": "Tencent", "openim": "OpenIM"}
    rows = [line.split("|") for line in GUIDE.splitlines() if line.startswith("| `")]
    silent = {
        name: {provider for provider in written if written[provider] in row[3]}
        for row in rows
        if len(row) == 5
        for name in re.findall(r"`([a-z]+\.[a-z_]+)`", row[1])
    }
    facts = known_acts()["invite"].facts
    assert silent == {name: set(fact.silent) for name, fact in facts.items()}


def test_the_guide_gives_the_range_of_codes() -> None:
    for ranges in known_acts()["invite"].codes.values():
        assert f"{ranges[0][0]}-{ranges[0][-1]}" in GUIDE
