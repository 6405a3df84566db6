"""Who closes a host stays let in, and only what a second connection confirms is kept."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.poppyfield.host import firewall
from ansible.module_utils.poppyfield.host.firewall_service import UNIT, FirewallService

from tests.unit.conftest import load_plugin

Json = dict[str, Any]
Run = Callable[..., Json]
SSH = {"port": 2222, "protocol": "tcp", "source": "", "connections": 0}
MAP = {**SSH, "port": 80}


@pytest.fixture
def service(library: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FirewallService:
    """The firewall of a Pi that is reached by the port 2222."""
    (tmp_path / "units").mkdir()
    done: list[str] = []

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done.append(" ".join(command))
        is_active = f"systemctl restart {UNIT}" in done
        return subprocess.CompletedProcess(command, int("is-active" in command and not is_active), "", "")

    found = FirewallService(tmp_path / "firewall", tmp_path / "units", tmp_path, run)
    module = library("host_firewall")
    monkeypatch.setattr(module, "FirewallService", lambda: found)
    monkeypatch.setattr(module, "port_in_use", lambda: {2222})
    monkeypatch.setattr(module, "run", lambda command: subprocess.CompletedProcess(command, 127, "", ""))
    return found


def test_the_port_of_the_connection_is_found_where_sudo_hides_it(
    library: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    for process, parent, environment in (
        (30, 20, b"HOME=/root\0"),
        (20, 10, b"SSH_CONNECTION=fd00::1 51000 fd00::2 2222\0HOME=/home/pi\0"),
        (10, 1, b""),
        (1, 0, b""),
    ):
        (tmp_path / str(process)).mkdir()
        (tmp_path / str(process) / "status").write_text(f"Name:\tx\nPPid:\t{parent}\n")
        (tmp_path / str(process) / "environ").write_bytes(environment)
    module = library("host_firewall")
    assert module.port_in_use(tmp_path, 30) == {2222}
    assert module.port_in_use(tmp_path, 10) == set()
    assert module.ports_of_sshd("port 22\nport 2200\nlistenaddress 0.0.0.0:22\n") == {22, 2200}


def test_new_rules_are_on_trial_until_they_are_confirmed(run_module: Run, service: FirewallService) -> None:
    assert run_module("host_firewall", check_mode=True, open=[{"port": 80}])["changed"]
    assert not service.folder.exists()
    done = run_module("host_firewall", open=[{"port": 80}])
    assert done["changed"] and done["open"] == [SSH, MAP]
    assert (service.folder / "policy.json.before").exists() and not service.runs()
    assert not run_module("host_firewall", open=[{"port": 80}], _confirm=True)["changed"]
    assert not (service.folder / "policy.json.before").exists() and service.runs()
    assert not run_module("host_firewall", open=[{"port": 80}])["changed"]
    late = run_module("host_firewall", open=[{"port": 80}], _confirm=True)
    assert late["failed"] and "not confirmed in time" in late["msg"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"port": 0}, "open: 0 is no port"),
        ({"port": 65536}, "open: 65536 is no port"),
        ({"port": 80, "source": "pi.local"}, "open: pi.local is no IP address"),
    ],
)
def test_what_is_no_port_or_address_is_refused(
    run_module: Run, service: FirewallService, entry: Json, said: str
) -> None:
    result = run_module("host_firewall", open=[entry])
    assert result["failed"] and said in result["msg"]
    assert not service.folder.exists()


def plugin(answers: Sequence[Json | Exception]) -> tuple[Any, list[str]]:
    """Give the action plugin on a host with these answers, and what was done."""
    module = load_plugin("host_firewall")
    action = module.ActionModule.__new__(module.ActionModule)
    left, done = list(answers), []

    def execute(module_name: str, module_args: Json, task_vars: Json | None) -> Json:
        done.append("confirm" if module_args.get("_confirm") else "try")
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    action._task = SimpleNamespace(args={}, check_mode=False, async_val=0)
    action._connection = SimpleNamespace(
        _shell=SimpleNamespace(tmpdir="/tmp"), reset=lambda: done.append("new connection")
    )
    action._execute_module = execute
    return action, done


def test_only_a_second_connection_confirms() -> None:
    action, done = plugin([{"changed": True}, {"changed": False}])
    assert action.run(task_vars={})["changed"]
    assert done == ["try", "new connection", "confirm"]
    action, done = plugin([{"changed": False}])
    assert not action.run(task_vars={})["changed"]
    assert done == ["try"]
    action, _ = plugin([{"changed": True}, AnsibleConnectionFailure("timed out")])
    failed = action.run(task_vars={})
    assert failed["failed"] and "timed out" in failed["msg"] and "taken back" in failed["msg"]


def test_a_policy_of_containers_stays(run_module: Run, service: FirewallService) -> None:
    entry = {"bridge": "poppyfield", "hardware_addresses": [], "may_reach": []}
    service.write(firewall.with_container({}, "websig-postgis", entry))
    run_module("host_firewall")
    assert service.policy() == {"containers": {"websig-postgis": entry}, "host": {"open": [SSH]}}
