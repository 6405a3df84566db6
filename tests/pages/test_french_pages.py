"""The French pages alone take an operator from the demo to a rebuilt Pi: `make test-docs`, on the demo's emulated Pi.

Each step runs a block as it stands on its page, in a copy of this checkout that has a fleet of its own. The tests build
on each other; what an operator fills in (where the Pi is, the map's files) is filled in here.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from PIL import Image

from emulated_pi import MAP_URL, REQUEST_SECONDS, STATE, log_in, sql
from tests.documented import ROOT
from tests.pages import steps
from tests.pages.checkout import copied
from tests.pages.steps import Step, block_of
from workshop.emulator import login

SAMPLE = ROOT / "workshop/demo/sample/projects/sample/france.qgs"
STEP_SECONDS = 1800
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

    def types(self, step: Step, *, folder: Path | None = None, status: int = 0) -> str:
        """Run the block of a step as it stands; give what it showed."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "ANSIBLE_NOCOLOR": "1",
        }
        command = ["bash", "-euo", "pipefail", "-c", block_of(step).text]
        done = subprocess.run(
            command,
            cwd=folder or self.checkout,
            env=environment,
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

    def writes(self, path: Path, settings: dict[str, Any]) -> None:
        """Add settings to a file of the inventory."""
        before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(yaml.safe_dump({**before, **settings}), encoding="utf-8")


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
