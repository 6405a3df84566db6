"""playbooks/status.yml as an operator runs it: real containers, four Pis of which one is well.

One does not answer, the map of another does not draw, and the third is not as the inventory says.

All Pis that answer are this machine, so they have the same containers; what they differ in is the address of their map.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.status import drift

from tests.doubles.map_server import running_map_server
from tests.engine import worlds

ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]
Done = subprocess.CompletedProcess[str]
Status = Callable[..., Done]
MAP_SERVER = f"{worlds.PREFIX}lizmap"


@pytest.fixture
def services(real: worlds.RealWorld, wanted: Any) -> list[str]:
    """Have a database and a map server, as far as Docker can tell, and give their names."""
    worlds.converge(real, wanted, DesiredState())
    others: Json = {"resource": "lizmap", "network_aliases": ("lizmap",), "ports": (), "exclusive_folders": ()}
    worlds.converge(real, replace(wanted, name=MAP_SERVER, **others), DesiredState())
    return [worlds.NAME, MAP_SERVER]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Json]:
    """Describe four Pis: nobody listens where one is, the map of another does not draw, and one has changed."""
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects" / "france.qgs").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = server.getsockname()[1]
    this_machine = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        "lizmap_web_client": "none",
        "lizmap_projects": [{"repository": "sample", "folder": str(tmp_path / "projects")}],
    }
    with running_map_server() as well, running_map_server() as broken:
        broken.answers["WMS GetMap"] = b"no picture"
        yield {
            "pi-well": {**this_machine, "lizmap_url": well.url},
            "pi-changed": {**this_machine, "lizmap_url": well.url},
            "pi-broken": {**this_machine, "lizmap_url": broken.url},
            "pi-gone": {"ansible_host": "127.0.0.1", "ansible_port": nobody},
        }


@pytest.fixture
def status(services: list[str], hosts: Json, tmp_path: Path) -> Status:
    """Run the playbook as an operator does."""

    def run(*options: str, playbook: str = "status") -> Done:
        (tmp_path / "hosts.json").write_text(json.dumps({"pis": {"hosts": hosts}}))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.json")]
        command += [f"playbooks/{playbook}.yml", "-e", f"status_folder={tmp_path / 'status'}", *options]
        ours = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "1"}
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, **ours}, capture_output=True, text=True, check=False
        )

    return run


def test_the_fleet_is_told_and_written_and_not_changed(
    status: Status, real: worlds.RealWorld, services: list[str], hosts: Json, tmp_path: Path
) -> None:
    before = [known(real, name) for name in services]
    (tmp_path / "status").mkdir()
    looked = {"at": "2026-11-29T09:00:00+00:00", "would": ["Publish the projects"]}
    (tmp_path / "status" / drift.FILE).write_bytes(drift.written({"pi-changed": looked}))
    done = status()
    assert [known(real, name) for name in services] == before
    assert done.returncode != 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if " | " in line and ": " in line and "pi-" in line[:12]]
    told = [line.partition("pi-")[2].partition(":")[0] for line in lines]
    assert told == ["gone", "broken", "changed", "well"], done.stdout + done.stderr
    assert all(line.startswith("\x1b[") for line in lines)
    assert "changed=0" in recap(done, "pi-well")
    assert "failed=0" in recap(done, "pi-well") and "failed=1" in recap(done, "pi-broken")
    assert "failed=1" in recap(done, "pi-gone")

    gone, broken, changed, well = json.loads((tmp_path / "status" / "status.json").read_text())["pis"]
    assert [one["level"] for one in (gone, broken)] == ["unreachable", "broken"]
    assert changed["level"] == "attention" and "drift" in [one["code"] for one in changed["wrong"]]
    assert "would change “Publish the projects” (seen on 2026-11-29 09:00 UTC)" in done.stdout
    assert well["level"] in ("fine", "attention"), well["wrong"]  # this machine's disk may be full
    assert [one["code"] for one in broken["wrong"] if one["level"] == "broken"] == ["map"]
    assert {entry["name"]: entry["health"] for entry in well["containers"]} == dict.fromkeys(services, "healthy")
    assert well["uptime_seconds"] > 0 and well["memory_total_mb"] > 0 and well["cores"] > 0 and len(well["load"]) == 3
    assert abs(well["clock_ahead_seconds"]) < 60
    assert well["last_deploy"] > "2026"
    assert (tmp_path / "status" / "pictures" / "pi-well-sample-france.png").is_file()
    assert (tmp_path / "status" / "index.html").read_text().count("<img") == 2

    # Of who does not answer now it is known what it was.
    again = status("--limit", "pi-well", "-e", "status_language=fr", playbook="info")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "pas interrogé cette fois" in again.stdout
    rows = json.loads((tmp_path / "status" / "status.json").read_text())["pis"]
    assert [one["name"] for one in rows[:2]] == ["pi-gone", "pi-broken"]
    assert {one["name"]: one["asked"] for one in rows} == {**dict.fromkeys(hosts, False), "pi-well": True}


def known(real: worlds.RealWorld, name: str) -> Json:
    """Give what Docker knows of a container, but for what its health check leaves there, or is in no order."""
    found: Json = real.api.inspect_container(name)
    state = {**found["State"], "Health": None}
    return {"state": state, **{part: found[part] for part in ("Id", "Config", "HostConfig", "RestartCount")}}


def recap(done: Done, pi: str) -> str:
    """Give the line of the recap of a Pi, without colours."""
    after = done.stdout.partition("PLAY RECAP")[2]
    return next((line for line in after.splitlines() if pi in line), done.stdout + done.stderr)
