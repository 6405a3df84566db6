"""Prepare this laptop: `python3 workshop/laptop/prepare.py laptop|environment|demo|test|attacks|lizmap|bench|docs|
machine`.

Uses the standard library only, because it runs before anything is installed. It looks first, says what it will
do, and only then does it: Debian packages, Docker Engine's start where no init system starts it, the ARM
interpreter, and a Python environment outside the checkout, keyed by the lock of its packages.

`laptop` is what a laptop that provisions Pis has as root, and `environment` what its user has: together `make laptop`.
`machine` is what an emulated Pi that is a whole machine needs beside one of the environments.
"""

from __future__ import annotations

import argparse
import grp
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from workshop.emulator import binfmt  # noqa: E402
from workshop.laptop import machine as m  # noqa: E402

REQUIREMENTS = {
    "demo": ["requirements.txt"],
    "test": ["requirements.txt", "requirements-dev.txt"],
    "attacks": ["requirements.txt", "requirements-dev.txt"],
    "lizmap": ["requirements.txt", "requirements-dev.txt", "requirements-browser.txt"],
    "bench": ["requirements.txt", "requirements-bench.txt"],
    # No environment of this checkout's own: for a server, and for the execution environment.
    "runner": ["requirements-runner.txt"],
    "docs": ["requirements-docs.txt"],
    "verify": ["requirements.txt", "requirements-verify.txt"],
}
LINKS = {purpose: "venv" if purpose == "demo" else f"venv-{purpose}" for purpose in REQUIREMENTS if purpose != "runner"}
LAPTOP = "laptop"
ENVIRONMENT = "environment"
MACHINE = "machine"
POWER_CUTS = "power-cuts"
READY = "In each new terminal, in this folder, before other commands:\n    . build/venv/bin/activate\nNext: make fleet"
DOCKER_GROUP = "docker"
DOCKER_START_SECONDS = 60


def cache_folder() -> Path:
    """Return the folder for everything that outlives a checkout: environments, base systems, archives."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poppyfield"


def lock_of(purpose: str) -> Path:
    """Return the file that names every package of a purpose, with the digests of its files."""
    return ROOT / "locks" / f"{purpose}.txt"


def environment_folder(purpose: str) -> Path:
    """Return the Python environment's folder, named by the content of all that decides what is in it."""
    digest = hashlib.sha256(sys.version.encode() + lock_of(purpose).read_bytes())
    return cache_folder() / "venv" / f"{purpose}-{digest.hexdigest()[:16]}"


def main() -> int:
    """Check, announce, prepare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("purpose", choices=sorted({*LINKS, LAPTOP, ENVIRONMENT, MACHINE, POWER_CUTS}))
    purpose = parser.parse_args().purpose
    if purpose in ("docs", "verify"):
        # Nothing runs here but Python.
        make_environment(purpose)
        return 0
    if purpose == ENVIRONMENT:
        make_environment("demo")
        print(READY)
        return 0
    found = m.look()
    # What an earlier run has already put on the disk need not be free a second time.
    disk_needed = 5 if (cache_folder() / "prepared").exists() else m.MIN_DISK_GB
    print(
        f"This machine: {found.os_id} {found.release:g}, {found.architecture}, {found.memory_gb:.0f} GB memory, "
        f"{found.free_disk_gb:.0f} GB disk free, Python {found.python[0]}.{found.python[1]}"
    )
    if ruled_out := m.problems(found, disk_needed):
        print("This machine can't run it:", *ruled_out, sep="\n  - ", file=sys.stderr)
        return 1
    packages = m.missing_packages(found, purpose)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("Debian packages", lambda: install(packages)),
        ("Docker Engine", start_docker),
    ]
    if purpose == LAPTOP:
        steps += [("ARM interpreter, also after a restart", binfmt.keep), ("Leave to build images", let_build)]
    else:
        steps.append(("ARM interpreter", binfmt.register))
    if purpose in LINKS:
        steps.append(("Python packages", lambda: make_environment(purpose)))
    print("It will install: " + (" ".join(packages) or "no Debian package, all are there"))
    for name, action in steps:
        started = time.monotonic()
        print(f"{name} ...", flush=True)
        action()
        print(f"{name}: done in {time.monotonic() - started:.0f} s", flush=True)
    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / "prepared").touch()
    return 0


def let_build() -> None:
    """Let who called sudo use Docker Engine, without which nobody builds images."""
    user = os.environ.get("SUDO_USER", "root")
    if user == "root" or user in grp.getgrnam(DOCKER_GROUP).gr_mem:
        return
    subprocess.run(["usermod", "--append", "--groups", DOCKER_GROUP, user], check=True)
    print(
        f"{user} is in the group {DOCKER_GROUP} now, which lets it do on this laptop what root can. It counts from the "
        "next log-in: log out and in again before you provision."
    )


def install(packages: list[str]) -> None:
    """Install Debian packages, without recommended ones."""
    if not packages:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def docker_answers() -> bool:
    """Tell whether a Docker Engine answers."""
    return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0


def start_docker() -> None:
    """Start Docker Engine if it does not run: by the init system, or directly where there is none."""
    if docker_answers():
        return
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "start", "docker"], check=True)
    else:
        start_dockerd_directly()
    deadline = time.monotonic() + DOCKER_START_SECONDS
    while not docker_answers():
        if time.monotonic() > deadline:
            raise SystemExit(f"Docker Engine did not answer in {DOCKER_START_SECONDS} s: read {dockerd_log()}")
        time.sleep(1)


def dockerd_log() -> Path:
    """Return where a dockerd that we start ourselves writes its log."""
    return cache_folder() / "dockerd.log"


def start_dockerd_directly() -> None:
    """Start dockerd as a process of its own and note its id, so that `make demo-clean` can stop it."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    with dockerd_log().open("ab") as log:
        process = subprocess.Popen(
            ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
        )
    (cache_folder() / "dockerd.pid").write_text(str(process.pid))


def stop_own_dockerd() -> bool:
    """Stop the dockerd that start_dockerd_directly started, if it still runs and nobody uses it; tell whether."""
    note = cache_folder() / "dockerd.pid"
    if not note.exists():
        return False
    process_id = int(note.read_text())
    command = Path(f"/proc/{process_id}/comm")
    ours = command.exists() and command.read_text().strip() == "dockerd"
    in_use = subprocess.run(["docker", "ps", "--quiet"], capture_output=True, text=True, check=False).stdout
    if not ours or in_use:
        return False
    os.kill(process_id, signal.SIGTERM)
    note.unlink()
    return True


def install_command(pip: Path, lock: Path) -> list[str]:
    """Return the command that installs what a lock names, and refuses a file of another digest."""
    return [str(pip), "install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]


def make_environment(purpose: str) -> None:
    """Make the Python environment, and let the purpose's link in build/ point at it."""
    folder = environment_folder(purpose)
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run(install_command(folder / "bin" / "pip", lock_of(purpose)), check=True)
        (folder / "complete").touch()
    link = ROOT / "build" / LINKS[purpose]
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)


if __name__ == "__main__":
    sys.exit(main())
