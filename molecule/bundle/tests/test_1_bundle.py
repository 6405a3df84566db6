"""One folder, and no internet on either side: a bare Pi becomes a map server, also when its power goes meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from testinfra.host import Host

from emulated_pi import (
    INVENTORY,
    MAP_URL,
    REQUEST_SECONDS,
    ROOT,
    STATE,
    ansible_playbook,
    count_of_a_run,
    log_in,
    power_cut,
    sql,
    wait_until_healthy,
)

# Nobody answers there, so whatever the laptop would fetch fails at once; this machine itself is reached.
NO_INTERNET = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost"),
}
KEY = ("-e", f"bundle_key_folder={STATE / 'bundle-key'}", "-e", "bundle_alone=false")
MOST_MODULES = 8
ROWS = "SELECT count(*), md5(string_agg(t::text, '' ORDER BY id)) FROM sample.departments t"
NEW_RELEASE = ("-e", "postgis_memory_limit_share=0.6", "-e", "lizmap_memory_limit_share=0.6")
UNPACKS = "timeout 900 sh -c 'until pgrep -x dpkg > /dev/null; do sleep 0.2; done'"
COPIES = "timeout 900 sh -c 'until ls -d /srv/poppyfield/bundles/*.partial > /dev/null 2>&1; do sleep 0.1; done'"
# Runs on a Pi that is emulated by a machine with something else to do.
pytestmark = pytest.mark.timeout(60 * 60)


def cut_off(pi: Host) -> None:
    """Take the Pi every way but that of its own network."""
    pi.check_output("ip route flush exact 0.0.0.0/0")
    assert pi.run("timeout 5 bash -c '> /dev/tcp/192.0.2.1/80'").failed


def without_power() -> None:
    """Cut the Pi's power, and give it back, but not the internet."""
    power_cut()
    cut_off(log_in())


def make_bundle(folder: Path, *arguments: str) -> Path:
    (STATE / "bundle-key").mkdir(parents=True, exist_ok=True)
    run = ansible_playbook("-e", f"bundle={folder}", *KEY, *arguments, playbook="playbooks/bundle.yml")
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a bundle, and a Pi without the internet."""
    made = make_bundle(tmp_path_factory.mktemp("bundles") / "first")
    cut_off(log_in())
    yield made


def install(bundle: Path, *arguments: str) -> tuple[int, str]:
    run = ansible_playbook("-e", f"bundle={bundle}", *KEY, *arguments, environment=NO_INTERNET)
    return run.returncode, run.stdout + run.stderr


def interrupted(bundle: Path, task: str, meanwhile: Callable[[Host], object], *arguments: str) -> None:
    """Make a run, and cut the power when a task of it has begun and something can be seen on the Pi."""
    program = str(Path(sys.executable).parent / "ansible-playbook")
    ours = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_LOG_PATH": ""}
    command = [program, "-i", str(INVENTORY), str(ROOT / "site.yml"), "-e", f"bundle={bundle}", *KEY, *arguments]
    environment = {**os.environ, **ours, **NO_INTERNET, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout
        said, is_cut = [], False
        for line in run.stdout:
            said.append(line)
            if line.startswith("TASK [") and task in line and not is_cut:
                meanwhile(log_in())
                without_power()
                is_cut = True
    assert is_cut and run.returncode, "".join(said)


def picture() -> bytes:
    """Ask for the map; return its picture."""
    question = {
        **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": "departments,towns", "STYLES": ""},
        **{"CRS": "EPSG:3857", "BBOX": "-680000,5020000,1150000,6680000", "WIDTH": "600", "HEIGHT": "544"},
        "FORMAT": "image/png",
    }
    answer = requests.get(f"{MAP_URL}/ows/sample/france/", params=question, timeout=REQUEST_SECONDS)
    assert answer.headers["Content-Type"] == "image/png", answer.text[:500]
    return answer.content


@pytest.mark.autonomy("laptop")
@pytest.mark.autonomy("cut installation")
def test_a_bare_pi_is_installed_from_a_bundle_whatever_the_power_does(first: Path) -> None:
    interrupted(first, "Take the bundle", lambda pi: pi.check_output(COPIES))
    interrupted(first, "Install the engine and its Python SDK", lambda pi: pi.check_output(UNPACKS))
    interrupted(first, "Deliver the images that this Pi lacks", lambda _: None)
    code, said = install(first)
    assert code == 0, said
    pi = log_in()
    assert sql(pi, ROWS).startswith("96|")
    assert len(picture()) > 10_000
    # What the bundle holds is all that apt was shown, and its sources are as they were.
    assert not pi.run("ls -d /srv/poppyfield/bundles/*.partial").succeeded
    assert pi.check_output("ip route show default") == ""


@pytest.mark.autonomy("second run")
def test_a_second_run_changes_nothing(first: Path, tmp_path: Path) -> None:
    counted = count_of_a_run(tmp_path, "-e", f"bundle={first}", *KEY)
    assert counted["changed"] == 0, counted["output"]
    assert len(counted["modules"]) <= MOST_MODULES, counted["modules"]


@pytest.mark.autonomy("cut serves")
def test_while_a_second_bundle_comes_the_map_serves_and_the_next_run_completes(first: Path) -> None:
    second = make_bundle(
        first.parent / "second", "-e", f"bundle_newer_than={first}", "-e", '{"bundle_packages": ["jq"]}'
    )
    pi = log_in()
    before = (sql(pi, ROWS), picture())
    for task in ("Take the bundle", "Deploy the PostGIS container"):
        interrupted(second, task, lambda _: None, *NEW_RELEASE)
        # Nobody does anything: the old one or the new one serves.
        wait_until_healthy(log_in())
        assert (sql(log_in(), ROWS), picture()) == before
    code, said = install(second, *NEW_RELEASE)
    assert code == 0, said
    assert (sql(log_in(), ROWS), picture()) == before
    assert log_in().package("python3-docker").is_installed


@pytest.mark.autonomy("older")
def test_an_older_bundle_is_refused_and_the_map_stays(first: Path) -> None:
    before = picture()
    code, said = install(first)
    assert code != 0 and "was taken before: an older one is never taken again" in said
    assert picture() == before
