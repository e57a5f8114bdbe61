"""What a row can declare: conversions, paths, templates, choices of type, batches, several identities."""

from base64 import b32encode
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.callback import Callback
from schemas.catalog import Catalog, CatalogError, CommandSpec
from schemas.envelope import Envelope
from schemas.normalize.conversions import PLAIN
from schemas.normalize.identity import new_id
from schemas.normalize.lossless import read_json
from schemas.normalize.misfit import Misfit
from schemas.normalize.paths import compile_path
from schemas.normalize.templates import compile_template, fields_in

MOMENT = 1_771_000_000_000 << 16
ROW = """
provider = "acme"
[shared]
chat_id = { from = ["ChatId", "chatId"], as = "id", required = true }
[[command]]
name = "Told"
summary = "Something was told."
phase = "after"
status = "current"
TYPE
topic = "im.message.v1"
subject = "chat/{chat_id}"
partition_key = "{chat_id}"
IDENTITY
on_failure = "Nothing."
pages = ["https://acme.example/told"]
example = '{"ChatId": "c1"}'
TAKEN
EXTRA
[command.fields]
FIELDS
"""
SHARED = 'shared = ["chat_id"]'
TYPE, IDENTITY = 'type = "im.message.sent.v1"', 'identity = ["operation_id", "body"]'


def spec(
    folder: Path,
    fields: str = "",
    *,
    kind: str = TYPE,
    identity: str = IDENTITY,
    extra: str = "",
    shared: str = SHARED,
) -> CommandSpec:
    parts = {"TYPE": kind, "IDENTITY": identity, "TAKEN": shared, "EXTRA": extra, "FIELDS": fields}
    text = ROW
    for name, part in parts.items():
        text = text.replace(name, part)
    (folder / "acme.toml").write_text(text)
    (only,) = Catalog.load(folder)
    return only


def callback(body: Any, query: dict[str, str] | None = None, moment: int = MOMENT) -> Callback:
    raw = orjson.dumps(body)
    return Callback("acme", "1", "Told", query or {}, None, raw, read_json(raw), moment)


def told(row: CommandSpec, body: dict[str, Any], query: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the data of the only event, without origin."""
    (event,) = row.normalize(callback({"ChatId": "c1", **body}, query))
    return {name: value for name, value in event.data.items() if name not in {"origin", "chat_id"}}


def ids(row: CommandSpec, *bodies: dict[str, Any]) -> list[str]:
    return [event.id for body in bodies for event in row.normalize(callback({"ChatId": "c1", **body}))]


CONVERTED: list[tuple[str, Any, Any]] = [
    ("flag", 1, True),
    ("flag", "0", False),
    ("flag", "TRUE", True),
    ("flag", False, False),
    ("flag", 7, None),
    ("flag", "yes", None),
    ("any_flag", [0, "1", None], True),
    ("any_flag", [0, None, "no"], False),
    ("any_flag", [], False),
    ("seconds", 1_761_000_123, 1_761_000_123_000),
    ("seconds", "1761000123", 1_761_000_123_000),
    ("seconds", 0, None),
    ("seconds", -5, None),
    ("seconds", 2**60, None),
    ("seconds", "", None),
    ("integers", [1, "2"], [1, 2]),
    ("integer", "-9223372036854775808", -(2**63)),
    ("ids_or_id", "a", ["a"]),
    ("ids_or_id", ["a", 5], ["a", "5"]),
    ("ids", [], []),
    ("ids", ["a", "\u00fc"], ["a", "\u00fc"]),
    ("ids", ["a", 5], ["a", "5"]),
    ("ids", ["a" * 512, "b" * 512], ["a" * 512, "b" * 512]),
    ("present_ids", ["a", None, "", 7], ["a", "7"]),
    ("texts", ["", "a"], ["", "a"]),
    ("any", {"x": [1, None]}, {"x": [1, None]}),
    ("embedded", '{"x": [1, 2.5]}', {"x": [1, 2.5]}),
    ("embedded", "plain text", "plain text"),
    ("embedded", '{"x": 1, "x": 2}', '{"x": 1, "x": 2}'),
    ("embedded", "1e999", "1e999"),
    ("embedded", "[" * 250 + "]" * 250, "[" * 250 + "]" * 250),
    ("embedded", {"x": 1}, {"x": 1}),
]


@pytest.mark.parametrize(("kind", "value", "converted"), CONVERTED)
def test_conversions(kind: str, value: Any, converted: Any) -> None:
    assert PLAIN[kind](value) == converted
    assert type(PLAIN[kind](value)) is type(converted)


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("flag", [], "must be a flag, got list"),
        ("flag", 1.0, "must be a flag, got float"),
        ("any_flag", 1, "must be a list of flags, got int"),
        ("integers", [1, ""], "holds an empty integer"),
        ("integers", 1, "must be a list of integers, got int"),
        ("integer", "-9223372036854775809", "must be an integer of 64 bits"),
        ("seconds", 1.5, "must be an integer, got float"),
        ("ids", ["a", ""], "holds an empty id"),
        ("ids", ["a", "b" * 513], "an id must be at most 512 characters, got 513"),
        ("ids", ["a", "b\n"], "an id must not hold control characters"),
        ("ids", ["a", ["b"]], "an id must be text, got list"),
        ("ids_or_id", {}, "an id must be text, got dict"),
        ("ids_or_id", [""], "holds an empty id"),
        ("present_ids", "a", "must be a list of ids, got str"),
        ("present_ids", [{}], "an id must be text, got dict"),
        ("texts", "a", "must be a list of texts, got str"),
        ("texts", [None], "must be text, got NoneType"),
    ],
)
def test_values_of_other_types_do_not_fit(kind: str, value: Any, why: str) -> None:
    with pytest.raises(Misfit, match=f"^{why}$"):
        PLAIN[kind](value)


BODY = {"A": {"B": 1}, "L": [{"T": "x", "V": {"W": 1}}, {"T": "y", "V": 2}, {"T": "y", "V": 3}]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".", BODY),
        ("A.B", 1),
        ("L[].T", ["x", "y", "y"]),
        ("L[T=y].V", 2),
        ("L[T=x].V.W", 1),
        ("L[T=z].V", None),
        ("M[T=x].V", None),
        ("M[].V", None),
        ("L[].U", [None, None, None]),
    ],
)
def test_paths(path: str, value: Any) -> None:
    assert compile_path(path)(BODY) == value


def test_a_key_that_reads_like_a_path_is_none() -> None:
    assert compile_path("A.L[].T")({"A": {"L": [{"T": 1}, {}]}, "A.L": [{"T": 2}]}) == [1, None]
    assert compile_path("L[].T.U")({"L": [{"T": {"U": 1}, "T.U": 2}]}) == [1]


@pytest.mark.parametrize("path", ["L[T=x].V", "L[].V"])
@pytest.mark.parametrize("wrong", [{"L": {}}, {"L": ["x"]}, {"L": 5}])
def test_paths_into_something_else_do_not_fit(path: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(Misfit, match=r"^L must"):
        compile_path(path)(wrong)


DATA = {"a": "x", "b": "c", "ids": ["i", "j"], "pairs": [{"u": "p"}]}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("app", "app"),
        ("{a}", "x"),
        ("g/{a}/m/{b}", "g/x/m/c"),
        ("si_{a+b}", "si_c_x"),
        ("u/{ids[0]}", "u/i"),
        ("u/{pairs[0].u}", "u/p"),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert compile_template(template)(DATA) == text


def test_the_fields_a_template_takes() -> None:
    assert fields_in("x/{a+b}/{ids[0]}/{pairs[0].u}") == ["a", "b", "ids", "pairs"]


def test_constants_templates_and_the_query_make_fields(tmp_path: Path) -> None:
    fields = """kind = { constant = "single" }
from_id = { from = "From", as = "id" }
to_id = { from = "To", as = "id" }
pair = { template = ["si_{from_id+to_id}", "so_{from_id}"] }
platform = { query = "Platform" }"""
    row = spec(tmp_path, fields)
    assert told(row, {"From": "b", "To": "a"}, {"Platform": "Web"}) == {
        "from_id": "b",
        "to_id": "a",
        "kind": "single",
        "pair": "si_a_b",
        "platform": "Web",
    }
    assert told(row, {"From": "b"}, {"Platform": ""}) == {"from_id": "b", "kind": "single", "pair": "so_b"}
    assert told(row, {}) == {"kind": "single"}


def test_a_required_template_whose_parts_are_missing_does_not_fit(tmp_path: Path) -> None:
    row = spec(
        tmp_path, 'to_id = { from = "To", as = "id" }\npair = { template = "so_{to_id}", required = true }'
    )
    with pytest.raises(Misfit, match=r"so_\{to_id\} cannot be made: a part is missing"):
        told(row, {})


def test_objects_nest_and_one_object_may_stand_for_a_list(tmp_path: Path) -> None:
    fields = """
[command.fields.parts]
from = "."
as = "one"
[command.fields.parts.items]
kind = { from = "Kind", as = "choice", default = "other", values = { 1 = "text" } }
body = { from = "Body", as = "embedded" }
[command.fields.place]
from = "Place"
as = "object"
items = { name = { from = "Name", as = "text" } }
[command.fields.lists]
from = "Lists"
as = "objects"
items = { name = { from = "N", as = "text" }, ids = { from = "Ids[].Id", as = "ids" } }"""
    row = spec(tmp_path, fields)
    body = {"Kind": 1, "Body": "[1]", "Place": {"Name": "n"}, "Lists": [{"N": "l", "Ids": [{"Id": "i"}]}, {}]}
    assert told(row, body) == {
        "parts": [{"kind": "text", "body": [1]}],
        "place": {"name": "n"},
        "lists": [{"name": "l", "ids": ["i"]}, {}],
    }
    assert told(row, {"Kind": 9, "Place": {}}) == {"parts": [{"kind": "other"}]}
    with pytest.raises(Misfit, match=r"^Place: must be an object, got list$"):
        told(row, {"Place": []})


def test_an_open_choice_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    choice = 'as = "choice", values = { 1 = "one" }'
    row = spec(
        tmp_path, f'open = {{ from = "N", {choice}, open = true }}\nclosed = {{ from = "N", {choice} }}'
    )
    assert told(row, {"N": 1}) == {"open": "one", "closed": "one"}
    assert told(row, {"N": "Two"}) == {"open": "Two"}
    assert told(row, {"N": ""}) == {}


def test_a_field_of_the_body_chooses_the_type(tmp_path: Path) -> None:
    kind = 'type = { from = "How.Kind", values = { 1 = "im.message.sent.v1", 2 = "im.message.read.v1" } }'
    row = spec(tmp_path, kind=kind)
    assert row.row.types == ("im.message.sent.v1", "im.message.read.v1")
    for number, event_type in ((1, "im.message.sent.v1"), ("2", "im.message.read.v1")):
        assert row.normalize(callback({"ChatId": "c", "How": {"Kind": number}}))[0].type == event_type
    strange: list[dict[str, Any]] = [{}, {"How": {"Kind": 3}}, {"How": {}}]
    for body in strange:
        with pytest.raises(Misfit, match=r"How\.Kind is none of 1, 2"):
            row.normalize(callback({"ChatId": "c", **body}))


def test_identities_are_tried_in_order_and_do_not_mix(tmp_path: Path) -> None:
    fields = 'a = { from = "A", as = "id" }\nb = { from = "B", as = "id" }'
    row = spec(tmp_path, fields, identity='identity = [["a", "chat_id"], ["b", "chat_id"]]')
    by_a, same_a, by_b, again_b = ids(row, {"A": "x"}, {"A": "x", "B": "y"}, {"B": "x"}, {"B": "x", "Z": 1})
    assert (by_a, by_b) == (same_a, again_b)
    assert by_a != by_b
    neither = [row.normalize(callback({"ChatId": "c"}, moment=MOMENT + n))[0].id for n in range(2)]
    assert neither[0] != neither[1]


def test_the_first_time_that_can_be_read_counts(tmp_path: Path) -> None:
    times = 'time = [{ path = "Ms", unit = "ms" }, { path = "S", unit = "s" }]'
    row = spec(tmp_path, identity=f"{times}\n{IDENTITY}")

    def timed(body: dict[str, Any]) -> Envelope:
        return row.normalize(callback({"ChatId": "c", **body}))[0]

    assert timed({"Ms": "soon", "S": 1_761_000_123}).time == "2025-10-20T22:42:03.000Z"
    assert timed({"Ms": 1_761_000_123_456, "S": 1}).time == "2025-10-20T22:42:03.456Z"
    assert timed({}).timebasis == "received"


def test_a_batch_becomes_one_event_for_each_part(tmp_path: Path) -> None:
    row = spec(tmp_path, 'n = { from = "N", as = "integer" }', extra='batch = { from = "All", at_most = 2 }')
    body = {"All": [{"ChatId": "a", "N": 1}, {"ChatId": "b"}], "More": True}
    first, second = row.normalize(callback(body))
    assert (first.subject, second.subject) == ("chat/a", "chat/b")
    assert first.data["origin"]["body"] == {"All": [{"ChatId": "a", "N": 1}], "More": True}
    assert second.data["origin"]["part"] == {"number": 2, "of": 2}
    (again,) = row.normalize(callback(first.data["origin"]["body"]))
    assert again.data["n"] == 1
    with pytest.raises(Misfit, match="All must hold 1 to 2 events, got 3"):
        row.normalize(callback({"All": [{"ChatId": "a"}] * 3}))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"fields": 'chat_id = { from = "X", as = "id" }'}, "chat_id is given twice"),
        ({"fields": 'x = { template = "{y}" }'}, "x: takes y, which is no field of the body"),
        ({"fields": 'x = { template = "{chat_id}" }\ny = { template = "{x}" }'}, "y: takes x"),
        ({"extra": 'batch = { from = "All" }'}, "at_most: missing"),
        ({"kind": 'type = { from = "K", values = { 1 = "sent" } }'}, "type: 'sent' does not read"),
        ({"kind": 'type = { values = { 1 = "im.message.sent.v1" } }'}, "from: missing"),
        ({"identity": 'identity = [["chat_id"], ["nobody"]]'}, "identity: nobody is neither a field"),
        ({"extra": 'members = "chat_id"'}, "belong to before-commands"),
    ],
)
def test_the_loader_names_what_does_not_fit_together(
    tmp_path: Path, changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(CatalogError) as caught:
        spec(tmp_path, **changes)
    assert problem in str(caught.value)


def test_a_shared_field_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="other is not one of the table's shared fields"):
        spec(tmp_path, shared='shared = ["chat_id", "other"]')


def test_ids_are_base32_of_all_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [bytes(20), b"\xff" * 20, *((1 << bit).to_bytes(20) for bit in range(160))]
    for digest in digests:
        monkeypatch.setattr("schemas.normalize.identity.token_bytes", lambda _, digest=digest: digest)
        assert new_id("tencent") == f"tencent-{b32encode(digest).decode().lower()}"


def test_a_span_is_no_choice_that_a_vendor_could_name(tmp_path: Path) -> None:
    values = 'values = { "1..3" = "few", "9" = "many" }'
    row = spec(tmp_path, f'kind = {{ from = "Kind", as = "choice", {values} }}')
    said = [told(row, {"Kind": kind}).get("kind") for kind in (2, "9", "1..3", 4)]
    assert said == ["few", "many", None, None]
