"""What this laptop is, and what it lacks for the demo or the tests.

Reading the machine (`look`) is apart from judging it (`problems`, `missing_packages`), which is pure.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MIN_DISK_GB = 15
MIN_MEMORY_GB = 3
MIN_PYTHON = (3, 11)
SUPPORTED_OS = {"debian": "12 or later", "ubuntu": "24.04 or later"}
OLDEST_RELEASE = {"debian": 12.0, "ubuntu": 24.04}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# command on PATH -> Debian packages that bring it
PACKAGE_OF_COMMAND = {
    "apt-ftparchive": ("apt-utils",),
    "dockerd": ("docker.io",),
    "git": ("git",),
    "make": ("make",),
    "mmdebstrap": ("mmdebstrap",),
    "arch-test": ("arch-test",),
    "node": ("nodejs",),
    "npm": ("npm",),
    "ssh": ("openssh-client",),
    "sudo": ("sudo",),
    "zstd": ("zstd",),
}
# Where the distribution splits these from docker.io, the engine is of no use to us without them.
DOCKER_EXTRAS = ("docker-cli", "docker-buildx")
# No command on PATH tells of busybox-static, of which the tests' image is made: it can be the dynamic one.
PACKAGES_OF_PURPOSE = {
    "test": (
        *("busybox-static", "dosfstools", "exfat-fuse", "exfatprogs", "faketime", "fdisk", "gdal-bin", "mtools"),
        "restic",
    ),
    "attacks": ("busybox-static", "sqlmap", "wapiti"),
    "bench": ("busybox-static",),
    "lizmap": ("chromium", "firefox-esr"),
    "machine": ("dosfstools", "e2fsprogs", "fakeroot", "fdisk", "mtools", "qemu-system-arm", "qemu-utils"),
    "power-cuts": ("e2fsprogs", "qemu-system-common"),
}
EMULATOR_COMMANDS = ("qemu-aarch64-static", "qemu-aarch64")
EMULATOR_PACKAGE = "qemu-user-static"


@dataclass(frozen=True)
class Machine:
    """What was found: sizes in GB, `release` as a number, `commands` as found on PATH."""

    os_id: str
    release: float
    architecture: str
    python: tuple[int, int]
    free_disk_gb: float
    memory_gb: float
    commands: frozenset[str]
    installed: frozenset[str]
    available: frozenset[str]
    has_venv: bool
    is_root: bool


def problems(machine: Machine, disk_needed_gb: float = MIN_DISK_GB) -> list[str]:
    """Say what rules this machine out, one sentence each; an empty list means that it fits."""
    found = []
    if machine.os_id not in SUPPORTED_OS or machine.release < OLDEST_RELEASE[machine.os_id]:
        wanted = " or ".join(f"{name.capitalize()} {since}" for name, since in SUPPORTED_OS.items())
        found.append(f"This is {machine.os_id} {machine.release:g}; the demo and the tests need {wanted}.")
    if machine.architecture not in ARCHITECTURES:
        found.append(f"The processor is {machine.architecture}; {' or '.join(sorted(ARCHITECTURES))} is needed.")
    if machine.python < MIN_PYTHON:
        found.append(
            f"python3 is {machine.python[0]}.{machine.python[1]}; "
            f"Ansible here needs {MIN_PYTHON[0]}.{MIN_PYTHON[1]} or later."
        )
    if machine.free_disk_gb < disk_needed_gb:
        found.append(
            f"{machine.free_disk_gb:.0f} GB of disk are free where Docker keeps its images; "
            f"{disk_needed_gb:.0f} GB are needed. Free some, or move Docker's data-root."
        )
    if machine.memory_gb < MIN_MEMORY_GB:
        found.append(f"The machine has {machine.memory_gb:.1f} GB of memory; {MIN_MEMORY_GB} GB are needed.")
    if not machine.is_root and "sudo" not in machine.commands:
        found.append("You are not root and sudo is not installed: run this as root.")
    return found


def missing_packages(machine: Machine, purpose: str) -> list[str]:
    """Name the Debian packages to install for a purpose, in a stable order."""
    wanted: list[str] = []
    for command, packages in PACKAGE_OF_COMMAND.items():
        if command not in machine.commands:
            wanted.extend(packages)
    wanted.extend(extra for extra in DOCKER_EXTRAS if extra in machine.available)
    if machine.architecture != "aarch64" and not machine.commands.intersection(EMULATOR_COMMANDS):
        wanted.append(EMULATOR_PACKAGE)
    if machine.os_id == "ubuntu":
        wanted.append("debian-archive-keyring")
    if not machine.has_venv:
        wanted.append("python3-venv")
    wanted.extend(PACKAGES_OF_PURPOSE.get(purpose, ()))
    return [name for name in dict.fromkeys(wanted) if name not in machine.installed]


def look() -> Machine:
    """Read this machine. Changes nothing."""
    release = platform.freedesktop_os_release()
    commands = (*PACKAGE_OF_COMMAND, *EMULATOR_COMMANDS)
    extra_path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    special = {name for names in PACKAGES_OF_PURPOSE.values() for name in names}
    watched = (*DOCKER_EXTRAS, "debian-archive-keyring", "docker.io", "docker-ce", "python3-venv", *special)
    return Machine(
        os_id=release.get("ID", "unknown"),
        release=_number(release.get("VERSION_ID", "0")),
        architecture=platform.machine(),
        python=sys.version_info[:2],
        free_disk_gb=_free_disk_gb(Path("/var/lib/docker")),
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        commands=frozenset(name for name in commands if shutil.which(name, path=extra_path)),
        installed=frozenset(name for name in watched if _installed(name)),
        available=frozenset(name for name in DOCKER_EXTRAS if _available(name)),
        has_venv=_has_venv(),
        is_root=os.geteuid() == 0,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _free_disk_gb(folder: Path) -> float:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9


def _has_venv() -> bool:
    # Debian splits ensurepip from python3: `import venv` alone succeeds without it.
    probe = [sys.executable, "-c", "import venv, ensurepip"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _installed(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


def _available(package: str) -> bool:
    policy = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False).stdout
    return "Candidate:" in policy and "Candidate: (none)" not in policy
