"""One folder, and no internet on either side: a bare Pi becomes a map server, also when its power goes meanwhile."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

from emulated_pi import STATE, ansible_playbook, count_of_a_run, log_in, power_cut, sql, wait_until_healthy
from interrupted_run import NEW_RELEASE, UNPACKS, interrupted
from sample_map import FRANCE_ROWS, picture_of_france

# Nobody answers there, so whatever the laptop would fetch fails at once; this machine itself is reached.
NO_INTERNET = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost"),
}
KEY = ("-e", f"bundle_key_folder={STATE / 'bundle-key'}", "-e", "bundle_alone=false")
MOST_MODULES = 8
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


def without_power_when(task: str, bundle: Path, *arguments: str, meanwhile: str = "true") -> None:
    """Make a run, and cut the power when a task of it has begun and something can be seen on the Pi."""

    def cut(_: subprocess.Popen[str]) -> None:
        log_in().check_output(meanwhile)
        without_power()

    code, said = interrupted(task, cut, "-e", f"bundle={bundle}", *KEY, *arguments, environment=NO_INTERNET)
    assert code, said


@pytest.mark.autonomy("laptop")
@pytest.mark.autonomy("cut installation")
def test_a_bare_pi_is_installed_from_a_bundle_whatever_the_power_does(first: Path) -> None:
    without_power_when("Take the bundle", first, meanwhile=COPIES)
    without_power_when("Install the engine and its Python SDK", first, meanwhile=UNPACKS)
    without_power_when("Deliver the images that this Pi lacks", first)
    code, said = install(first)
    assert code == 0, said
    pi = log_in()
    assert sql(pi, FRANCE_ROWS).startswith("96|")
    assert len(picture_of_france()) > 10_000
    # Nothing half-copied is left, and nothing led to the internet meanwhile.
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
    before = (sql(pi, FRANCE_ROWS), picture_of_france())
    for task in ("Take the bundle", "Deploy the PostGIS container"):
        without_power_when(task, second, *NEW_RELEASE)
        # Nobody does anything: the old one or the new one serves.
        wait_until_healthy(log_in())
        assert (sql(log_in(), FRANCE_ROWS), picture_of_france()) == before
    code, said = install(second, *NEW_RELEASE)
    assert code == 0, said
    assert (sql(log_in(), FRANCE_ROWS), picture_of_france()) == before
    assert log_in().package("python3-docker").is_installed


@pytest.mark.autonomy("older")
def test_an_older_bundle_is_refused_and_the_map_stays(first: Path) -> None:
    before = picture_of_france()
    code, said = install(first)
    assert code != 0 and "was taken before: an older one is never taken again" in said
    assert picture_of_france() == before
