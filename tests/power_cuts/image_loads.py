"""An image is loaded into a Docker Engine whose disk loses what was not flushed, and the next run loads it again."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.images.unfinished_loads import UnfinishedLoads
from docker import errors

from tests.engine.private_engine import PrivateEngine
from tests.images.building import ROOT
from tests.power_cuts.classes import Found, Promise
from tests.power_cuts.database import DatabaseError
from tests.power_cuts.recorded_disk import RecordedDisk

LIST = r"""
find / -xdev -type f ! -path '/proc/*' ! -path '/sys/*' ! -path '/etc/host*' ! -path /etc/resolv.conf \
    -exec sha256sum {} + | sort
"""
"""Of an image all that no engine writes into its containers."""


def delivered_image() -> ModuleType:
    """Give the module, which is a program of Ansible's and no package."""
    spec = importlib.util.spec_from_file_location("delivered_image", ROOT / "library" / "delivered_image.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ImageLoads:
    """The module delivered_image loads an image; after the cut it is run again."""

    name = "images"

    def record(self, image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Promise]]:
        del seconds
        archive = disk.folder / "image.tar"
        subprocess.run(["docker", "save", "--output", archive, image], check=True)
        run = ["docker", "run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "sh", image, "-c", LIST]
        (disk.folder / "files").write_bytes(subprocess.run(run, capture_output=True, check=True).stdout)
        label = ["docker", "inspect", "--format", '{{index .Config.Labels "fr.poppyfield.digest"}}', image]
        (disk.folder / "label").write_bytes(subprocess.run(label, capture_output=True, check=True).stdout)
        with running(disk.mount) as engine:
            os.sync()
            begin = disk.position
            deliver(engine, image, disk.folder, disk.mount)
            return begin, [Promise("loaded", disk.position)]

    def look(self, image: str, folder: Path, due: Collection[str]) -> Found:
        wanted = (folder.parent / "files").read_text("utf-8")
        with running(folder) as engine:
            changed = deliver(engine, image, folder.parent, folder)
            found = files_of(engine, image)
        # What was loaded for good is not loaded again.
        lost = int(bool(due) and changed)
        wrong = sorted({*wanted.splitlines()} ^ {*found.splitlines()})
        return Found(lost, "; ".join(wrong[:3]))


@contextmanager
def running(card: Path) -> Iterator[PrivateEngine]:
    """Give an engine that has its data on a card; DatabaseError where it does not start."""
    folder = card / "engine"
    folder.mkdir(exist_ok=True)
    engine = PrivateEngine(folder)
    try:
        engine.start()
    except AssertionError as error:
        raise DatabaseError(f"Docker does not start: {error}") from error
    try:
        yield engine
    finally:
        engine.stop()


@contextmanager
def stopped(engine: PrivateEngine) -> Iterator[None]:
    """Have the engine stopped meanwhile, as systemd would."""
    engine.stop()
    yield
    engine.start()


def deliver(engine: PrivateEngine, image: str, given: Path, card: Path) -> bool:
    """Run the module with the archive in a folder; tell whether it changed something."""
    digest = (given / "label").read_text("utf-8").strip().removeprefix("v1:")
    archive = str(given / "image.tar")
    params: dict[str, Any] = {"name": image, "digest": digest, "archive": archive, "keep": 2, "state": "present"}
    try:
        done = delivered_image().converge(
            Engine(engine.client(), errors),
            params,
            look_only=False,
            unfinished=UnfinishedLoads(card / "unfinished"),
            stopped=lambda: stopped(engine),
        )
    except EngineError as error:
        raise DatabaseError(str(error)) from error
    return bool(done["changed"])


def files_of(engine: PrivateEngine, image: str) -> str:
    """Give what the image's files hold, as a container sees them."""
    client = engine.client()
    host = client.create_host_config(network_mode="none")
    container = client.create_container(image, ["-c", LIST], entrypoint="sh", user="0", host_config=host)["Id"]
    try:
        client.start(container)
        client.wait(container)
        return str(client.logs(container, stdout=True, stderr=False).decode())
    except errors.APIError as error:
        raise DatabaseError(f"A container does not start: {error}") from error
    finally:
        client.remove_container(container, force=True)
