"""Gives the tests a real Docker Engine and its images. Only one of them works on an engine at a time."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec
from docker.utils import kwargs_from_env

ROOT = Path(__file__).resolve().parents[2]

pytest.register_assert_rewrite("tests.engine.worlds")
from tests.engine import worlds  # noqa: E402
from tests.engine.private_engine import PrivateEngine  # noqa: E402


@pytest.fixture(scope="session")
def api() -> Iterator[Any]:
    """Return a client of this machine's engine, or of the one that DOCKER_HOST names, with the images in it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the containers write into the folders of the tests")
    try:
        Engine.connect()
    except EngineMissingError as error:
        pytest.skip(str(error))
    client = docker.APIClient(version="auto", **kwargs_from_env())
    with (Path(tempfile.gettempdir()) / f"{worlds.PREFIX}lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worlds.clean(client)
        worlds.build_images()
        yield client
        worlds.clean(client)
        worlds.remove_images(client)


@pytest.fixture
def wanted(tmp_path: Path) -> ContainerSpec:
    """Return the specification that the scenarios start from, with folders and a port of its own."""
    worlds.make_folders(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return worlds.specification(tmp_path, port)


@pytest.fixture
def real(api: Any, wanted: ContainerSpec, tmp_path: Path) -> Iterator[worlds.RealWorld]:
    """Return the real engine, with nothing of ours in it but the images."""
    worlds.clean(api)
    yield worlds.RealWorld(api, tmp_path / "state")
    worlds.clean(api)


@pytest.fixture
def both(real: worlds.RealWorld, wanted: ContainerSpec) -> worlds.Both:
    """Return the real engine and the fake."""
    return worlds.Both(real, worlds.FakeWorld(real.api), wanted)


@contextmanager
def started(api: Any, folder: Path) -> Iterator[PrivateEngine]:
    """Give an engine that has the images of another one."""
    private = PrivateEngine(folder)
    try:
        private.start()
        client = private.client()
        for reference in worlds.IMAGES:
            client.load_image(b"".join(api.get_image(reference)))
        yield private
    finally:
        private.stop()


@pytest.fixture(scope="module")
def engine(api: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    """Return an engine of the tests' own, which they may restart, that has the images."""
    with started(api, tmp_path_factory.mktemp("engine")) as private:
        yield private


@pytest.fixture
def private(engine: PrivateEngine, wanted: ContainerSpec, tmp_path: Path) -> Iterator[worlds.RealWorld]:
    """Return that engine with nothing of ours in it but the images."""
    yield worlds.RealWorld(engine.client(), tmp_path / "state")
    worlds.clean(engine.client())
