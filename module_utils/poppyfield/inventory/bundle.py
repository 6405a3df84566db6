"""The bundle that a run makes or installs from: verified here, on the laptop, before any Pi is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.bundle import making, manifest, packages, places, signing, verification
from ansible.module_utils.poppyfield.bundle.manifest import BundleError, Manifest
from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.inventory import bundled_files
from ansible.module_utils.poppyfield.inventory.laptop import local_path
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

MAKES_BUNDLE = "bundle"
"""The stage that makes one, so that there is none yet."""
NEWER_THAN = "bundle_newer_than"
OF_ALL = (
    *("bundle_folder", "bundle_key_folder", "bundle_releases", "bundle_architectures", "bundle_sources"),
    "bundle_alone",
    NEWER_THAN,
)
FOLDER = "bundle_folder"


@dataclass(frozen=True)
class Given:
    """What a run has to do with a bundle; nothing where there is none."""

    findings: tuple[Finding, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)
    """What later tasks need to know of it."""
    offer: Mapping[str, Any] | None = None
    """What each Pi is told of it in the first look, besides what it has to install."""

    def offered_to(self, host: Host) -> dict[str, Any] | None:
        """Give what a Pi is told of it, with all that its roles would install, whatever the bundle was made for."""
        if self.offer is None:
            return None
        values = host.values
        asked = {
            release: packages.wanted(release, [values], values["bundle_packages"])
            for release in values["bundle_releases"]
        }
        return {**self.offer, "packages": asked}


def given(hosts: Sequence[Host], stages: Sequence[str], commit: str, secrets: Iterable[str] = ()) -> Given:
    """Look at the bundle of a run; none of the secrets goes into one that is made."""
    making_one = MAKES_BUNDLE in stages
    folder, keys = (local_path(str(hosts[0].values[name])).absolute() for name in (FOLDER, "bundle_key_folder"))
    if not hosts[0].values[FOLDER]:
        missing = Finding(
            FOLDER, "it says into which folder the bundle goes", "Give one, as in -e bundle=/media/stick/new"
        )
        return Given((missing,) if making_one else ())
    if found := tuple(differences(hosts)):
        return Given(found)
    if making_one:
        return to_make(hosts, folder, keys, commit, secrets)
    try:
        signers = (keys / signing.SIGNERS).read_text("utf-8")
    except OSError as error:
        wrong = f"{keys / signing.SIGNERS}, whose keys are trusted, can't be read ({error.strerror})"
        return Given((Finding("bundle_key_folder", wrong, "Put bundle.signers of the laptop that made it there"),))
    try:
        one = verification.verified(folder, signers)
        there = places.of_bundle(folder, one)
        paths = {part: there.of(f"{manifest.folder_of(part)}/{manifest.INDEX}") for part in one.parts}
        indexes = {part: path.read_text("utf-8") for part, path in paths.items()}
    except (BundleError, OSError) as error:
        return Given((Finding(FOLDER, f"it is refused: {error}", f"Look at {folder}", shown(str(folder))),))
    return Given(
        tuple(unfit(hosts, one)),
        told(there, one, signers),
        {"number": one.number, "signers": signers, "indexes": indexes, "made": one.made},
    )


def to_make(hosts: Sequence[Host], folder: Path, keys: Path, commit: str, secrets: Iterable[str]) -> Given:
    """Give what a bundle for all hosts is to hold."""
    values = [host.values for host in hosts]
    releases, extra = values[0]["bundle_releases"], sorted({name for one in values for name in one["bundle_packages"]})
    try:
        making.check_place(folder)
    except BundleError as error:
        return Given((Finding(FOLDER, str(error), "Give a new folder"), *from_elsewhere(hosts)))
    first = str(local_path(values[0][NEWER_THAN]).absolute()) if values[0][NEWER_THAN] else ""
    alone = values[0]["bundle_alone"]
    files = bundled_files.collected(hosts if alone else ())
    kept = sorted(secrets)
    wrong = [one for host in hosts if host.name in files.hosts for one in bundled_files.findings(host, files, kept)]
    return Given(
        (*from_elsewhere(hosts), *wrong, *(of_the_first(Path(first), folder, keys) if first else ())),
        {
            "folder": str(folder),
            "commit": commit,
            "profile": values[0]["arm_images_profile"],
            "architectures": values[0]["bundle_architectures"],
            "packages": {
                release: [*packages.wanted(release, values, extra), *(packages.FOR_PI_ALONE if alone else ())]
                for release in releases
            },
            "newer_than": first,
            "hosts": files.hosts,
            "contents": bundled_files.paths(files),
        },
    )


def of_the_first(first: Path, folder: Path, keys: Path) -> Iterator[Finding]:
    """Give why a bundle cannot hold only what is newer than this one."""
    try:
        places.unchanged({}, verification.verified(first, (keys / signing.SIGNERS).read_text("utf-8")))
    except (BundleError, OSError) as error:
        yield Finding(NEWER_THAN, f"it is refused: {error}", f"Look at {first}", shown(str(first)))
    if first.parent.resolve() != folder.parent.resolve():
        yield Finding(
            NEWER_THAN,
            "the first bundle is looked for beside the second one, which is to be somewhere else",
            f"Make the new one in {first.parent}; what is copied elsewhere needs both",
            shown(str(first)),
        )


def told(there: places.BundlePlaces, one: Manifest, signers: str) -> dict[str, Any]:
    """Give what later tasks need to know of a bundle that was verified."""
    images: dict[str, dict[str, dict[str, str]]] = {}
    for image in one.images:
        described = {"image": image.image, "digest": image.digest, "archive": str(there.of(image.path))}
        images.setdefault(image.architecture, {})[image.service] = described
    return {"folder": str(there.folder), "number": one.number, "signers": signers, "made": one.made, "images": images}


def differences(hosts: Sequence[Host]) -> Iterator[Finding]:
    """Give what all Pis must share, and do not."""
    for name in OF_ALL:
        if any(host.values[name] != hosts[0].values[name] for host in hosts):
            yield Finding(name, "a bundle is one for all Pis of a run, but theirs differ", "Give all of them the same")


def unfit(hosts: Sequence[Host], one: Manifest) -> Iterator[Finding]:
    """Give why a bundle, which is what it should be, is not for these Pis."""
    profile = hosts[0].values["arm_images_profile"]
    if one.profile != profile:
        yield Finding(
            "arm_images_profile",
            f"the bundle has images of the profile {one.profile}",
            "Give the same here, or make another bundle",
            shown(profile),
        )
    there = {(image.architecture, image.service) for image in one.images}
    if lost := [f"{name} for {machine}" for machine in one.architectures for name in services.table()
                if (machine, name) not in there]:  # fmt: skip
        yield Finding(FOLDER, f"it has no image of {', '.join(lost)}", "Make it again with this version of Poppyfield")
    yield from from_elsewhere(hosts)


def from_elsewhere(hosts: Sequence[Host]) -> Iterator[Finding]:
    """Give what a bundle does not hold."""
    if any(host.values["docker_engine_source"] == "docker" for host in hosts):
        yield Finding(
            "docker_engine_source",
            "a bundle holds Debian's own Docker Engine",
            "Set it to distribution; a docker-ce that a Pi has already is used as it is",
            shown("docker"),
        )
