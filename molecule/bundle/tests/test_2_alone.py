"""The same with no laptop either: a bare Pi without any network, and a stick."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from emulated_pi import MAP_PORT, MAP_URL, PI_NAME, ROOT, SSH_PORT, STATE, ansible_playbook, emulator
from sample_map import FRANCE

NAME = "pi-orchard"
INVENTORY = f"""
pis:
  hosts:
    {NAME}:
      ansible_host: 127.0.0.1
  vars:
    lizmap_web_client: none
    lizmap_qgis_workers: 1
    lizmap_verify_timeout: 900
    postgis_databases:
      - name: gis
        owner: gis
        extensions: [postgis]
        initial_sql: {ROOT}/workshop/demo/sample/sample.sql
    lizmap_projects:
      - repository: sample
        folder: {ROOT}/workshop/demo/sample/projects/sample
"""
PICTURE = FRANCE.replace(MAP_URL, "http://127.0.0.1")
"""As it is asked for on the Pi itself."""
ASK = "import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=600).read())"
# Ansible itself runs on a Pi that is emulated.
pytestmark = pytest.mark.timeout(90 * 60)


def on_the_pi(*command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command where somebody sits who has logged in at the Pi itself."""
    return subprocess.run(["docker", "exec", PI_NAME, *command], capture_output=True, check=False)


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle for a Pi alone."""
    folder = tmp_path_factory.mktemp("alone")
    fleet = folder / "fleet"
    fleet.mkdir()
    (fleet / "hosts.yml").write_text(INVENTORY, "utf-8")
    run = ansible_playbook("-e", f"bundle={folder / 'first'}", playbook="playbooks/bundle.yml", inventories=(fleet,))
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def _bare_pi(stick: Path) -> None:
    """Make a new Pi with the stick in it, the key that it trusts on its card, and no network."""
    emulator("destroy", "--name", PI_NAME)
    places = ("--ssh-port", SSH_PORT, "--map-port", MAP_PORT, "--state-dir", str(STATE))
    emulator("start", "--name", PI_NAME, *places)
    subprocess.run(["docker", "cp", str(stick / "first"), f"{PI_NAME}:/media/"], check=True)
    # On the card's first partition, which is mounted there.
    signers = (stick / "fleet" / "bundle.signers").read_bytes()
    card = ["docker", "exec", "--interactive", PI_NAME, "sh", "-c", "cat > /boot/firmware/bundle.signers"]
    subprocess.run(card, input=signers, check=True)
    inspected = ["docker", "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"]
    networks = subprocess.run([*inspected, PI_NAME], check=True, capture_output=True, text=True).stdout.split()
    for network in networks:
        subprocess.run(["docker", "network", "disconnect", network, PI_NAME], check=True)
    assert on_the_pi("ls", "/sys/class/net").stdout.split() == [b"lo"]


@pytest.mark.autonomy("alone")
@pytest.mark.usefixtures("_bare_pi")
def test_a_bare_pi_without_any_network_installs_itself_from_a_stick() -> None:
    done = on_the_pi("sh", "/media/first/install", NAME)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    picture = on_the_pi("python3", "-c", ASK, PICTURE)
    assert picture.stdout.startswith(b"\x89PNG") and len(picture.stdout) > 10_000, picture.stderr.decode()


@pytest.mark.usefixtures("_bare_pi")
def test_a_second_run_changes_nothing_there() -> None:
    again = on_the_pi("sh", "/media/first/install", NAME)
    assert again.returncode == 0 and b" changed=0 " in again.stdout, again.stdout.decode() + again.stderr.decode()
