"""Containers through testcontainers: only where an engine answers and the image is there or can be pulled."""

import logging
import os
import socket
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from tests.parts.process import PartMissing

ENGINE_SECONDS = 5
START_SECONDS = 60
PULL_SECONDS = 180
_IDLE_SECONDS = 30


class Container:
    """A server in a container that keeps its address and its data when it is stopped and started again.

    ``is_ready`` looks at all the container has printed and at how often it was started.
    """

    def __init__(self, box: Any, is_ready: Callable[[str, int], bool]) -> None:
        self._box = box
        self._is_ready = is_ready
        self._starts = 0

    def start(self) -> None:
        """Start the server; return once it is ready. Raises PartMissing."""
        try:
            self._box.get_wrapped_container().start() if self._starts else self._box.start()
        except Exception as error:
            raise PartMissing(f"the container did not start: {error}") from error
        self._starts += 1
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready(said := self._said(), self._starts):
            if time.monotonic() > deadline or self._has_ended():
                raise PartMissing(f"the container was not ready after {START_SECONDS} s: {said[-1500:]}")
            time.sleep(0.1)

    def stop(self, *, kill: bool) -> None:
        """End the server, without warning or orderly."""
        if self._starts:
            self._box.get_wrapped_container().stop(timeout=0 if kill else 10)

    def suspend(self) -> None:
        """Freeze every process of the container."""
        self._box.get_wrapped_container().pause()

    def resume(self) -> None:
        """Let a frozen container go on."""
        self._box.get_wrapped_container().unpause()

    def remove(self) -> None:
        """End the server and throw its data away."""
        if self._box.get_wrapped_container() is not None:
            self._box.stop()

    def _said(self) -> str:
        return "".join(stream.decode(errors="replace") for stream in self._box.get_logs())

    def _has_ended(self) -> bool:
        wrapped = self._box.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status in {"exited", "dead"})


def container(image: str) -> Any:
    """Return a testcontainers DockerContainer for ``image``, not started. Raises PartMissing."""
    try:
        docker: Any = import_module("docker")
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer
    except ImportError as error:
        raise PartMissing(f"testcontainers is not installed: {error}") from error
    logging.getLogger("testcontainers").setLevel(logging.WARNING)
    _knock(docker.utils.parse_host(os.environ.get("DOCKER_HOST")))
    try:
        engine = docker.from_env(timeout=ENGINE_SECONDS)
        engine.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise PartMissing(f"no Docker engine answers: {error}") from error
    try:
        _have(image)
        testcontainers_config.ryuk_disabled = testcontainers_config.ryuk_disabled or not _can_have(
            testcontainers_config.ryuk_image
        )
    finally:
        engine.close()
    return DockerContainer(image)


def _knock(host: str) -> None:
    """Raise PartMissing when nobody listens there. Docker's own client leaks a socket when nobody does."""
    place = urlsplit(host.replace("http+unix://", "unix://"))
    family = socket.AF_UNIX if place.scheme == "unix" else socket.AF_INET
    address = place.path if place.scheme == "unix" else (place.hostname, place.port or 2375)
    if place.scheme not in {"unix", "tcp", "http", "https"}:
        return
    with socket.socket(family) as probe:
        probe.settimeout(ENGINE_SECONDS)
        try:
            probe.connect(address)
        except OSError as error:
            raise PartMissing(f"no Docker engine answers at {host}: {error}") from error


def _can_have(image: str) -> bool:
    try:
        _have(image)
    except PartMissing:
        return False
    return True


def _have(image: str) -> None:
    docker: Any = import_module("docker")
    engine = docker.from_env(timeout=_IDLE_SECONDS)
    deadline = time.monotonic() + float(os.environ.get("IMBRIDGE_TEST_PULL_SECONDS", PULL_SECONDS))
    try:
        if engine.images.list(name=image):
            return
        name, _, tag = image.rpartition(":")
        for _ in engine.api.pull(name, tag=tag, stream=True, decode=True):
            if time.monotonic() > deadline:
                raise PartMissing(f"pulling {image} took longer than allowed")
        engine.images.get(image)
    except (docker.errors.DockerException, OSError) as error:
        raise PartMissing(f"the image {image} is not here and cannot be pulled: {error}") from error
    finally:
        engine.close()
