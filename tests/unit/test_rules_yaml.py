"""YAML as operators mean it."""

import pytest

from consumers.rules.yaml_reader import Parsed, YamlError, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("true", True),
        ("False", False),
        ("010", "010"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("12", 12),
        ("-5", -5),
        ("0.5", 0.5),
        ("1e3", "1e3"),
        (".nan", ".nan"),
        ("12345678901234567890", "12345678901234567890"),
        ("2026-12-31T00:00:00Z", "2026-12-31T00:00:00Z"),
        ("2026-12-31", "2026-12-31"),
        ("~", None),
        ("null", None),
        ("'12'", "12"),
    ],
)
def test_a_scalar_is_what_it_looks_like(text: str, value: object) -> None:
    assert [parsed.content for parsed in read_yaml(f"key: {text}")] == [{"key": value}]


def test_the_key_on_is_text_and_mode_off_is_not_false() -> None:
    assert next(read_yaml("on: [invite]\nmode: off")).content == {"on": ["invite"], "mode": "off"}


def test_documents_carry_their_number_and_line_and_empty_ones_are_passed_over() -> None:
    found = list(read_yaml("a: 1\n---\n# only a remark\n---\n\nb: 2\n"))
    assert found == [Parsed(1, 1, {"a": 1}), Parsed(3, 6, {"b": 2})]


def test_an_anchor_may_be_used_within_its_document() -> None:
    assert next(read_yaml("a: &x [1]\nb: *x")).content == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3", 3, "the key 'a' stands twice"),
        ("a:\n  c: 1\n  c: 2", 3, "the key 'c' stands twice"),
        ("a: [", 2, "this is not YAML"),
        ("1: x", 1, "a key must be text"),
        ("? [a]\n: b", 1, "a key must be text"),
        ("a: *nowhere", 1, "undefined alias"),
        ("a: &x [*x]", 1, "nested deeper than 40"),
        ("a: " + "[" * 50 + "]" * 50, 1, "nested deeper than 40"),
        ("a: \x00", 1, "control characters"),
        ("a: !!python/object:os.system x", 1, "could not determine a constructor"),
        ("a: !!timestamp 2026-01-01", 1, "neither text nor number"),
        ("a: !!int x", 1, "this is not YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(YamlError, match=says) as caught:
        list(read_yaml(text))
    assert caught.value.line == line


def test_a_document_that_aliases_blow_up_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(YamlError, match="larger than 2000000 values"):
        list(read_yaml("\n".join(lines)))
