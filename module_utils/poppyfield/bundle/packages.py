"""The packages of a bundle: fetched on the laptop for another release and architecture, and their index."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible.module_utils.poppyfield.bundle.apt import Apt, install, lacks, last_words
from ansible.module_utils.poppyfield.bundle.manifest import INDEX, BundleError
from ansible.module_utils.poppyfield.bundle.trial import problems
from ansible.module_utils.poppyfield.host import docker_packages

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FIELDS = "$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(CREATED_BY)"
SUITES = {"Debian": ("{release}", "{release}-updates"), "Debian-Security": ("{release}-security",)}
ALWAYS = ("openssl", "python3-apt")
"""What a role installs on every Pi, and what Ansible needs to install it."""
FOR_PI_ALONE = ("python3-pip-whl", "zstd")
"""What no role installs: pip, and what unpacks images where Ansible runs, which are taken out of it."""
ASKED_FOR = {
    "hardening_security_updates": ("unattended-upgrades",),
    "hardening_audit": ("auditd",),
    "backup_targets": ("restic",),
    "position_enabled": ("chrony", "gpsd"),
    "hotspot_enabled": ("dnsmasq-base", "iw", "wireless-regdb"),
}
"""By variable what is installed where it is set."""


def wanted(release: str, variables: Sequence[Mapping[str, object]], more: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the packages that roles install on Pis of a release, by the variables of all Pis."""
    names = [*ALWAYS, *docker_packages.PACKAGES["distribution"][release], *more]
    if any(values["docker_engine_compose"] != "never" for values in variables):
        names.append(docker_packages.COMPOSE["distribution"])
    for variable, packages in ASKED_FOR.items():
        if any(values[variable] for values in variables):
            names += packages
    return tuple(sorted(set(names)))


def own_sources(release: str, targets: str) -> list[str]:
    """Give the sources of a release from where this machine has its own, as apt-get indextargets tells them."""
    found: dict[str, None] = {}
    for line in targets.splitlines():
        origin, label, address, created_by = (*line.split("|"), "", "", "", "")[:4]
        if origin == "Debian" and created_by == "Packages":
            for suite in SUITES.get(label, ()):
                found[f"deb [signed-by={KEYRING}] {address} {suite.format(release=release)} main"] = None
    return list(found)


def sources(release: str, given: Sequence[str]) -> list[str]:
    """Give the lines of sources for a release: those of the inventory, else this machine's own mirrors."""
    if given:
        # Of a folder apt would use the packages where they are, and download none.
        return [line.replace(" file:", " copy:") for line in given]
    command = ["apt-get", "indextargets", "--format", FIELDS]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if not (found := own_sources(release, told)):
        raise BundleError(
            f"bundle_sources has no line for {release}, and this laptop's own apt has no Debian: give the lines of "
            f"sources.list from which packages of {release} come, or run apt-get update where this is Debian"
        )
    return found


def fetch(apt: Apt, lines: Sequence[str], packages: Sequence[str], target: Path) -> None:
    """Download packages with all that they need beyond what the status says is installed, and index them."""
    # apt downloads as a user of its own, who has to get there.
    apt.folder.mkdir(parents=True, exist_ok=True)
    if apt.status is not None and not apt.status.exists():
        apt.status.write_bytes(b"")
    apt.prepare(lines)
    for arguments in (["update"], install(packages, "--download-only")):
        done = apt.run(*arguments)
        if done.returncode or (arguments == ["update"] and "\nW: Failed to fetch" in f"\n{done.stderr}"):
            _refuse(apt, done)
    target.mkdir(parents=True)
    for package in sorted(apt.archives.glob("*.deb")):
        shutil.move(package, target / plain_name(package.name))
    index(target)
    if lost := problems(
        (target / INDEX).read_text("utf-8"), packages, architecture=apt.architecture, status=apt.status
    ):
        raise BundleError(lost[0].rstrip("."))


def _refuse(apt: Apt, done: subprocess.CompletedProcess[str]) -> None:
    said = "; ".join(lacks(done.stdout + done.stderr)) or last_words(done)
    raise BundleError(
        f"apt finds no way to the packages for {apt.architecture}: {said}. Look at bundle_sources, bundle_packages and "
        f"bundle_stock_status, and whether the internet is there"
    )


def plain_name(file_name: str) -> str:
    """Give the name of a package's file without the version's epoch, whose colon no FAT file system takes."""
    name, _, rest = file_name.partition("_")
    return f"{name}_{rest.partition('%3a')[2] or rest}"


def index(folder: Path) -> None:
    """Write apt's index of a folder of packages."""
    for name, arguments in ((INDEX, ["packages", "."]), ("Release", ["release", "."])):
        try:
            done = subprocess.run(["apt-ftparchive", *arguments], cwd=folder, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise BundleError("apt-ftparchive is missing, which makes apt's index: install apt-utils") from error
        if done.returncode:
            raise BundleError(f"apt-ftparchive fails: {done.stderr.decode('utf-8', 'replace')[-300:].strip()}")
        (folder / name).write_bytes(done.stdout)
