"""Conversions beyond the plain ones, conditions in templates, choices by spans of numbers."""

from typing import Any

import pytest

from schemas.normalize.fields import Field, compile_fields
from schemas.normalize.misfit import Misfit
from schemas.normalize.shapes import SHAPES, choice_with_spans

MEMBER = (
    Field("user_id", ("userID",), "id", required=True),
    Field("role", ("roleLevel",), "choice", values={"20": "member", "60": "admin", "100": "owner"}),
)


@pytest.mark.parametrize(
    ("kind", "sent", "read"),
    [
        ("ms", 1_767_225_600_500, 1_767_225_600_500),
        ("ms", "1767225600500", 1_767_225_600_500),
        ("ms", 0, None),
        ("ms", -1, None),
        ("ms", 2**48, None),
        ("filled", "night owls", "night owls"),
        ("filled", "", None),
        ("mentioned", ["u1", "AtAllTag", ""], ["u1"]),
        ("mentions_all", ["u1", "AtAllTag"], True),
        ("mentions_all", ["u1"], False),
        ("conversation_kind", "si_a_b", "single"),
        ("conversation_kind", "sg_g", "group"),
        ("conversation_kind", "sn_a_b", "notification"),
        ("conversation_kind", "g", None),
        ("conversation_group", "sg_g_2001", "g_2001"),
        ("conversation_group", "sg_", None),
        ("conversation_group", "si_a_b", None),
    ],
)
def test_a_shape_is_read(kind: str, sent: Any, read: Any) -> None:
    assert SHAPES[kind](sent) == read


@pytest.mark.parametrize("kind", ["ms", "filled", "mentioned", "conversation_kind", "conversation_group"])
def test_a_value_of_another_type_is_a_misfit(kind: str) -> None:
    with pytest.raises(Misfit):
        SHAPES[kind]({})


def test_a_choice_takes_spans_of_numbers() -> None:
    read = choice_with_spans({"101": "text", "1000..5000": "notification"})
    assert [read(number) for number in (101, 999, 1000, 5000, 5001)] == [
        "text",
        None,
        "notification",
        "notification",
        None,
    ]
    assert read("101") == "text"
    with pytest.raises(Misfit):
        read(True)


def test_a_member_who_stands_in_a_roster_twice_has_the_highest_role() -> None:
    read = compile_fields((Field("members", ("list",), "roster", items=MEMBER),))
    sent = [("u1", 20), ("u2", 60), ("u1", 100), ("u2", 20), ("u3", None)]
    body = {"list": [{"userID": user, "roleLevel": level} for user, level in sent]}
    assert read(body)["members"] == [
        {"user_id": "u1", "role": "owner"},
        {"user_id": "u2", "role": "admin"},
        {"user_id": "u3"},
    ]


def test_one_fact_is_spread_over_a_list_of_people() -> None:
    items = (
        Field("user_id", ("owner",), "id", required=True),
        Field("friend_id", ("friends",), "ids", required=True),
        Field("mutual", (), "constant", constant=True),
    )
    read = compile_fields((Field("pairs", (".",), "spread", items=items),))
    assert read({"owner": "u1", "friends": ["u2", "u3"]})["pairs"] == [
        {"user_id": "u1", "friend_id": "u2", "mutual": True},
        {"user_id": "u1", "friend_id": "u3", "mutual": True},
    ]
    with pytest.raises(Misfit, match="friends is missing or empty"):
        read({"owner": "u1", "friends": []})


def test_a_single_object_is_a_list_of_one_where_both_are_known() -> None:
    read = compile_fields((Field("members", ("list", "."), "objects_or_one", items=MEMBER[:1]),))
    assert read({"list": [{"userID": "u1"}]}) == {"members": [{"user_id": "u1"}]}
    assert read({"userID": "u1"}) == {"members": [{"user_id": "u1"}]}


@pytest.mark.parametrize(
    ("kind", "conversation"), [("notification", "sn_a_b"), ("single", "si_a_b"), (None, "si_a_b")]
)
def test_a_template_may_be_for_one_value_of_a_field(kind: str | None, conversation: str) -> None:
    templates = ("{kind=notification}sn_{from+to}", "si_{from+to}")
    fields = (
        *(Field(name, (name,), "id") for name in ("from", "to", "kind")),
        Field("conversation_id", (), "template", templates=templates),
    )
    assert compile_fields(fields)({"from": "b", "to": "a", "kind": kind})["conversation_id"] == conversation
