"""`python -m workshop.demo run|stop|clean`: what `make demo`, `make demo-stop` and `make demo-clean` call."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.containers.services import SECRETS_FOLDER

from workshop.demo.display import Display, StepError
from workshop.demo.result import Login, ResultError, describe_images, describe_map, read_run
from workshop.emulator import binfmt, login
from workshop.laptop.prepare import cache_folder, stop_own_dockerd

ROOT = Path(__file__).resolve().parents[2]
PI_NAME = "poppyfield-demo"
STATE = ROOT / "build" / "demo"
FILES = login.StateFiles(STATE)
BASEMAP = Path(__file__).resolve().parent / "sample" / "basemaps" / "europe.pmtiles"
SSH_PORT = int(os.environ.get("POPPYFIELD_SSH_PORT", "2222"))
MAP_PORT = int(os.environ.get("POPPYFIELD_MAP_PORT", "8081"))
BUILD_LOG = cache_folder() / "build.log"


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("command", choices=["run", "stop", "clean"])
    display = Display(STATE / "logs")
    try:
        {"run": run, "stop": stop, "clean": clean}[parser.parse_args().command](display)
    except (StepError, ResultError) as failure:
        display.console.print(str(failure), markup=False)
        return 1
    finally:
        give_back(ROOT / "build")
    return 0


def run(display: Display) -> None:
    """Start the Pi, provision it twice, look at its map, write the report."""
    started = time.monotonic()
    display.run("Build the emulated Pi", emulator("build"), "emulator-build.log")
    start = emulator(
        "start", "--name", PI_NAME, "--ssh-port", str(SSH_PORT), "--map-port", str(MAP_PORT), "--state-dir", str(STATE)
    )
    display.run("Start the emulated Pi", start, "emulator-start.log")
    first = provision(display, "Provision it: ansible-playbook site.yml", "first")
    second = provision(display, "Provision it again: nothing may change", "second")
    if second["changed"]:
        raise StepError(f"The second run changed {second['changed']} things; read {display.log_folder}/second.log")
    images = describe_images(Login(ssh_command(), FILES.password))
    web_client = "map_page" if images["lizmap_web_client"] == "none" else "lizmap"
    report = {
        **describe_map(ROOT, STATE, f"http://127.0.0.1:{MAP_PORT}", web_client),
        **images,
        "first_run": first,
        "second_run": second,
    }
    (STATE / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    display.console.print(f"done in {time.monotonic() - started:.0f} s")
    display.console.print(farewell(report), markup=False, soft_wrap=True)


def provision(display: Display, name: str, run_name: str) -> dict[str, Any]:
    """Run site.yml as a fleet's owner would; return what the run did."""
    report_path = STATE / f"{run_name}-run.json"
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": "run_report",
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "POPPYFIELD_RUN_REPORT": str(report_path),
        "POPPYFIELD_SSH_PORT": str(SSH_PORT),
        "POPPYFIELD_MAP_PORT": str(MAP_PORT),
        "POPPYFIELD_STATE_FOLDER": str(STATE),
        "POPPYFIELD_DEMO_BASEMAP": str(BASEMAP),
    }
    playbook = str(Path(sys.executable).parent / "ansible-playbook")
    command = [playbook, "-i", str(ROOT / "inventory" / "demo"), str(ROOT / "site.yml")]
    display.run(name, command, f"{run_name}.log", environment, more_logs=[BUILD_LOG])
    return read_run(report_path)


def stop(display: Display) -> None:
    """Stop the emulated Pi; it keeps everything."""
    display.run("Stop the emulated Pi", emulator("stop", "--name", PI_NAME), "emulator-stop.log")


def clean(display: Display) -> None:
    """Remove what the demo made: the Pi with its data, the pictures, the keys, a Docker Engine that it started."""
    display.run("Remove the emulated Pi", emulator("destroy", "--name", PI_NAME), "emulator-destroy.log")
    shutil.rmtree(STATE)
    if stop_own_dockerd():
        binfmt.unregister()
        display.console.print("Docker Engine, which the demo had started, is stopped.")
    display.console.print(
        "Kept, so that a next time is quick: Debian packages, images named poppyfield/* in Docker, and "
        f"{cache_folder()}. Remove the latter two with:\n"
        f"docker image rm $(docker image ls -q 'poppyfield/*'); rm -r {cache_folder()}",
        soft_wrap=True,
        markup=False,
    )


def give_back(folder: Path) -> None:
    """Give what was made with sudo to the person who called it: the key to log in with, the picture, the logs."""
    if "SUDO_UID" not in os.environ:
        return
    owner, group = int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"])
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, group, follow_symlinks=False)


def emulator(*arguments: str) -> list[str]:
    """Return the command line of the emulator."""
    return [sys.executable, str(ROOT / "workshop" / "emulator" / "pi.py"), *arguments]


def ssh_command() -> list[str]:
    """Return the command that logs in to the emulated Pi."""
    options = [
        "-i",
        str(FILES.key),
        "-o",
        f"UserKnownHostsFile={FILES.known_hosts}",
        "-o",
        "BatchMode=yes",
    ]
    return ["ssh", "-p", str(SSH_PORT), *options, f"{login.USER}@127.0.0.1"]


def farewell(report: dict[str, Any]) -> str:
    """Return what a person wants to know once the map draws."""
    without_lizmap = (
        "Lizmap Web Client is not in this demo, because its release archive was not given: what you see is the\n"
        "container's own small page. For Lizmap: make demo LIZMAP_ARCHIVE=FILE LIZMAP_SERVER_PLUGIN=FILE\n"
    )
    with_lizmap = (
        "Lizmap's administrator is admin; to see the password, log in to the Pi and type\n"
        f"sudo cat {SECRETS_FOLDER}/lizmap_admin_password\n"
    )
    return (
        f"\nThe map: {report['map_url']}\n"
        f"Its picture: {report['getmap']['path']}\n"
        + (without_lizmap if report["lizmap_web_client"] == "none" else with_lizmap)
        + "The emulated Pi is a container with all rights: whoever is root in it is root on this machine.\n"
        f"Log in to the Pi: {' '.join(ssh_command())}\n"
        f"Its sudo asks for a password, which is in {FILES.password}\n"
        f"The credentials are on the Pi, readable by root only: {SECRETS_FOLDER}\n"
        "Stop it: make demo-stop    Remove it all: make demo-clean"
    )


if __name__ == "__main__":
    sys.exit(main())
