"""What Docker leaves as it is, and the Pi's guard mends: a port that it holds for nobody, and a container that hangs.

A loss of power may come between two of Docker's own writes of its table of networks. Each state of the table while a
container starts is taken from the real engine. With one of them the next start of Docker holds the container's port for
nobody, and the container never starts again.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.spec import MANAGED, RESOURCE
from ansible.module_utils.poppyfield.pi_page import guard, program
from ansible.module_utils.poppyfield.runs import lock

from tests.engine import worlds
from tests.engine.private_engine import PrivateEngine

NETWORK, MAP = "pf-guard", "pf-guard-map"
PORT = 18080
TABLE = "network/files/local-kv.db"
SECONDS = 30
HANGS = "[ -e /begun ] && busybox touch /well; busybox touch /begun; busybox sleep 1000"
"""At its first start; at the next it is well."""


def start_seen(engine: PrivateEngine) -> list[bytes]:
    """Start a container with a port; give each state of Docker's table of networks meanwhile."""
    client = engine.client()
    client.create_network(NETWORK, "bridge")
    host = client.create_host_config(
        port_bindings={8080: PORT}, restart_policy={"Name": "always"}, network_mode=NETWORK, init=False
    )
    made = client.create_container(
        worlds.OLD,
        ["busybox", "sleep", "1000"],
        name=MAP,
        ports=[8080],
        host_config=host,
        labels={MANAGED: "true", RESOURCE: "lizmap"},
    )
    with watched(engine.data_root / TABLE) as states:
        client.start(made["Id"])
        wait_for(lambda: container(engine)["State"]["Running"])
    return states


@contextmanager
def watched(path: Path) -> Iterator[list[bytes]]:
    """Read a file again and again; give what was in it, without the states that were read in the midst of a write."""
    states, ended = [path.read_bytes()], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if (state := path.read_bytes()) != states[-1]:
                states.append(state)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield states
    finally:
        ended.set()
        thread.join()


def wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def container(engine: PrivateEngine) -> dict[str, Any]:
    found: dict[str, Any] = engine.client().inspect_container(MAP)
    return found


@pytest.fixture
def engine(api: Any, tmp_path: Path) -> Iterator[PrivateEngine]:
    """Return an engine that holds the container's port for nobody, after a loss of power."""
    private = PrivateEngine(tmp_path, "--live-restore")
    private.start()
    private.client().load_image(b"".join(api.get_image(worlds.OLD)))
    states = start_seen(private)
    private.cut_power()
    whole = tmp_path / "whole"
    subprocess.run(["cp", "--archive", private.data_root, whole], check=True)
    # The later ones are more likely.
    for state in reversed(states):
        shutil.rmtree(private.data_root)
        subprocess.run(["cp", "--archive", whole, private.data_root], check=True)
        (private.data_root / TABLE).write_bytes(state)
        private.start()
        if guard.PORT_IS_TAKEN in container(private)["State"]["Error"]:
            break
        private.cut_power()
    else:
        pytest.fail(f"none of {len(states)} states is one in which Docker holds the port")
    yield private
    private.cut_power()


def test_a_port_that_docker_holds_for_nobody_is_let_go(
    engine: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "DOCKER", engine.base_url.removeprefix("unix://"))
    monkeypatch.setattr(lock, "FOLDER", tmp_path / "run")
    restarted: list[str] = []

    def systemctl(command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        restarted.append(" ".join(command))
        engine.restart()
        return subprocess.CompletedProcess(command, 0)

    # Docker's own start of it fails each time.
    with pytest.raises(Exception, match=guard.PORT_IS_TAKEN):
        engine.client().start(MAP)
    guard.ContainerGuard(work=tmp_path, command=systemctl).mend()
    assert restarted == ["systemctl restart docker.service"]
    wait_for(lambda: container(engine)["State"]["Running"])
    ports = container(engine)["NetworkSettings"]["Ports"]
    assert [binding["HostPort"] for binding in ports["8080/tcp"]][:1] == [str(PORT)]


def test_a_container_that_stays_unhealthy_is_restarted(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = PrivateEngine(tmp_path)
    private.start()
    try:
        client = private.client()
        client.load_image(b"".join(api.get_image(worlds.OLD)))
        made = client.create_container(
            worlds.OLD,
            ["busybox", "sh", "-c", HANGS],
            name=MAP,
            labels={MANAGED: "true", RESOURCE: "lizmap"},
            stop_timeout=1,
            healthcheck={"test": ["CMD", "busybox", "test", "-e", "/well"], "interval": 10**9, "retries": 2},
        )
        client.start(made["Id"])
        monkeypatch.setattr(program, "DOCKER", private.base_url.removeprefix("unix://"))
        monkeypatch.setattr(lock, "FOLDER", tmp_path / "run")
        monkeypatch.setattr(guard, "UNHEALTHY_SECONDS", 4)
        # Docker does nothing about it.
        wait_for(lambda: container(private)["State"]["Health"]["FailingStreak"] >= 4)
        begun = container(private)["State"]["StartedAt"]
        guard.ContainerGuard(work=tmp_path).mend()
        wait_for(lambda: container(private)["State"]["Health"]["Status"] == "healthy")
        assert container(private)["State"]["StartedAt"] != begun
    finally:
        private.cut_power()
