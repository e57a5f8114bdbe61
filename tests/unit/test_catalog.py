"""The catalog's tables, what is generated from them, and what the loader says about faults."""

from pathlib import Path

import jsonschema_rs
import orjson
import pytest

from schemas.__main__ import main
from schemas.catalog import COMMANDS, Catalog, CatalogError, CommandSpec
from schemas.catalog_readme import EVENTS, is_undated
from schemas.normalize.fields import Field
from schemas.topics import TOPICS
from tests.catalog import fields_of, listed, unknown
from tests.samples import CATALOG, SAMPLES, receive

SPECS = list(CATALOG)
EACH_SPEC = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


@pytest.mark.parametrize(
    ("provider", "spelled", "found"),
    [
        ("tencent", "Group.CallbackAfterCreateGroup", "Group.CallbackAfterCreateGroup"),
        ("tencent", "group.callbackaftercreategroup", "Group.CallbackAfterCreateGroup"),
        ("openim", "callbackAfterJoinGroupCommand", "callbackAfterJoinGroupCommand"),
        ("openim", "callbackAfterMemberJoinGroupCommand", "callbackAfterJoinGroupCommand"),
        ("openim", "CallbackAfterMemberJoinGroupCommand", "callbackAfterJoinGroupCommand"),
        ("openim", "CallbackBeforeInviteMemberJoinGroupCommand", "callbackBeforeInviteJoinGroupCommand"),
    ],
)
def test_a_command_is_found_by_any_spelling(provider: str, spelled: str, found: str) -> None:
    spec = CATALOG.find(provider, spelled)
    assert spec is not None
    assert spec.name == found


@pytest.mark.parametrize("command", ["", "Group.CallbackAfterCreateGroup ", "callbackAfterJoinGroupCommand"])
def test_other_commands_are_not_found(command: str) -> None:
    assert CATALOG.find("tencent", command) is None


@EACH_SPEC
def test_every_row_has_a_sample(spec: CommandSpec) -> None:
    told = [sample.spec() for sample in SAMPLES]
    assert spec in told


@EACH_SPEC
def test_every_event_type_has_a_schema_and_a_topic(spec: CommandSpec) -> None:
    jsonschema_rs.meta.validate(orjson.loads((EVENTS / f"{spec.type}.json").read_bytes()))
    assert spec.topic in TOPICS


@EACH_SPEC
def test_every_field_of_a_row_stands_in_its_schema(spec: CommandSpec) -> None:
    schema = orjson.loads((EVENTS / f"{spec.type}.json").read_bytes())
    assert {field.name for field in spec.row.fields} <= set(schema["properties"])


@EACH_SPEC
def test_every_field_of_an_example_is_mapped_or_named_as_unmapped(spec: CommandSpec) -> None:
    assert unknown(spec.row, list(fields_of(spec.row.example))) == []


LISTED = [(provider, command) for provider in ("tencent", "openim") for command in listed(provider)]


@pytest.mark.parametrize(("provider", "command"), LISTED)
def test_every_field_the_vendor_lists_is_mapped_or_named_as_unmapped(provider: str, command: str) -> None:
    spec = CATALOG.find(provider, command)
    assert spec is not None
    assert unknown(spec.row, listed(provider)[command]) == []


@pytest.mark.parametrize("provider", ["tencent", "openim"])
def test_every_row_is_one_the_vendor_lists(provider: str) -> None:
    assert {spec.name for spec in SPECS if spec.provider == provider} == set(listed(provider))


def test_a_field_nobody_knows_is_noticed() -> None:
    spec = CATALOG.find("tencent", "Push.OfflinePush")
    assert spec is not None
    names = ["Events", "Events[].GroupID", "Events[].Colour", "CallbackCommand"]
    assert unknown(spec.row, names) == ["Events[].Colour", "CallbackCommand"]


@EACH_SPEC
def test_every_example_arrives_as_its_own_command(spec: CommandSpec) -> None:
    row = spec.row
    target = f"/?{row.example_query}" if row.provider == "tencent" else f"/openim/{row.name}"
    callback = receive(target, row.example_headers, orjson.dumps(row.example))
    assert CATALOG.find(callback.provider, callback.command) is spec
    assert spec.question(callback) if spec.phase == "before" else spec.normalize(callback)


@pytest.mark.parametrize("path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_schema_is_named_after_its_event_type_and_describes_the_same_origin(path: Path) -> None:
    schema = orjson.loads(path.read_bytes())
    unrecognized = orjson.loads((EVENTS / "im.unrecognized.v1.json").read_bytes())
    assert schema["$id"] == f"urn:imbridge:event:{path.stem}"
    assert schema["$defs"]["origin"] == unrecognized["$defs"]["origin"]
    assert "origin" in schema["required"]


def test_the_generated_page_is_current() -> None:
    assert main(["--check"]) == 0, "run python -m schemas"


def test_rows_that_nothing_in_the_body_dates_are_marked_on_the_page() -> None:
    page = (COMMANDS.parent / "README.md").read_text()
    marked = {line.split("`")[1] for line in page.splitlines() if " * |" in line}
    undated = {spec.name for spec in SPECS if spec.phase == "after" and is_undated(spec.row)}
    assert marked == undated


# What the loader says

GOOD = """
provider = "acme"
[[command]]
name = "GroupMade"
summary = "A group was made."
phase = "after"
status = "current"
type = "im.group.created.v1"
topic = "im.group.v1"
subject = "group/{group_id}"
partition_key = "{group_id}"
identity = ["group_id", "time"]
time = { path = "At", unit = "s" }
on_failure = "Nothing."
pages = ["https://acme.example/made"]
example = '{"Id": "g1", "At": 1670574414}'
[command.fields]
group_id = { from = "Id", as = "id", required = true }
"""


def load(folder: Path, *tables: str) -> Catalog:
    for place, table in enumerate(tables):
        (folder / f"table{place}.toml").write_text(table)
    return Catalog.load(folder)


def test_a_table_of_another_provider_loads(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD).find("acme", "groupmade")
    assert spec is not None
    assert spec.row.fields == (Field("group_id", ("Id",), "id", required=True),)


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ('phase = "after"', 'phase = "during"', "phase: must be one of before, after, got 'during'"),
        ('topic = "im.group.v1"', 'topic = "im.groups"', "topic: must be one of"),
        ('type = "im.group.created.v1"', 'type = "group.created"', "type: 'group.created' does not read"),
        ('subject = "group/{group_id}"', 'subject = "group/{id}"', "subject: takes id"),
        ("required = true", "required = false", "partition_key: takes group_id"),
        ("required = true", "requird = true", "group_id: requird: not a key"),
        ('as = "id"', 'as = "uuid"', "as: must be one of"),
        ('as = "id"', 'as = "choice"', "values: missing"),
        ('as = "id"', 'as = "objects"', "items: missing"),
        ('unit = "s"', 'unit = "h"', "unit: must be one of ms, s"),
        ('time = { path = "At", unit = "s" }', "", "identity: takes the time of a row that has none"),
        ('identity = ["group_id", "time"]', "", "identity: missing"),
        ('identity = ["group_id", "time"]', 'identity = ["id"]', "identity: id is neither"),
        ('name = "GroupMade"', "", "name: missing"),
        ('"g1", "At"', '"g1" "At"', "example: must be a JSON object"),
        ('summary = "A group was made."', "summary = 1", "summary: must be text"),
        ('pages = ["https://acme.example/made"]', "pages = [1]", "pages: must be text or a list of texts"),
        ('status = "current"', 'status = "current"\nact = "create"', "belong to before-commands"),
        ('phase = "after"', 'phase = "before"', "a before-command needs act and answers"),
        ('provider = "acme"', 'provider = "acme"\nowner = "me"', "owner: not a key"),
        ('provider = "acme"', "", "provider: missing"),
        ("group_id = { from", 'GroupId = "Id"\ngroup_id = { from', "GroupId: must be a table"),
        ("[command.fields]", "[command.fieldz]", "fieldz: not a key"),
    ],
)
def test_the_loader_names_what_does_not_fit(tmp_path: Path, good: str, bad: str, problem: str) -> None:
    assert good in GOOD
    with pytest.raises(CatalogError, match=r"table0\.toml") as caught:
        load(tmp_path, GOOD.replace(good, bad))
    assert problem in str(caught.value)


def test_the_loader_names_every_problem_of_every_table(tmp_path: Path) -> None:
    broken = GOOD.replace('unit = "s"', 'unit = "h"').replace('topic = "im.group.v1"', "topic = 5")
    with pytest.raises(CatalogError) as caught:
        load(tmp_path, broken, GOOD.replace('phase = "after"', 'phase = "soon"'), "command = ")
    said = str(caught.value)
    assert all(problem in said for problem in ("unit", "topic", "phase", "table1.toml", "table2.toml"))


@pytest.mark.parametrize("name", ["GroupMade", "GROUPMADE"])
def test_two_commands_may_not_share_a_name_in_any_letter_case(tmp_path: Path, name: str) -> None:
    other = GOOD.partition("[[command]]")[2].replace("GroupMade", name)
    with pytest.raises(CatalogError, match=f"the name {name} is taken"):
        load(tmp_path, f"{GOOD}[[command]]{other}")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('act = "create"\nmembers = "nobody"\nidentity = []', "members: nobody must be a field of kind ids"),
        ('act = "create"\nidentity = ["group_id"]', "identity: each question is a decision of its own"),
        ('act = "create"\nidentity = []', "type: a before-command's ends in .decided.v1"),
    ],
)
def test_the_loader_names_what_a_before_command_lacks(tmp_path: Path, row: str, problem: str) -> None:
    table = GOOD.replace('phase = "after"', f'phase = "before"\n{row}').replace(
        'identity = ["group_id", "time"]\n', ""
    )
    answers = "[command.answers]\ndeny_code = 1\ncodes = [10, 20]\n[command.fields]"
    with pytest.raises(CatalogError) as caught:
        load(tmp_path, table.replace("[command.fields]", answers))
    assert problem in str(caught.value)
