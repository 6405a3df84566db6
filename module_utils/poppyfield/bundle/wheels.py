"""Python packages for the Pi that runs Ansible itself: those of the project's lock, by the digests that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.poppyfield.bundle.manifest import BundleError
from ansible.module_utils.poppyfield.host import roomy

REQUIREMENTS = "requirements.txt"
"""In the folder of the wheels: the lock as it is for that Python, without conditions."""
PYTHONS = {"bookworm": (3, 11), "trixie": (3, 13)}
LIBC_MINORS = {"bookworm": 36, "trixie": 41}
"""Of glibc 2, up to which wheels may be made for."""
FIRST_LIBC_MINOR = 17
MACHINES = {"arm64": "aarch64", "armhf": "armv7l", "amd64": "x86_64"}
LAST_LETTERS = 400
_LINE_END = re.compile(r"\\\n\s*")


def required(lock: str, release: str, architecture: str) -> str:
    """Give what a lock requires on a release, each line with its digests. Raises BundleError where it has others."""
    from packaging.markers import InvalidMarker, Marker  # noqa: PLC0415 - Ansible has it on the laptop, no Pi needs it

    there = environment(release, architecture)
    lines = []
    for entry in _LINE_END.sub(" ", lock).splitlines():
        requirement, *digests = re.split(r"\s+(?=--hash=)", entry.strip())
        if not requirement or requirement.startswith("#"):
            continue
        name, _, condition = requirement.partition(" ; ")
        try:
            applies = not condition or Marker(condition).evaluate(dict(there))
        except InvalidMarker as error:
            raise BundleError(
                f"the lock has a condition that nobody can read, {condition[:60]!a}: make locks"
            ) from error
        if not digests:
            raise BundleError(f"the lock has no digest of {name[:60]!a}: make locks")
        if applies:
            lines.append(" ".join([name.strip(), *digests]))
    return "".join(f"{line}\n" for line in lines)


def environment(release: str, architecture: str) -> Mapping[str, str]:
    """Give what conditions of a lock are judged by."""
    version = ".".join(map(str, PYTHONS[release]))
    return {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "implementation_name": "cpython",
        "implementation_version": f"{version}.0",
        "platform_python_implementation": "CPython",
        "platform_machine": MACHINES[architecture],
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_release": "",
        "platform_version": "",
        "extra": "",
    }


def tags(release: str, architecture: str) -> list[str]:
    """Give pip's options for wheels of another machine."""
    machine, (major, minor) = MACHINES[architecture], PYTHONS[release]
    platforms = [
        *(f"manylinux_2_{libc}_{machine}" for libc in range(LIBC_MINORS[release], FIRST_LIBC_MINOR - 1, -1)),
        *(f"manylinux2014_{machine}", f"linux_{machine}"),
    ]
    return [
        *(option for platform in platforms for option in ("--platform", platform)),
        *("--python-version", f"{major}.{minor}", "--implementation", "cp"),
        *("--abi", f"cp{major}{minor}", "--abi", "abi3", "--abi", "none"),
    ]


def fetch(lock: Path, release: str, architecture: str, target: Path) -> None:
    """Download the wheels that a lock requires on a release, and put beside them what pip is to install."""
    wanted = required(lock.read_text("utf-8"), release, architecture)
    target.mkdir(parents=True)
    (target / REQUIREMENTS).write_text(wanted, "utf-8")
    with roomy.folder("poppyfield-wheels-") as cache:
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--require-hashes", "--only-binary=:all:", "--cache-dir", cache, "--dest", str(target)),
            *(*tags(release, architecture), "--requirement", str(target / REQUIREMENTS)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise BundleError(
            f"pip does not get all Python packages of {lock.name} for {release}-{architecture}: "
            f"{('; '.join(said) or done.stderr)[-LAST_LETTERS:].strip()}. Look whether the internet is "
            f"there; where there are no wheels for it, set bundle_alone to false, after which only a laptop "
            f"installs from the bundle"
        )
