"""The root file systems that the emulated Pi is made of, cached outside the checkout.

`pi` is an arm64 Debian, bootstrapped with mmdebstrap; `native` holds the few programs that can't be emulated, taken
from this machine's architecture of the same release. A file in the cache is named by all that decides its content.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

SUITE = "trixie"
HERE = Path(__file__).resolve().parent
NATIVE_BINARIES = HERE / "native-binaries"
DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LIBRARY_FOLDERS = {"amd64": ("usr/lib/x86_64-linux-gnu/", "usr/lib64/")}

PI_PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    # Without it Ansible's apt module first installs it, and restarts itself.
    "python3-apt",
    "sudo",
    "systemd-sysv",
)
# These bring the native binaries, and through their dependencies the libraries they need.
NATIVE_PACKAGES = (
    "containerd",
    "dash",
    "docker-cli",
    "docker.io",
    "dpkg",
    "iptables",
    "libpam-modules",
    "libpam-systemd",
    "runc",
    "sed",
    "systemd",
    "tar",
    "tini",
)
# The emulated Pi is rebuilt in minutes: it needs neither dpkg's fsync nor manual pages nor translations.
PI_OPTIONS = (
    "--variant=minbase",
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    '--aptopt=Acquire::Languages "none"',
)
# Shell and sed for qemu/usr/sbin/runc, which runs at every start of a container and at every health check.
WRAPPER_TOOLS = {"/usr/bin/dash": "/usr/lib/emulator/sh", "/usr/bin/sed": "/usr/lib/emulator/sed"}


def cache_folder() -> Path:
    """Return the folder of the cached root file systems."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poppyfield" / "emulator"


def bootstrap_command(architecture: str, packages: tuple[str, ...], options: tuple[str, ...]) -> list[str]:
    """Return the mmdebstrap command, without the output. It names no mirror: mmdebstrap knows Debian's."""
    included = ",".join(packages)
    return ["mmdebstrap", f"--architectures={architecture}", f"--include={included}", *options, SUITE]


def pi_command() -> list[str]:
    """Return the command that bootstraps the Pi."""
    return bootstrap_command("arm64", PI_PACKAGES, PI_OPTIONS)


def native_command(architecture: str) -> list[str]:
    """Return the command that unpacks this machine's architecture of the native programs."""
    return bootstrap_command(architecture, NATIVE_PACKAGES, ("--variant=extract",))


def parse_native_binaries(text: str) -> dict[str, str]:
    """Return where each native program comes from and where it goes to."""
    lines = (line.split() for line in text.splitlines() if line.startswith("/"))
    return {words[0]: words[-1] for words in lines}


def key(*parts: str) -> str:
    """Return the digest that names what these inputs make."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def place(member: str, wanted: dict[str, str], library_folders: tuple[str, ...]) -> str | None:
    """Return the path in native.tar of a member of the unpacked packages, None if it's not wanted."""
    path = "/" + member.removeprefix("./").rstrip("/")
    if path in wanted:
        return wanted[path].lstrip("/")
    relative = path.lstrip("/")
    if relative == "lib64" or relative.startswith(library_folders):
        return relative
    return None


def pi() -> Path:
    """Return the tarball of the Pi's root, made if it isn't cached."""
    command = pi_command()
    target = cache_folder() / f"{key(*command)}.tar"
    if not target.exists():
        _bootstrap(command, target)
    return target


def native(architecture: str) -> Path:
    """Return the tarball of the native programs, made if it isn't cached."""
    command = native_command(architecture)
    wanted = parse_native_binaries(NATIVE_BINARIES.read_text(encoding="utf-8")) | WRAPPER_TOOLS
    target = cache_folder() / f"{key(*command, *(f'{k} {v}' for k, v in sorted(wanted.items())))}.tar"
    if not target.exists():
        unpacked = target.with_suffix(".unpacked")
        try:
            _bootstrap(command, unpacked)
            _select(unpacked, target, wanted, LIBRARY_FOLDERS[architecture])
        finally:
            unpacked.unlink(missing_ok=True)
    return target


def _bootstrap(command: list[str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial.tar")
    environment = {**os.environ, "QEMU_CPU": "cortex-a72"}
    try:
        subprocess.run([*command, str(partial)], check=True, env=environment)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _select(source: Path, target: Path, wanted: dict[str, str], library_folders: tuple[str, ...]) -> None:
    missing = set(wanted)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial.tar")
    try:
        with tarfile.open(source) as unpacked, tarfile.open(partial, "w") as chosen:
            for member in unpacked:
                new_name = place(member.name, wanted, library_folders)
                if new_name is None:
                    continue
                missing.discard("/" + member.name.removeprefix("./"))
                content = unpacked.extractfile(member) if member.isreg() else None
                member.name = new_name
                chosen.addfile(member, content)
        if missing:
            raise SystemExit(
                f"Debian {SUITE}'s packages lack what workshop/emulator/native-binaries names: {sorted(missing)}"
            )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
