"""From embedded to Kafka on the same data directory: the events go along, the tables come out the same."""

import shutil
from pathlib import Path

import pytest

from tests.command_line import imbridge
from tests.integration.callers import Callers
from tests.looking import checkpoint_logs, on_kafka, tables
from tests.parts import KafkaServer
from tests.process_kit import environment, running, until


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a bridge that ran embedded and stopped with its tables complete."""
    data_dir = tmp_path_factory.mktemp("embedded") / "data"
    with running("run", data_dir=data_dir) as bridge:
        with Callers(bridge.ingress, refused="mallory", count=2) as callers:
            callers.until_acknowledged(60)
        asked, joined = len(callers.decided), len(callers.acknowledged)

        def complete() -> bool:
            held = tables(store_of(data_dir))
            return (len(held["decisions"]), len(held["members"])) == (asked, joined)

        until(complete, f"{asked} decisions and {joined} members are in the tables")
        assert bridge.stop() == 0
    assert asked
    return data_dir


def store_of(data_dir: Path) -> str:
    return f"sqlite:///{data_dir}/imbridge.sqlite"


def switch_over(embedded: Path, data_dir: Path, kafka: KafkaServer, prefix: str, **settings: str) -> None:
    """Run over Kafka with a copy of the data directory until every projection has read the new log."""
    shutil.copytree(embedded, data_dir)
    settings |= {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}
    env = environment(data_dir, **settings)

    def read_to_the_end() -> bool:
        rows = imbridge("projections", "list", "--json", env=env).json()
        ours = [row for row in rows if row["log"].startswith("kafka:") and row["end offset"]]
        read = {row["projection"] for row in ours if row["next offset"] == row["end offset"]}
        return len(ours) > 0 and all(row["lag"] == 0 for row in ours) and read == {"groups", "decisions"}

    with running("run", data_dir=data_dir, **settings) as bridge:
        until(lambda: bridge.part("relay of journal 1").get("lag_records") == 0, "all is relayed", 40)
        until(read_to_the_end, "both projections have read Kafka to its end", 40)
        assert bridge.stop() == 0


def test_the_same_sqlite_store_holds_the_same_tables_and_checkpoints_for_either_log(
    embedded: Path, tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    data_dir = tmp_path / "data"
    switch_over(embedded, data_dir, kafka, prefix)
    assert tables(store_of(data_dir)) == tables(store_of(embedded))
    kinds = {log.partition(":")[0] for log in checkpoint_logs(store_of(data_dir))}
    assert kinds == {"journal", "kafka"}
    assert checkpoint_logs(store_of(embedded)) <= checkpoint_logs(store_of(data_dir))


def test_a_fresh_postgresql_holds_what_sqlite_held(
    embedded: Path, tmp_path: Path, kafka: KafkaServer, prefix: str, postgres_database: str
) -> None:
    switch_over(embedded, tmp_path / "data", kafka, prefix, STORE__URL=postgres_database)
    assert tables(postgres_database) == tables(store_of(embedded))
    assert {log.partition(":")[0] for log in checkpoint_logs(postgres_database)} == {"kafka"}
    joined = on_kafka(kafka, f"{prefix}im.group.v1")
    assert len({event.id for event in joined}) == len(tables(postgres_database)["members"])
