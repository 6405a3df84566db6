"""What the image of the emulated Pi is made with and of, cached outside the checkout.

`tools` is the root of images/tools, whose native programs install the Pi's Debian packages; `native` holds the few
programs that can't be emulated, taken from this machine's architecture of the same release. A file in the cache is
named by all that decides its content.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITE = "trixie"
PI_ARCHITECTURE = "arm64"
HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "images" / "tools"
NATIVE_BINARIES = HERE / "native-binaries"
DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LIBRARY_FOLDERS = {"amd64": ("usr/lib/x86_64-linux-gnu/", "usr/lib64/")}

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
# Shell and sed for qemu/usr/sbin/runc, which runs at every start of a container and at every health check.
WRAPPER_TOOLS = {"/usr/bin/dash": "/usr/lib/emulator/sh", "/usr/bin/sed": "/usr/lib/emulator/sed"}


def cache_folder() -> Path:
    """Return the folder of the cached root file systems."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poppyfield" / "emulator"


def tools_command(architecture: str) -> list[str]:
    """Return the command that makes the build tools, without the output."""
    return [str(TOOLS / "bootstrap"), SUITE, architecture, PI_ARCHITECTURE]


def native_command(architecture: str) -> list[str]:
    """Return the command that unpacks the native programs, without the output. mmdebstrap knows Debian's mirror."""
    included = ",".join(NATIVE_PACKAGES)
    return ["mmdebstrap", f"--architectures={architecture}", f"--include={included}", "--variant=extract", SUITE]


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


def tools(architecture: str) -> Path:
    """Return the tarball of the build tools, made if it isn't cached."""
    command = tools_command(architecture)
    scripts = [(TOOLS / name).read_text(encoding="utf-8") for name in ("bootstrap", "adapt")]
    target = cache_folder() / f"{key(*command[1:], *scripts)}.tar"
    if not target.exists():
        _bootstrap(command, target)
    return target


def native(architecture: str) -> Path:
    """Return the tarball of the native programs, made if it isn't cached."""
    command = native_command(architecture)
    wanted = parse_native_binaries(NATIVE_BINARIES.read_text(encoding="utf-8")) | WRAPPER_TOOLS
    target = cache_folder() / f"{key(*command, *(f'{k} {v}' for k, v in sorted(wanted.items())))}.tar"
    if not target.exists():
        unpacked = target.with_suffix(".unpacked.tar")
        try:
            _bootstrap(command, unpacked)
            _select(unpacked, target, wanted, LIBRARY_FOLDERS[architecture])
        finally:
            unpacked.unlink(missing_ok=True)
    return target


def _bootstrap(command: list[str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "QEMU_CPU": "cortex-a72"}
    with made_whole(target) as partial:
        subprocess.run([*command, str(partial)], check=True, env=environment)


def _select(source: Path, target: Path, wanted: dict[str, str], library_folders: tuple[str, ...]) -> None:
    missing = set(wanted)
    with made_whole(target) as partial:
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


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Give a path to make a file at, of the same suffix, which takes its place only when it is whole."""
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial{target.suffix}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
