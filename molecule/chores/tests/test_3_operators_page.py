"""The operator's page of a Pi: each of its orders is given, and its effect is seen."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
import requests
from testinfra.host import Host

from emulated_pi import MAP_URL, PI_NAME, REQUEST_SECONDS, ansible_playbook, emulator, inspect, log_in

PASSWORD = "correct horse battery"
ASKED_FOR = {"pi_page_operator_password": PASSWORD, "pi_page_operator_over_http": True}
ORDERS = "/run/poppyfield-page-work/orders.json"
PATIENCE = 600
CONNECT = "import os, socket; os.setuid({user}); socket.socket(socket.AF_UNIX).connect('{path}')"
HELPER = "/run/poppyfield-orders.sock"
PAGE = "/run/poppyfield-page/operator/page.sock"


def give(order: str, password: str = PASSWORD) -> requests.Response:
    """Give the Pi an order, as the form does."""
    given = {"order": order, "password": password}
    return requests.post(f"{MAP_URL}/operator", data=given, timeout=REQUEST_SECONDS)


def until(reached: Callable[[], Any], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(1)


def started(pi: Host) -> dict[str, str]:
    """Give when each container was started."""
    return {name: inspect(pi, f"websig-{name}")["State"]["StartedAt"] for name in ("postgis", "lizmap")}


def is_well(pi: Host, name: str) -> bool:
    """Tell whether a container is well."""
    state = inspect(pi, f"websig-{name}")["State"]
    return bool(state["Running"] and state["Health"]["Status"] == "healthy")


@pytest.fixture(scope="module", autouse=True)
def page() -> Iterator[None]:
    """Have the inventory ask for the page, and afterwards no more."""
    asked = json.dumps(ASKED_FOR)
    run = ansible_playbook("-e", asked, playbook="playbooks/provision.yml")
    assert run.returncode == 0, run.stdout + run.stderr
    assert PASSWORD not in run.stdout + run.stderr
    again = ansible_playbook("-e", asked, playbook="playbooks/provision.yml")
    assert again.returncode == 0 and "\nchanged: " not in again.stdout, again.stdout
    yield
    run = ansible_playbook(playbook="playbooks/provision.yml")
    assert run.returncode == 0, run.stdout + run.stderr
    assert requests.get(f"{MAP_URL}/operator", timeout=REQUEST_SECONDS).status_code == 503
    assert not log_in().file("/etc/poppyfield/operator/password").exists


def test_nobody_but_nginx_and_the_pages_program_reaches_a_socket(pi: Host) -> None:
    assert requests.get(f"{MAP_URL}/operator", timeout=REQUEST_SECONDS).status_code == 200
    users = {"nobody": 65534, "www-data": 33, "page": int(pi.check_output("id --user poppyfield-operator"))}
    for user, path in (("nobody", HELPER), ("www-data", HELPER), ("nobody", PAGE), ("page", PAGE)):
        refused = pi.run("python3 -c %s", CONNECT.format(user=users[user], path=path))
        assert refused.rc != 0 and "PermissionError" in refused.stderr, user
    assert pi.run("python3 -c %s", CONNECT.format(user=users["page"], path=HELPER)).rc == 0
    assert "poppyfield-operator" in pi.check_output("ps -eo user:30,args")
    (kept,) = pi.check_output("cat /etc/poppyfield/operator/password").splitlines()
    assert PASSWORD not in kept and pi.file("/etc/poppyfield/operator/password").mode == 0o600


def test_the_database_is_restarted_and_nothing_else(pi: Host) -> None:
    before = started(pi)
    assert give("restart-database", "a wrong password").status_code == 403
    assert give("restart-database").status_code == 202
    until(lambda: started(pi)["postgis"] != before["postgis"] and is_well(pi, "postgis"), "it is restarted")
    assert started(pi)["lizmap"] == before["lizmap"]
    assert give("restart-database").status_code == 429
    log = pi.check_output("journalctl --unit poppyfield-operator --unit 'poppyfield-orders@*' --output cat --quiet")
    assert "wrong password" in log and "restart-database: accepted" in log and "was restarted" in log
    assert PASSWORD not in log


def test_a_database_that_was_stopped_is_started_by_the_page(pi: Host) -> None:
    pi.check_output("docker stop websig-postgis")
    pi.check_output("rm %s", ORDERS)
    assert give("restart-database").status_code == 202
    until(lambda: is_well(pi, "postgis"), "it runs")


def test_support_gets_what_it_needs_and_no_secret(pi: Host) -> None:
    answer = give("support")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/gzip"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        texts = {
            entry.name.removeprefix("poppyfield-support/"): archive.extractfile(entry).read().decode()  # type: ignore[union-attr]
            for entry in archive.getmembers()
        }
    assert "database system is ready" in texts["containers/websig-postgis.log"]
    assert json.loads(texts["stack.json"])["docker"]["running"] and "docker" in texts["packages.txt"]
    secrets = pi.check_output("grep --recursive --no-filename '' /etc/poppyfield/secrets").split()
    whole = "".join(texts.values())
    assert secrets and not [secret for secret in secrets if len(secret) > 8 and secret in whole]


def test_the_map_server_is_restarted_although_it_hands_the_order_on(pi: Host) -> None:
    before = started(pi)
    assert give("restart-map-server").status_code == 202
    until(lambda: started(pi)["lizmap"] != before["lizmap"] and is_well(pi, "lizmap"), "it is restarted")
    assert started(pi)["postgis"] == before["postgis"]
    assert requests.get(f"{MAP_URL}/operator", timeout=REQUEST_SECONDS).status_code == 200


def test_the_pi_shuts_down_and_the_database_had_ended_cleanly(pi: Host) -> None:
    assert give("shut-down").status_code == 202

    def is_off() -> bool:
        try:
            requests.get(f"{MAP_URL}/healthz", timeout=5)
        except requests.RequestException:
            return not emulated_pi_runs()
        return False

    until(is_off, "the Pi is off")
    emulator("power-on", "--name", PI_NAME)
    again = log_in()
    until(lambda: is_well(again, "postgis") and is_well(again, "lizmap"), "both are back")
    log = again.check_output("docker logs --tail 200 websig-postgis 2>&1")
    assert "database system was shut down at" in log.rpartition("starting PostgreSQL")[2]
    assert requests.get(f"{MAP_URL}/operator", timeout=REQUEST_SECONDS).status_code == 200


def emulated_pi_runs() -> bool:
    """Tell whether the emulated Pi has power."""
    return bool(docker.from_env().containers.get(PI_NAME).status == "running")
