"""Run the unit tests on the newest Python and ansible-core that are maintained: `python -m workshop.laptop.newest`.

A laptop's Python may take no newer ansible-core, so the tests run in a root of Debian's newer release, made once and
kept outside the checkout, named by all that decides its content. Started with the tests' own environment, for its
`packaging` and its pip: only this side has the machine's certificates and its configuration of pip.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

from workshop.laptop.prepare import ROOT, cache_folder, install_command, lock_of

SUITE = "trixie"
PYTHON = "3.13"
# What the tests run besides Python.
PACKAGES = (
    "dosfstools",
    "fdisk",
    "git",
    "mtools",
    "openssh-client",
    "openssl",
    "procps",
    "python3",
    "python3-venv",
    "zstd",
)
OPTIONS = (
    "--variant=minbase",
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    '--aptopt=Acquire::Languages "none"',
)
LOCK = lock_of("test")
PINS = "pins.txt"
TESTS = ("tests/unit", "tests/templates")
PATH = "/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The checkout is read-only, since another Python's tests write to its build/ at the same time. All mounts end with the
# process, whatever becomes of it, because the namespace is its own.
ENTER = """
set -e
root=$1 checkout=$2; shift 2
# As on any machine, / is a mount.
mount --bind "$root" "$root"
if [ -n "$checkout" ]; then
    mount --bind "$checkout" "$root/checkout"
    mount -o remount,bind,ro "$root/checkout"
    mount -t tmpfs tmpfs "$root/checkout/build"
    mount -t tmpfs tmpfs "$root/tmp"
fi
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""


def root_folder() -> Path:
    """Return the root's folder, named by all that decides what is in it."""
    digest = hashlib.sha256(Path(__file__).read_bytes() + LOCK.read_bytes())
    return cache_folder() / "newest" / digest.hexdigest()[:16]


def pins_for(text: str, python: str) -> list[str]:
    """Return the pins, with their digests, that hold for this Python; pip goes by the Python that it runs on."""
    lines = re.sub(r" *\\\n *", " ", text).splitlines()
    split = [line.partition(" --hash=") for line in lines if line.strip() and not line.startswith(("#", "-"))]
    pins = [(Requirement(pin), f"{mark}{digests}") for pin, mark, digests in split]
    wanted = {"python_version": python, "python_full_version": f"{python}.0"}
    return [
        f"{pin.name}{pin.specifier}{digests}"
        for pin, digests in pins
        if pin.marker is None or pin.marker.evaluate(wanted)
    ]


def bootstrap_command(target: Path) -> list[str]:
    """Return the mmdebstrap command. It names no mirror: mmdebstrap knows Debian's."""
    return ["mmdebstrap", "--quiet", f"--include={','.join(PACKAGES)}", *OPTIONS, SUITE, str(target)]


def download_command(wheels: Path) -> list[str]:
    """Return the command that fetches every pinned wheel for the other Python, by this machine's pip."""
    options = ["--no-deps", "--only-binary=:all:", f"--python-version={PYTHON}", f"--dest={wheels}"]
    options += ["--require-hashes", "-r", str(wheels / PINS)]
    return [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", *options]


def make() -> Path:
    """Return the root, made if it isn't cached."""
    root = root_folder()
    if root.exists():
        return root
    print(f"A root of Debian {SUITE} with Python {PYTHON} and the newest ansible-core ...", flush=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{root.name}.", suffix=".partial", dir=root.parent))
    try:
        (partial / "wheels").mkdir()
        pins = pins_for(LOCK.read_text(encoding="utf-8"), PYTHON)
        (partial / "wheels" / PINS).write_text("".join(f"{pin}\n" for pin in pins))
        # Both wait for the network most of the time.
        with subprocess.Popen(download_command(partial / "wheels")) as download:
            subprocess.run(bootstrap_command(partial / "root"), check=True)
        if download.returncode:
            raise SystemExit(f"pip did not find all of {LOCK.name} as wheels for Python {PYTHON}.")
        install(partial / "root", partial / "wheels")
        (partial / "root").rename(root)
    finally:
        shutil.rmtree(partial)
    return root


def install(root: Path, wheels: Path) -> None:
    """Install what the tests need into a root, with no network."""
    wheels.rename(root / "wheels")
    (root / "checkout").mkdir()
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    pip = install_command(Path("/venv/bin/pip"), Path("/wheels", PINS))
    subprocess.run(inside(root, None, ["python3", "-m", "venv", "/venv"]), check=True)
    subprocess.run(inside(root, None, [*pip, "--no-index", "--find-links=/wheels"]), check=True)
    shutil.rmtree(root / "wheels")


def inside(root: Path, checkout: Path | None, command: list[str]) -> list[str]:
    """Return the command that runs another one in the root, with the checkout where one is given."""
    # Options go first: after a variable, env takes --chdir=FOLDER for another one.
    folder = ["--chdir=/checkout"] if checkout else []
    environment = ["env", "--ignore-environment", *folder, f"PATH={PATH}", "HOME=/tmp", "LANG=C.UTF-8"]
    environment += ["PYTHONDONTWRITEBYTECODE=1", "ANSIBLE_LOCAL_TEMP=/tmp/ansible"] if checkout else []
    arguments = [str(root), str(checkout or ""), *environment, *command]
    return ["unshare", "--mount", "sh", "-c", ENTER, "sh", *arguments]


def main() -> int:
    """Run the unit tests in the root; arguments go to pytest; return the exit status."""
    root = make()
    (ROOT / "build").mkdir(exist_ok=True)
    pytest = ["python", "-m", "pytest", "-p", "no:cacheprovider", *(sys.argv[1:] or TESTS)]
    return subprocess.run(inside(root, ROOT, pytest), check=False, cwd=os.sep).returncode


if __name__ == "__main__":
    sys.exit(main())
