"""YAML that is written is read back as the same values, by a reader that is not ours."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schemas.yaml_writer import to_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | TEXT
    | st.sampled_from(["on", "~", "1e3", "- a"]),
    lambda held: st.lists(held, max_size=4) | st.dictionaries(TEXT, held, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT | st.sampled_from(["on", "No", "200", "$ref", "a: b"]), VALUE, min_size=1))
def test_what_is_written_is_read_back_the_same(document: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(document)) == document


def test_a_fraction_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got 0\.5"):
        to_yaml({"half": 0.5})
