"""An old container that is put back after a newer release has run on its folders still serves.

The old image is of the class of those before QGIS Server had a user of its own: all of its container is www-data,
without a capability, and its folders in memory are that user's. It is today's image with these things taken back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from ansible.module_utils.poppyfield.lizmap import sandbox

from tests.images.building import ROOT
from tests.images.map_server import HOME, PREFIX, wait_until
from tests.lizmap.test_upgrade import pi, tar  # noqa: F401 - pi is a fixture
from tests.lizmap.upgrading_pi import PASSWORD, WANTED, Pi, Run, seen, visitor
from tests.unit.conftest import run_module  # noqa: F401 - a fixture

IMAGE = ROOT / "images" / "lizmap"
SCRIPTS = "/usr/local/lib/poppyfield"
WWW_DATA = 33
BEFORE = {"/tmp": "mode=1777,size=192m", "/run": "uid=33,gid=33,mode=0755,size=16m"}
NEWER_PASSWORD = "newer-horse-battery"
Edit = Callable[[str], str]


def without(*beginnings: str) -> Edit:
    """Give what leaves out the lines, of which there must be some, that begin so."""

    def edit(text: str) -> str:
        lines = text.splitlines(keepends=True)
        for beginning in beginnings:
            assert any(line.startswith(beginning) for line in lines), beginning
        return "".join(line for line in lines if not line.startswith(beginnings))

    return edit


def instead(*pairs: tuple[str, str]) -> Edit:
    """Give what puts one text in the place of another, which must be there."""

    def edit(text: str) -> str:
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        return text

    return edit


def as_before() -> dict[str, bytes]:
    """Give the files of the image as they were when one user ran everything, by their place below /."""
    edits: dict[str, tuple[str, Edit]] = {
        "usr/local/bin/entrypoint": (
            "entrypoint",
            without("(((capabilities &", '    "the capabilities', "chmod ", "[[ ! -d /run/secrets ]]"),
        ),
        f"{SCRIPTS[1:]}/run-as": ("run-as", lambda _: '#!/bin/bash\nexec "${@:2}"\n'),
        f"{SCRIPTS[1:]}/prepare": ("prepare", without("chgrp ")),
        f"{SCRIPTS[1:]}/services/qgis-server/run": (
            "services/qgis-server/run",
            instead(("exec setpriv --regid=nginx --clear-groups -- ", "exec "), (HOME, "/tmp")),
        ),
        "etc/poppyfield/qgis-server.conf": ("nginx/qgis-server.conf", instead((HOME, "/tmp"))),
    }
    return {place: edit((IMAGE / name).read_text("utf-8")).encode() for place, (name, edit) in edits.items()}


@pytest.fixture
def old_image(lizmap_image: str) -> Iterator[str]:
    """Return an image whose services are all one user's."""
    client = docker.from_env()
    with closing(client):
        container = client.containers.create(lizmap_image)
        try:
            container.put_archive("/", tar(as_before(), 0o755))
            changes = ["USER www-data", f"LABEL {sandbox.QGIS_USER_LABEL}={sandbox.QGIS_USER_BEFORE}"]
            image = container.commit(f"{PREFIX}one-user", changes="\n".join(changes))
        finally:
            container.remove(force=True)
        try:
            yield image.tags[0]
        finally:
            client.images.remove(image.tags[0], force=True)


@pytest.fixture
def old(pi: Pi, old_image: str, monkeypatch: pytest.MonkeyPatch) -> Pi:  # noqa: F811 - the fixture
    """Return a Pi on which a container of before serves."""
    with monkeypatch.context() as before:
        before.setattr(sandbox, "CAPABILITIES", ())
        before.setattr(sandbox, "TMPFS", BEFORE)
        done = pi.deploy(old_image)
    assert not done.get("failed"), done["msg"]
    pi.keep_accounts()
    pi.change_a_setting()
    assert users_of(pi) == {str(WWW_DATA)}
    assert seen(pi.server) == WANTED
    return pi


def users_of(pi: Pi) -> set[str]:  # noqa: F811 - the fixture
    """Give the users of a container's processes, by number."""
    _, told = pi.server.run("bash", "-c", "cat /proc/[0-9]*/status 2> /dev/null; true")
    each = re.split(r"^(?=Name:)", told, flags=re.MULTILINE)
    processes = [dict(re.findall(r"^(Name|Uid):\s+(\S+)", one, re.MULTILINE)) for one in each]
    # What starts a health check is root until it has become the container's user.
    return {one["Uid"] for one in processes if "Uid" in one and not one["Name"].startswith("runc")}


def owners(folder: Path) -> set[tuple[int, int]]:
    """Give who owns what Lizmap has written."""
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in (folder / "state").rglob("*")}


def test_an_old_container_serves_again_after_a_newer_one_ran_on_its_folders(
    old: Pi,
    lizmap_image: str,
    run_module: Run,  # noqa: F811 - the fixture
) -> None:
    before = old.server.container.id
    done = old.run("lizmap_container", image=lizmap_image, keep_previous=True, **old.options)
    assert not done.get("failed"), done["msg"]
    assert old.server.container.id != before
    assert users_of(old) == {"0", str(WWW_DATA), "8081", "8082"}
    assert seen(old.server) == WANTED
    # Whatever the newer one writes, the old one must be able to read, and to write again.
    old.server.console("jcommunity:password:change", "--force", "anna", NEWER_PASSWORD)
    back = run_module("previous_container", name=old.name, state="restored")
    assert not back.get("failed"), back["msg"]
    assert old.server.container.id == before
    wait_until(lambda: old.server.run("healthcheck")[0] == 0, "the old container is healthy", old.server.log)
    assert users_of(old) == {str(WWW_DATA)}
    assert visitor(old.server).log_in("anna", NEWER_PASSWORD)
    old.server.console("jcommunity:password:change", "--force", "anna", PASSWORD)
    assert seen(old.server) == WANTED
    assert owners(old.folder) == {(WWW_DATA, WWW_DATA)}
