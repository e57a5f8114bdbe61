"""Containers through testcontainers: only where an engine answers and the image is there or can be pulled."""

import logging
import os
import socket
import time
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from tests.parts.process import PartMissing

ENGINE_SECONDS = 5
PULL_SECONDS = 180
_IDLE_SECONDS = 30


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
