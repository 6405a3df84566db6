"""The images of one profile, built in three ways: to compare what comes out, and how long it takes.

- plain: every program of the steps runs under emulation;
- assisted: as the product builds, with the machine's own tools;
- native: the same Dockerfiles for the machine's own architecture.

Each is built from its first step, without Docker's cache of layers but with that of the packages, upon the base of its
own way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from ansible.module_utils.poppyfield.containers.engine import BuildRequest, DockerCommand
from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.host.architectures import PLATFORMS
from ansible.module_utils.poppyfield.images import profiles
from ansible.module_utils.poppyfield.images.image_names import EMULATED_CPUS

IMAGES = Path(__file__).resolve().parents[1] / "images"
REPOSITORY = f"poppyfield-trial-{os.getpid()}"
"""Of this process: another one may build at the same time."""
# Image -> its context and target. The last has what Lizmap needs; Lizmap's own archive is no part of it.
SUBJECTS = {
    "base": ("base", ""),
    **{service.name: (service.name, "") for service in SERVICES if not service.has_application},
    "lizmap, map page": ("lizmap", "map-page"),
    "lizmap, packages of Lizmap": ("lizmap", "packages-of-lizmap"),
}


@dataclass(frozen=True)
class Way:
    """A way to build: for which architecture, with the tools of which."""

    name: str
    architecture: str
    tools: str


@dataclass(frozen=True)
class Ways:
    """The three ways, for a machine's own architecture and that of the images."""

    plain: Way
    assisted: Way
    native: Way


def ways(own: str, target: str) -> Ways:
    """Give the three ways."""
    return Ways(Way("plain", target, target), Way("assisted", target, own), Way("native", own, own))


def own_architecture() -> str:
    """Give Debian's name of this machine's architecture."""
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Builds:
    """What is built, in a folder of its own; `prepared` makes and removes both."""

    def __init__(self, profile: str, folder: Path, mirror: str) -> None:
        self._profile = profile
        self._mirror = [mirror] if mirror else []
        self._versions = profiles.table()[profile]
        self._docker = DockerCommand.find()
        self._folder = folder
        for name in ("base", *(service.name for service in SERVICES), "tools"):
            ignore = shutil.ignore_patterns("dist", "node_modules", "rootfs.tar")
            shutil.copytree(IMAGES / name, folder / name, ignore=ignore)
        command = [str(IMAGES / "lizmap" / "bundle-map-page"), str(folder)]
        page = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        shutil.copytree(page, folder / "lizmap" / "dist" / "map-page")

    def context(self, name: str) -> Path:
        """Give the build context of an image: a copy, which may be changed."""
        return self._folder / name

    def make_tools(self, way: Way) -> None:
        """Make the build tools of a way, from nothing."""
        archive = self._folder / "tools" / "rootfs.tar"
        command = [str(IMAGES / "tools" / "bootstrap"), self._profile, way.tools, way.architecture, str(archive)]
        made = subprocess.run([*command, *self._mirror], check=False, capture_output=True, text=True)
        if made.returncode:
            said = made.stderr[-1000:]
            raise SystemExit(f"The tools for {way.architecture} can't be made. What was said last:\n{said}")
        self._build(self.reference(way, "tools"), PLATFORMS[way.tools], "tools", {}, "")

    def build(self, way: Way, subject: str, *, name: str = "") -> str:
        """Build an image, under another name if one is given; give its reference."""
        context, target = SUBJECTS[subject]
        arguments = {
            **{
                argument: self._versions[version]
                for service in SERVICES
                for argument, version in service.build_arguments.items()
            },
            "TOOLS_IMAGE": self.reference(way, "tools"),
            "TOOLS_PLATFORM": PLATFORMS[way.tools],
            "BASE_IMAGE": self.reference(way, "base"),
            # Each build is another one to Docker's cache of layers, which --no-cache would leave without the packages.
            "PACKAGES_AS_OF": uuid4().hex,
        }
        if cpu := EMULATED_CPUS.get(PLATFORMS[way.architecture]):
            arguments["QEMU_CPU"] = cpu
        reference = self.reference(way, name or subject)
        self._build(reference, PLATFORMS[way.architecture], context, arguments, target)
        return reference

    def size(self, reference: str) -> int:
        """Give the bytes of an image, unpacked."""
        return int((self._docker.image(reference) or {"Size": 0})["Size"])

    def layers(self, reference: str) -> list[str]:
        """Give the digests of an image's layers."""
        return list((self._docker.image(reference) or {"RootFS": {"Layers": []}})["RootFS"]["Layers"])

    def save(self, reference: str) -> Path:
        """Save an image as an archive, uncompressed."""
        path = self._folder / f"{reference.partition(':')[2]}.tar"
        self._docker.save(reference, path)
        return path

    def clean(self) -> None:
        """Remove the images."""
        for image in self._docker.images(REPOSITORY):
            for reference in image["RepoTags"]:
                self._docker.remove_image(reference)

    def reference(self, way: Way, subject: str) -> str:
        """Give the reference of an image."""
        return f"{REPOSITORY}:{self._profile}-{way.name}-{subject.replace(',', '').replace(' ', '-').lower()}"

    def _build(self, reference: str, platform: str, context: str, arguments: dict[str, str], target: str) -> None:
        folder = self._folder / context
        # Without its name it would stay for ever.
        self._docker.remove_image(reference)
        request = BuildRequest(reference, platform, folder, folder / "Dockerfile", {}, arguments, target=target)
        self._docker.build(request, lambda _: None)


@contextmanager
def prepared(profile: str, mirror: str = "") -> Iterator[Builds]:
    """Give the builds of a profile; whatever happens, neither images nor files are left.

    The mirror is an address or a line of sources.list; without one the packages come from Debian's own.
    """
    with tempfile.TemporaryDirectory(prefix=f"{REPOSITORY}-") as folder:
        builds = Builds(profile, Path(folder), mirror)
        try:
            yield builds
        finally:
            builds.clean()
