"""The operator's orders on a real engine: root's helper as it is installed, and what is seen of the containers.

systemd is not here: the test hands the program its connections, and notes what it asks of systemctl.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import container_module
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Mount
from ansible.module_utils.poppyfield.host import program_folder
from ansible.module_utils.poppyfield.images.image_names import labels
from ansible.module_utils.poppyfield.pi_page import operator_page, order_helper, orders, program, service
from ansible.module_utils.poppyfield.runs import lock
from docker import errors

from tests.engine import tiny_image, worlds
from tests.engine.private_engine import PrivateEngine
from tests.images.map_server import wait_until

IMAGE = f"{worlds.PREFIX}shell:scratch-000000000007"
VERSION = "7"
DATABASE, MAP_SERVER, FOREIGN = "the-database", "the-map-server", "websig-postgis"
"""Ours by their labels, and somebody else's by the name that ours have."""
SECRET = "of-the-database-role"
PATIENCE = 60


class Pi:
    """A Pi with two containers of ours, one of somebody else, and root's helper as it is installed."""

    def __init__(self, private: PrivateEngine, folder: Path) -> None:
        self.api = private.client()
        self.folder = folder
        for name in ("work", "secrets", "bin"):
            (folder / name).mkdir()
        (folder / "secrets" / "postgis_password").write_text(SECRET)
        self._install(private)
        self._deploy(DATABASE, "postgis")
        self._deploy(MAP_SERVER, "lizmap")
        host = self.api.create_host_config(network_mode="none", restart_policy={"Name": "always"})
        self.api.create_container(IMAGE, ["serve"], name=FOREIGN, host_config=host)
        self.api.start(FOREIGN)

    def _install(self, private: PrivateEngine) -> None:
        texts = {**program_folder.files(service.MODULES), "__main__.py": service.MAIN_TEXT}
        here = {
            ("program", "DOCKER", f'"{program.DOCKER}"'): f'"{private.base_url.removeprefix("unix://")}"',
            ("program", "WORK_FOLDER", f'"{program.WORK_FOLDER}"'): f'"{self.folder}/work"',
            ("order_helper", "SECRETS", f'Path("{order_helper.SECRETS}")'): f'Path("{self.folder}/secrets")',
            ("lock", "FOLDER", f'Path("{lock.FOLDER}")'): f'Path("{self.folder}/lock")',
        }
        for (module, name, before), after in here.items():
            (path,) = [path for path in texts if path.endswith(f"/{module}.py")]
            assert f"\n{name} = {before}\n" in texts[path]
            texts[path] = texts[path].replace(f"\n{name} = {before}\n", f"\n{name} = {after}\n")
        for path, text in texts.items():
            (self.folder / "program" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "program" / path).write_text(text, "utf-8")
        systemctl = self.folder / "bin" / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho "$*" >> {self.folder}/asked-of-systemd\n')
        systemctl.chmod(0o755)

    def _deploy(self, name: str, resource: str) -> None:
        for part in ("data", f"state/{VERSION}"):
            (self.folder / name / part).mkdir(parents=True)
        # In the log there is a secret that the Pi knows, and one that only looks like one.
        log = f"{name} began\nopened with {SECRET}\nALTER ROLE ann PASSWORD 'hunter-two'\n"
        (self.folder / name / "state" / VERSION / "log").write_text(log)
        mounts = (
            Mount(f"{self.folder}/{name}/data", "/data", read_only=False),
            Mount(f"{self.folder}/{name}/state", "/state", read_only=True),
        )
        wanted = ContainerSpec(
            name=name, resource=resource, image=IMAGE, network=worlds.NETWORK, mounts=mounts, stop_timeout=20
        )
        container_module.converge(Engine(self.api, errors), wanted, DesiredState(), healthy_timeout=worlds.PATIENCE)

    def started(self) -> dict[str, str]:
        """Give when each container was started."""
        return {
            name: self.api.inspect_container(name)["State"]["StartedAt"] for name in (DATABASE, MAP_SERVER, FOREIGN)
        }

    def life(self, name: str) -> list[str]:
        """Give what a container wrote down of itself."""
        return (self.folder / name / "data" / "life").read_text().split("\n")[:-1]

    def asked_of_systemd(self) -> list[str]:
        """Give what systemctl was called with."""
        path = self.folder / "asked-of-systemd"
        return path.read_text().splitlines() if path.exists() else []

    def forget(self) -> None:
        """Forget which orders were given."""
        for path in (self.folder / "work" / order_helper.STATE, self.folder / "asked-of-systemd"):
            path.unlink(missing_ok=True)

    def helper(self, connection: socket.socket) -> subprocess.CompletedProcess[bytes]:
        """Run the helper for one connection, as systemd does."""
        return subprocess.run(
            [sys.executable, "-I", "-S", "-B", str(self.folder / "program"), "order_helper"],
            stdin=connection.fileno(),
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env={**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
        )

    def say(self, said: bytes) -> bytes:
        """Say something to the helper's socket; give its answer once it has done what it does."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.sendall(said)
            ours.shutdown(socket.SHUT_WR)
            with theirs:
                done = self.helper(theirs)
            assert done.returncode == 0, done.stderr
            try:
                with ours.makefile("rb") as stream:
                    return stream.read()
            except ConnectionResetError:
                # It did not even read all of it.
                return b""


@pytest.fixture(scope="module")
def a_pi(api: Any, engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    own = {**labels(VERSION), worlds.LABEL: "true"}
    tiny_image.build(IMAGE, target="shell", labels=own, version=VERSION)
    client = engine.client()
    client.load_image(b"".join(api.get_image(IMAGE)))
    api.remove_image(IMAGE)
    folder = tmp_path_factory.mktemp("pi")
    folder.chmod(0o755)
    yield Pi(engine, folder)
    for container in client.containers(all=True):
        client.remove_container(container["Id"], force=True)


@pytest.fixture
def pi(a_pi: Pi) -> Pi:
    """Return the Pi, whose containers run, and to which no order was given yet."""
    a_pi.forget()
    running = f"{VERSION} started"
    wait_until(lambda: all(a_pi.life(name)[-1] == running for name in (DATABASE, MAP_SERVER)), "both run")
    return a_pi


@pytest.mark.parametrize(
    ("order", "name"), [(orders.RESTART_DATABASE, DATABASE), (orders.RESTART_MAP_SERVER, MAP_SERVER)]
)
def test_an_order_restarts_one_container_and_no_other(pi: Pi, order: str, name: str) -> None:
    before = pi.started()
    assert pi.say(order.encode() + b"\n") == b"accepted\n"
    after = pi.started()
    assert {one for one in after if after[one] != before[one]} == {name}
    # It ended by itself, and in time.
    assert pi.life(name)[-3:] == [f"{VERSION} stopping", f"{VERSION} stopped", f"{VERSION} started"]
    assert pi.asked_of_systemd() == ["start --no-block poppyfield-page.service"]


def test_a_database_that_somebody_stopped_is_started(pi: Pi) -> None:
    pi.api.stop(DATABASE)
    assert pi.say(b"restart-database\n") == b"accepted\n"
    assert pi.api.inspect_container(DATABASE)["State"]["Running"]


def test_a_database_that_somebody_paused_goes_on(pi: Pi) -> None:
    pi.api.pause(DATABASE)
    assert pi.say(b"restart-database\n") == b"accepted\n"
    state = pi.api.inspect_container(DATABASE)["State"]
    assert state["Running"] and not state["Paused"]


@pytest.mark.parametrize(
    "said",
    [
        b"reboot\n",
        b"restart-websig-postgis\n",
        b"restart-database; rm -rf /\n",
        b"restart-database\nshut-down\n",
        b"restart-database /etc\n",
        b"../restart-database\n",
        b"restart-database",
        b"POST /containers/x/restart HTTP/1.1\r\n\r\n",
        b"\0" * 64,
        b"x" * 100_000,
        b"\xff\xfe\n",
        b"\n",
        b"",
    ],
)
@pytest.mark.attack(
    kind="order to a Pi", on="helper of root", proof="test_an_order_restarts_one_container_and_no_other"
)
def test_whatever_is_no_order_changes_nothing(pi: Pi, said: bytes) -> None:
    before = pi.started()
    assert pi.say(said) in (b"unknown\n", b"")
    assert pi.started() == before and pi.asked_of_systemd() == []


@pytest.mark.attack(
    kind="order to a Pi", on="helper of root", proof="test_an_order_restarts_one_container_and_no_other"
)
def test_many_orders_at_once_restart_it_once(pi: Pi) -> None:
    restarts = pi.life(DATABASE).count(f"{VERSION} started")
    answers = [pi.say(b"restart-database\n") for _ in range(5)]
    assert answers == [b"accepted\n"] + [b"too_soon\n"] * 4
    assert pi.life(DATABASE).count(f"{VERSION} started") == restarts + 1


@pytest.mark.attack(
    kind="order to a Pi", on="helper of root", proof="test_an_order_restarts_one_container_and_no_other"
)
def test_somebody_elses_container_by_our_name_is_left_alone(pi: Pi) -> None:
    pi.api.stop(DATABASE)
    aside = f"{DATABASE}-previous"
    pi.api.rename(DATABASE, aside)
    before = pi.api.inspect_container(FOREIGN)["State"]["StartedAt"]
    try:
        assert pi.say(b"restart-database\n") == b"missing\n"
        assert pi.api.inspect_container(FOREIGN)["State"]["StartedAt"] == before
        # Nor is the one started that was put aside.
        assert not pi.api.inspect_container(aside)["State"]["Running"]
    finally:
        pi.api.rename(aside, DATABASE)
        pi.api.start(DATABASE)


def test_the_pi_shuts_down_when_the_database_has_ended(pi: Pi) -> None:
    state = pi.folder / DATABASE / "state" / VERSION / "stops-in"
    state.write_text("3")
    try:
        before = pi.life(DATABASE)
        assert pi.say(b"shut-down\n") == b"accepted\n"
        ended = [pi.api.inspect_container(name)["State"] for name in (MAP_SERVER, DATABASE)]
        assert [(one["Running"], one["ExitCode"]) for one in ended] == [(False, 0)] * 2
        assert ended[0]["FinishedAt"] < ended[1]["FinishedAt"]
        assert pi.life(DATABASE)[len(before) :] == [f"{VERSION} stopping", f"{VERSION} stopped"]
        assert pi.asked_of_systemd() == ["poweroff --no-block"]
        # Docker starts both again at the Pi's next start, since nobody took that from them.
        policies = [
            pi.api.inspect_container(name)["HostConfig"]["RestartPolicy"]["Name"] for name in (MAP_SERVER, DATABASE)
        ]
        assert policies == ["always", "always"] and pi.api.inspect_container(FOREIGN)["State"]["Running"]
    finally:
        state.unlink()
        for name in (DATABASE, MAP_SERVER):
            pi.api.start(name)


@pytest.mark.attack(kind="secrets read", on="helper of root")
def test_support_gets_the_logs_without_the_secrets_in_them(pi: Pi) -> None:
    # They stand in the log itself.
    raw = pi.api.logs(DATABASE).decode()
    assert SECRET in raw and "hunter-two" in raw
    reply, _, content = pi.say(b"support\n").partition(b"\n")
    assert reply == b"accepted"
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        texts = {one.name: archive.extractfile(one).read().decode() for one in archive.getmembers()}  # type: ignore[union-attr]
    log = texts[f"poppyfield-support/containers/{DATABASE}.log"]
    assert f"{DATABASE} began" in log and "opened with (hidden)" in log and "ALTER ROLE ann PASSWORD (hidden)" in log
    assert not [name for name, text in texts.items() if SECRET in text or "hunter-two" in text]
    found = json.loads(texts["poppyfield-support/stack.json"])
    assert sorted(one["name"] for one in found["containers"]) == [DATABASE, MAP_SERVER]
    assert FOREIGN not in json.dumps(found["containers"])


def test_the_pages_program_and_the_helper_speak_with_each_other(pi: Pi, tmp_path: Path) -> None:
    path = str(tmp_path / "orders.sock")
    with socket.socket(socket.AF_UNIX) as listening, ThreadPoolExecutor(1) as other:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                pi.helper(connection)

        for order, reply in ((orders.SUPPORT, orders.ACCEPTED), (orders.SUPPORT, orders.TOO_SOON)):
            served = other.submit(serve)
            got, content = operator_page.give_to_helper(order, path)
            served.result()
            assert got == reply and bool(content) == (reply == orders.ACCEPTED)
    # With nobody at it, or nobody who answers.
    assert operator_page.give_to_helper(orders.SUPPORT, path) == (orders.FAILED, b"")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "busy.sock"))
        listening.listen()

        def end_at_once() -> None:
            connection, _ = listening.accept()
            connection.close()

        closing = threading.Thread(target=end_at_once)
        closing.start()
        assert operator_page.give_to_helper(orders.SUPPORT, str(tmp_path / "busy.sock")) == (orders.BUSY, b"")
        closing.join()
