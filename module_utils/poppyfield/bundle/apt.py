"""apt with folders of its own: what it reads and writes is nobody else's, and nobody's sources are touched."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.poppyfield.bundle.manifest import BundleError

LAST_LETTERS = 600
_LACKS = re.compile(r"^ *(?P<package>[a-z0-9][a-z0-9+.:-]*) : (?:Pre)?Depends: (?P<needs>.+)$", re.MULTILINE)
_UNKNOWN = re.compile(r"^E: (?:Unable to locate package|Package '?)\s*(?P<package>[a-z0-9][a-z0-9+.-]*)", re.MULTILINE)


@dataclass(frozen=True)
class Apt:
    """Where apt works."""

    folder: Path
    """A folder of its own, for its lists and its cache."""
    architecture: str = ""
    """Debian's name; empty for that of the machine."""
    status: Path | None = None
    """What dpkg has installed; the machine's own where it is None."""

    @property
    def sources(self) -> Path:
        """Give the only file of sources."""
        return self.folder / "sources.list"

    @property
    def archives(self) -> Path:
        """Give where downloaded packages are."""
        return self.folder / "cache" / "archives"

    @property
    def settings(self) -> Mapping[str, str]:
        """Give apt's options."""
        own = {
            "Dir::Etc::sourcelist": str(self.sources),
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": str(self.folder / "lists"),
            "Dir::Cache": str(self.folder / "cache"),
            "Acquire::Languages": "none",
        }
        if self.architecture:
            own |= {"APT::Architecture": self.architecture, "APT::Architectures": self.architecture}
        if self.status:
            own |= {"Dir::State::status": str(self.status), "Dir::State": str(self.folder)}
        return own

    def prepare(self, sources: Iterable[str]) -> None:
        """Make the folders and the file of sources."""
        for name in ("lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.sources.write_text("".join(f"{line}\n" for line in sources), "utf-8")

    def configuration(self) -> str:
        """Give the same options as a file for the environment's APT_CONFIG."""
        return "".join(f'{name} "{value}";\n' for name, value in self.settings.items())

    def run(self, *arguments: str, lock_free: bool = False) -> subprocess.CompletedProcess[str]:
        """Run apt-get; lock_free where nothing is to be written."""
        settings = dict(self.settings) | ({"Debug::NoLocking": "true"} if lock_free else {})
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        environment.pop("APT_CONFIG", None)
        command = ["apt-get", "-q", "-y", *options, *arguments]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False, env=environment,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise BundleError("apt-get is missing: a bundle is made and used on Debian and its like") from error


def local_source(folder: Path) -> str:
    """Give the line for a folder of verified packages, whose signature is that of the bundle."""
    return f"deb [trusted=yes] file:{folder} ./"


def lacks(said: str) -> list[str]:
    """Read what apt-get says is missing, a phrase for each; nothing where it says nothing of the kind."""
    found = [f"{match['package']} needs {' '.join(match['needs'].split())}" for match in _LACKS.finditer(said)]
    return found + [f"{match['package']} is not in it" for match in _UNKNOWN.finditer(said)]


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Give the end of what a command said."""
    return " ".join((done.stderr or done.stdout).split())[-LAST_LETTERS:]


def install(packages: Sequence[str], *more: str) -> list[str]:
    """Give the arguments that install packages as the roles do."""
    return [*more, "install", "--no-install-recommends", *packages]
