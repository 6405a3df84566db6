"""The benchmark of whole runs: what the stock playbook is told, light hosts that answer as recorded, and its tables."""

from __future__ import annotations

import importlib.util
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.ssh import Connection

from workshop.bench.contenders import Json
from workshop.bench.whole_run import stock_variables, tables
from workshop.bench.whole_run.bench_pi import without_marks

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "workshop" / "bench" / "whole_run" / "callbacks" / "light_hosts.py"


def inspected(name: str, **host: Any) -> Json:
    """Give what Docker says of a container."""
    return {
        "Id": "0123456789abcdef",
        "Name": f"/{name}",
        "Config": {
            "Image": f"{name}:1",
            "Cmd": ["serve"],
            "Env": ["PATH=/bin", "SERVER_NAME=a.example"],
            "Labels": {},
            "StopTimeout": 10,
            "User": "",
        },
        "HostConfig": {
            "Mounts": [{"Type": "bind", "Source": "/srv/a", "Target": "/a", "ReadOnly": True}],
            "Tmpfs": {},
            "PortBindings": {},
            "RestartPolicy": {"Name": "always"},
            "CapDrop": ["ALL"],
            "CapAdd": None,
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "ShmSize": 1,
            "PidsLimit": 512,
            **host,
        },
        "NetworkSettings": {"Networks": {"poppyfield": {"Aliases": ["lizmap", "0123456789ab"]}}},
    }


def test_the_marks_of_data_folders_are_left_out_since_each_pi_names_its_own() -> None:
    data, mark = {"Source": "/srv/data"}, {"Source": "/srv/data/.poppyfield-data-1"}
    found = without_marks({"Mounts": [data, mark], "HostConfig": {"Mounts": [mark, data], "Memory": 1}})
    assert found == {"Mounts": [data], "HostConfig": {"Mounts": [data], "Memory": 1}}


def test_a_container_is_asked_for_by_its_own_name_with_its_ports_and_capabilities() -> None:
    found = inspected(
        "websig-lizmap", CapAdd=["SETUID"], PortBindings={"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]}
    )
    options = stock_variables.container(found)
    assert (options["name"], options["published_ports"]) == ("websig-lizmap", ["0.0.0.0:80:8080/tcp"])
    assert options["capabilities"] == ["SETUID"]
    assert options["mounts"] == [{"type": "bind", "source": "/srv/a", "target": "/a", "read_only": True}]
    assert "labels" not in options


@pytest.fixture
def plugin() -> Iterator[types.ModuleType]:
    """Give the callback; the connection is as before afterwards."""
    kept = {name: getattr(Connection, name) for name in ("exec_command", "put_file", "fetch_file", "reset")}
    spec = importlib.util.spec_from_file_location("light_hosts", PLUGIN)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name, value in kept.items():
        setattr(Connection, name, value)


class Asked:
    """A connection to a host."""

    def __init__(self, host: str) -> None:
        self._play_context = types.SimpleNamespace(remote_addr=host)


SUDO = 'sudo -p "[sudo via ansible, key={key}] password:" sh -c "echo BECOME-SUCCESS-{key}; command {number}"'


def test_each_light_host_answers_as_was_recorded(
    plugin: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([(0, b"one\xff", b""), (3, b"two", b"warning")])
    monkeypatch.setattr(plugin, "execute", lambda *_: next(answers))
    monkeypatch.setenv("POPPYFIELD_RECORD", str(tmp_path / "answers"))
    for number in (1, 2):
        plugin.recorded(Asked("pi"), SUDO.format(key="abc", number=number), b"", True)
    monkeypatch.setenv("POPPYFIELD_REPLAY", str(tmp_path / "answers"))
    monkeypatch.setenv("POPPYFIELD_REPLAY_COUNTS", str(tmp_path))
    for host in ("light-01", "light-02"):
        connection = Asked(host)
        assert plugin.replayed(connection, SUDO.format(key="xyz", number=1)) == (0, b"one\xff", b"")
        assert plugin.replayed(connection, SUDO.format(key="xyz", number=2)) == (3, b"two", b"warning")
        with pytest.raises(AnsibleConnectionFailure, match="more than was recorded"):
            plugin.replayed(connection, SUDO.format(key="xyz", number=3))


def test_a_temporary_folder_has_the_name_that_is_asked_for(
    plugin: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "execute", lambda *_: (0, b"ansible-tmp-1.5-20-300=/tmp/ansible-tmp-1.5-20-300", b""))
    monkeypatch.setenv("POPPYFIELD_RECORD", str(tmp_path / "answers"))
    plugin.recorded(Asked("pi"), "mkdir ansible-tmp-1.5-20-300", b"", True)
    monkeypatch.setenv("POPPYFIELD_REPLAY", str(tmp_path / "answers"))
    monkeypatch.setenv("POPPYFIELD_REPLAY_COUNTS", str(tmp_path))
    _, answer, _ = plugin.replayed(Asked("light-01"), "mkdir ansible-tmp-9.25-80-700")
    assert answer == b"ansible-tmp-9.25-80-700=/tmp/ansible-tmp-9.25-80-700"


def test_a_light_host_answers_nothing_else(
    plugin: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "execute", lambda *_: (0, b"", b""))
    monkeypatch.setenv("POPPYFIELD_RECORD", str(tmp_path / "answers"))
    plugin.recorded(Asked("pi"), "command", b"", True)
    monkeypatch.setenv("POPPYFIELD_REPLAY", str(tmp_path / "answers"))
    monkeypatch.setenv("POPPYFIELD_REPLAY_COUNTS", str(tmp_path))
    with pytest.raises(AnsibleConnectionFailure, match="something else"):
        plugin.replayed(Asked("light-01"), "another command")
    with pytest.raises(AnsibleConnectionFailure, match="no files"):
        plugin.no_files(Asked("light-01"), "/a", "/b")


def test_the_tables_show_each_figure() -> None:
    figures = {"wall_s": 1.5, "pi_cpu_s": 2.25, "modules": 5, "tasks": 37, "laptop_cpu_s": 3.0}
    report = {
        **{name: {"ours": figures, "stock": figures} for name in ("first", "noop", "one_change")},
        "hosts": {"50": {"laptop_cpu_s_per_host": 0.41, "laptop_memory_mb": 512.4, "wall_s": 30.2}},
    }
    assert tables.comparison_table(report).count("| 1.5 s | 2.25 s | 5 | 37 | 3 s |") == 6
    assert "| 50 | 0.41 s | 512 MB | 30 s |" in tables.hosts_table(report)
