"""Which of an image's packages are behind the suites that it was installed from, as this machine's apt sees it.

apt gets the image's own sources, keys and dpkg status in a folder of its own, and this machine's network settings.
Nothing of this machine's own packages is read or changed, and nothing of the image is run.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.poppyfield.host.architectures import DEBIAN_NAMES

from image_contents.archive import Image
from image_contents.packages import Package, debian_packages

SECURITY = "-security"
"""How the suites of security updates end."""
# A line of apt list: name/suite,suite version architecture [upgradable from: version]
UPGRADABLE = re.compile(
    r"(?P<name>[^/\s]+)/(?P<suites>\S+) (?P<version>\S+) \S+ \[upgradable from: (?P<installed>\S+)\]"
)


class UpdatesError(Exception):
    """The suites could not be asked; says why and what to do."""


@dataclass(frozen=True)
class Behind:
    """A source package of which a newer version is out: its binary packages in the image, and where the new one is."""

    source: str
    packages: tuple[str, ...]
    installed: str
    available: str
    suites: tuple[str, ...]

    @property
    def security(self) -> bool:
        """Whether the newer version is a security update."""
        return any(suite.endswith(SECURITY) for suite in self.suites)


@dataclass(frozen=True)
class UpdatesAnswer:
    """The suites that were asked, and what they have newer."""

    suites: tuple[str, ...]
    behind: tuple[Behind, ...]


def ask(image: Image) -> UpdatesAnswer:
    """Ask the image's own suites for newer versions; raise UpdatesError when they do not answer."""
    with tempfile.TemporaryDirectory(prefix="poppyfield-apt-") as folder:
        root = Path(folder)
        _lay_out(image, root)
        options = _options(root, DEBIAN_NAMES.get(image.architecture, image.architecture))
        _apt(["apt-get", *options, "--error-on=any", "update", "--quiet"])
        suites = _apt(["apt-get", *options, "indextargets", "--format", "$(SUITE)", "Created-By: Packages"])
        listing = _apt(["apt", *options, "list", "--upgradable"])
    return UpdatesAnswer(tuple(sorted(set(suites.split()))), tuple(parse(listing, debian_packages(image.files))))


def parse(listing: str, packages: Iterable[Package]) -> list[Behind]:
    """Read what `apt list --upgradable` prints, by source package."""
    sources = {package.name: package.source for package in packages}
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for line in listing.splitlines():
        if match := UPGRADABLE.fullmatch(line):
            name = match["name"]
            key = (sources.get(name, name), match["installed"], match["version"], match["suites"])
            found.setdefault(key, []).append(name)
    return [
        Behind(source, tuple(sorted(names)), installed, available, tuple(suites.split(",")))
        for (source, installed, available, suites), names in sorted(found.items())
    ]


def _lay_out(image: Image, root: Path) -> None:
    for folder in ("etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / folder).mkdir(parents=True)
    wanted = {path: text for path, text in image.files.texts.items() if path.startswith(("etc/apt/", "var/lib/dpkg/"))}
    if not any(path.startswith("etc/apt/sources.list") for path in wanted):
        raise UpdatesError(f"{image.reference} has no apt sources (/etc/apt/sources.list), so none can be asked.")
    for path, text in wanted.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text)
    root.chmod(0o755)


def _options(root: Path, architecture: str) -> list[str]:
    settings = {
        "Dir": f"{root}/",
        "Dir::State::status": f"{root}/var/lib/dpkg/status",
        "APT::Architecture": architecture,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    return [word for name, value in settings.items() for word in ("--option", f"{name}={value}")]


def _apt(command: list[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        why = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
        raise UpdatesError(
            f"{command[0]} could not ask the suites for updates: {' '.join(why[-2:]) or done.stderr.strip()} "
            "Connect this machine to the internet and run it again."
        )
    return done.stdout
