"""The French pages alone take an operator from the demo to a rebuilt Pi: `make test-docs`, on the demo's emulated Pi.

Each step runs a block as it stands on its page, in a copy of this checkout that has a fleet of its own. The tests build
on each other; what an operator fills in (where the Pi is, the map's files) is filled in here.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from PIL import Image

from emulated_pi import (
    CONTAINERS,
    END,
    ENDS_OF_A_LOG,
    MAP_URL,
    REQUEST_SECONDS,
    STATE,
    log_in,
    sql,
    typed_at_a_terminal,
    wait_until_healthy,
)
from tests.documented import ROOT
from tests.pages import steps
from tests.pages.checkout import copied
from tests.pages.steps import Step, block_of
from workshop.emulator import login

SAMPLE = ROOT / "workshop/demo/sample/projects/sample/france.qgs"
STEP_SECONDS = 3000
# The demo begins with a bare machine, and others run a playbook several times, on a Pi that is emulated.
pytestmark = pytest.mark.timeout(60 * 60)
YES = {"Type yes to go on": "yes"}
STICK = "/mnt/stick"
PARCELS = """{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"name": "a field"},
"geometry": {"type": "Point", "coordinates": [2.5, 46.6]}}]}"""
MAP = {
    "SERVICE": "WMS",
    "REQUEST": "GetMap",
    "VERSION": "1.3.0",
    "LAYERS": "departments,rivers",
    "STYLES": "",
    "CRS": "EPSG:3857",
    "BBOX": "-680000,5020000,1150000,6680000",
    "WIDTH": "300",
    "HEIGHT": "300",
    "FORMAT": "image/png",
}


@dataclass
class Operator:
    """Someone with a copy of the project, a home folder, and the French pages."""

    checkout: Path
    home: Path

    @property
    def fleet(self) -> Path:
        return self.checkout / "inventory" / "fleet"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "ANSIBLE_NOCOLOR": "1",
        }

    def types(self, step: Step, *, folder: Path | None = None, status: int = 0) -> str:
        """Run the block of a step as it stands; give what it showed."""
        done = subprocess.run(
            typed(step),
            cwd=folder or self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=STEP_SECONDS,
        )
        print(done.stdout)
        assert (done.returncode != 0) == bool(status), f"{block_of(step)}: exit status {done.returncode}\n{done.stdout}"
        return done.stdout

    def answers(self, step: Step, answers: Mapping[str, str]) -> tuple[int, str]:
        """Run the block of a step at a terminal, and type the answers; give its exit status and what it showed."""
        status, shown = typed_at_a_terminal(typed(step), self.environment, self.checkout, answers)
        print(shown)
        return status, shown

    def writes(self, path: Path, settings: dict[str, Any]) -> None:
        """Add settings to a file of the inventory."""
        before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(yaml.safe_dump({**before, **settings}), encoding="utf-8")


def typed(step: Step) -> list[str]:
    return ["bash", "-euo", "pipefail", "-c", block_of(step).text]


def typed_on_the_pi(step: Step, folder: str = "/") -> str:
    """Run the block of a step on the Pi itself; give what it showed."""
    return str(log_in().check_output("cd %s && sh -ec %s", folder, block_of(step).text))


def settings_of(step: Step) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(block_of(step).text)
    return settings


def picture(project: str) -> Image.Image:
    """Ask the Pi for a map, as a browser does."""
    answer = requests.get(f"{MAP_URL}/ows/{project}/", params=MAP, timeout=REQUEST_SECONDS)
    assert answer.headers["Content-Type"].startswith("image/png"), answer.text
    return Image.open(io.BytesIO(answer.content))


def colours(project: str) -> int:
    return len(picture(project).convert("RGB").getcolors(90_000) or ())


def towns() -> str:
    """Give a digest of rows on the Pi."""
    return sql(log_in(), "SELECT count(*) || md5(string_agg(t::text, '' ORDER BY t::text)) FROM sample.towns t")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    folder = tmp_path_factory.mktemp("operator")
    (folder / "home").mkdir()
    return Operator(copied(folder / "poppyfield"), folder / "home")


def test_the_demo_is_provisioned(operator: Operator) -> None:
    operator.types(steps.DEMO, folder=ROOT)
    assert colours("sample/france") > 10


def test_a_fleet_is_described_and_provisioned(operator: Operator) -> None:
    operator.types(steps.COPY_THE_EXAMPLE)
    hosts = settings_of(steps.HOSTS)
    for host in hosts["pis"]["hosts"].values():
        host.update(
            ansible_host="127.0.0.1",
            ansible_user=login.USER,
            ansible_become_password=f"{{{{ lookup('ansible.builtin.file', '{login.StateFiles(STATE).password}') }}}}",
            ansible_port=int(os.environ.get("POPPYFIELD_SSH_PORT", "2222")),
            ansible_ssh_private_key_file=f"{STATE}/id_ed25519",
            ansible_ssh_common_args=f"-o UserKnownHostsFile={STATE}/known_hosts -o IdentitiesOnly=yes",
            # What makes this Pi an emulated one.
            lizmap_url=MAP_URL,
            lizmap_qgis_workers=1,
        )
    (operator.fleet / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    (operator.fleet / "group_vars/pis.yml").write_text(block_of(steps.CHOICES).text, encoding="utf-8")
    assert not re.search(r"changed=[1-9]", operator.types(steps.PREFLIGHT))
    operator.types(steps.PROVISION)
    assert requests.get(MAP_URL, timeout=REQUEST_SECONDS).ok


def test_a_project_is_published(operator: Operator) -> None:
    named = settings_of(steps.NAME_PROJECTS)["lizmap_projects"][0]
    folder = Path(named["folder"].replace("~", str(operator.home)))
    folder.mkdir(parents=True)
    shutil.copy(SAMPLE, folder / "champs.qgs")
    # Without Lizmap there are no groups and no users, as the page says.
    project = {"repository": named["repository"], "folder": named["folder"]}
    operator.writes(operator.fleet / "group_vars/pis.yml", {"lizmap_projects": [project]})
    operator.types(steps.PUBLISH)
    assert colours("champs/champs") > 10


def test_what_is_broken_is_named_and_mended(operator: Operator) -> None:
    before = towns()
    log_in().check_output("docker rm --force websig-lizmap")
    assert "websig-lizmap" in operator.types(steps.STATUS, status=1)
    operator.types(steps.VERIFY, status=1)
    operator.types(steps.MEND)
    assert colours("champs/champs") > 10
    assert towns() == before


def test_a_pi_is_rebuilt_with_its_data(operator: Operator) -> None:
    before, containers = towns(), log_in().check_output("docker ps --quiet --no-trunc")
    assert "USE_GEOS=" in operator.types(steps.COMMAND_INSIDE)
    operator.types(steps.REBUILD)
    assert colours("champs/champs") > 10
    assert towns() == before
    assert not set(log_in().check_output("docker ps --quiet --no-trunc").split()) & set(containers.split())


def test_what_is_typed_on_the_pi_itself_makes_the_containers_again(operator: Operator) -> None:
    shown = typed_on_the_pi(steps.CONTAINERS_ON_THE_PI)
    assert all(name in shown for name in CONTAINERS) and "USE_GEOS=" in shown
    before, containers = towns(), log_in().check_output("docker ps --quiet --no-trunc")
    typed_on_the_pi(steps.COMPOSE_ON_THE_PI, "/srv/poppyfield")
    wait_until_healthy(log_in())
    assert towns() == before and colours("champs/champs") > 10
    assert not set(log_in().check_output("docker ps --quiet --no-trunc").split()) & set(containers.split())


def test_a_pi_is_looked_at(operator: Operator) -> None:
    operator.types(steps.VERIFY_FROM_OUTSIDE)
    assert not re.search(r"changed=[1-9]", operator.types(steps.WHAT_WOULD_CHANGE))
    _, watched = operator.answers(steps.WATCH, {"websig-": END})
    assert all(name in watched for name in CONTAINERS)
    _, followed = operator.answers(steps.FOLLOW_LOGS, dict.fromkeys(ENDS_OF_A_LOG, END))
    assert "LOG:" in followed
    _, inside = operator.answers(steps.SHELL, {"$ ": "id -un; exit", "# ": "id -un; exit"})
    assert "postgres" in inside and "root" in inside


def test_data_are_loaded_and_added(operator: Operator) -> None:
    dump = operator.checkout / "10-gis.dump"
    pi, path = log_in(), "/var/lib/postgresql/data/10-gis.dump"
    pi.check_output("docker exec -u postgres websig-postgis pg_dump -Fc --file=%s gis", path)
    dump.write_bytes(base64.b64decode(pi.check_output("docker exec websig-postgis base64 %s", path)))
    pi.check_output("docker exec websig-postgis rm %s", path)
    before = towns()
    sql(pi, "DELETE FROM sample.towns")
    operator.types(steps.LOAD)
    assert towns() == before
    (operator.checkout / "parcels.json").write_text(PARCELS)
    making = ["ogr2ogr", "-nln", "parcels", "parcelles.gpkg", "parcels.json"]
    subprocess.run(making, cwd=operator.checkout, check=True)
    operator.types(steps.ADD)
    assert sql(pi, "SELECT name FROM parcels") == "a field"
    operator.types(steps.CREATE_INDEX)
    assert sql(pi, "SELECT count(*) FROM pg_indexes WHERE tablename = 'parcels' AND indexdef LIKE '%gist%'") >= "1"
    assert "champs/champs" in operator.types(steps.SECONDS_OF_LAYERS)


@pytest.fixture
def stick(operator: Operator) -> Iterator[str]:
    """Mount memory where the backups of the fleet go; of an operator before this one the Pi knows nothing."""
    log_in().check_output("rm -rf /etc/poppyfield/backup")
    sql(log_in(), "DROP DATABASE IF EXISTS gis_yesterday", "postgres")
    log_in().check_output("mkdir -p %s && mount -t tmpfs -o size=500m stick %s", STICK, STICK)
    settings = {"backup_targets": [{"name": "stick", "folder": STICK}], "backup_prove": False, "backup_wal": "off"}
    operator.writes(operator.fleet / "group_vars/pis.yml", settings)
    yield STICK
    log_in().check_output("umount %s", STICK)


def test_backups_are_made_and_restored(operator: Operator, stick: str) -> None:
    operator.types(steps.PUBLISH)
    assert "pi-orchard: " in operator.types(steps.BACKUP)
    assert "all is well" in operator.types(steps.BACKUP_REPORT)
    operator.types(steps.EMERGENCY_SHEET)
    assert (operator.checkout / "build/emergency-sheets/pi-orchard.fr.pdf").read_bytes().startswith(b"%PDF")
    status, shown = operator.answers(steps.RESTORE_BESIDE, YES)
    assert status == 0, shown
    assert sql(log_in(), "SELECT count(*) FROM sample.towns", "gis_yesterday") > "0"
    before = towns()
    typed_on_the_pi(steps.BACKUP_ON_THE_PI)
    typed_on_the_pi(steps.RESTORE_ON_THE_PI)
    assert towns() == before and colours("champs/champs") > 10
    operator.writes(operator.fleet / "group_vars/pis.yml", {"backup_targets": []})
    operator.types(steps.TAKE_LOCK)
    # A Pi goes on with its backups until somebody ends that on it, as the page says.
    timer = log_in().service("poppyfield-backup.timer")
    assert timer.is_enabled and timer.is_running
    log_in().check_output("sudo systemctl disable --now poppyfield-backup.timer")


# Last: what the demo loaded is gone, too.
def test_the_containers_go_and_then_their_data(operator: Operator) -> None:
    status, shown = operator.answers(steps.REMOVE, YES)
    assert status == 0, shown
    assert log_in().check_output("docker ps --all --quiet") == ""
    status, shown = operator.answers(steps.DELETE_DATA, {"or only press Enter:": "pi-orchard"})
    assert status == 0, shown
    assert not log_in().file("/srv/poppyfield/postgis/data").exists
