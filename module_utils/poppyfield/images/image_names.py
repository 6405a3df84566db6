"""Image references, labels, archives, and which old ones go. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible.module_utils.poppyfield.containers.spec import DIGEST, MANAGED, PREFIX, RESOURCE, Json
from ansible.module_utils.poppyfield.host import architectures

VERSIONS = f"{PREFIX}version."
"""Begins the labels that say which versions of others' programs are in an image."""
OCI = "org.opencontainers.image."
SBOM_SUFFIX = ".cdx.json"
"""CycloneDX's ending for a software bill of materials."""

TAG_DIGITS = 12
ARCHITECTURES = {known.platform: known.machine for known in architectures.ARCHITECTURES}
"""What `uname -m` says in a container of each platform."""
ENGINE_ARCHITECTURES = {known.platform: known.engine for known in architectures.ARCHITECTURES}
EMULATED_CPUS = {known.platform: known.emulated_cpu for known in architectures.ARCHITECTURES if known.emulated_cpu}
"""What QEMU should emulate where its default is slow."""

# What a base image hands on to an image that is built on it.
_HANDED_ON = (
    "Env",
    "User",
    "WorkingDir",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "ExposedPorts",
    "Labels",
    "StopSignal",
    "OnBuild",
    "Shell",
    "Healthcheck",
)
_DIGITS = re.compile(rf"[0-9a-f]{{{TAG_DIGITS}}}")


@dataclass(frozen=True)
class ImageName:
    """A repository and the beginning of its tags: together they name one image in all its versions."""

    repository: str
    tag_prefix: str

    def reference(self, digest: str) -> str:
        """Give the full reference of the version with this digest."""
        return f"{self.repository}:{self.tag_prefix}-{digest[:TAG_DIGITS]}"

    def owns(self, reference: str) -> bool:
        """Tell whether a reference is a version of this image."""
        repository, _, tag = reference.rpartition(":")
        prefix, _, digits = tag.rpartition("-")
        return repository == self.repository and prefix == self.tag_prefix and bool(_DIGITS.fullmatch(digits))

    def archive(self, digest: str, suffix: str) -> str:
        """Give the file name of the archive of a version."""
        return f"{self.archive_stem()}{digest[:TAG_DIGITS]}.tar{suffix}"

    def archive_of(self, reference: str) -> str:
        """Give the file name of the archive of a version, without its suffixes."""
        return f"{self.archive_stem()}{reference.rpartition('-')[2]}"

    def owns_archive(self, file_name: str) -> bool:
        """Tell whether a file name is the archive of a version of this image."""
        stem, _, suffix = file_name.partition(".tar")
        if not stem.startswith(self.archive_stem()):
            return False
        return suffix in (".gz", ".zst") and bool(_DIGITS.fullmatch(stem.removeprefix(self.archive_stem())))

    def archive_stem(self) -> str:
        """Give how the names of files about this image begin."""
        return f"{self.repository.replace('/', '-')}-{self.tag_prefix}-"


def split(reference: str) -> ImageName:
    """Give the image that a full reference is a version of."""
    repository, _, tag = reference.rpartition(":")
    return ImageName(repository, tag.rpartition("-")[0])


def labels(digest: str) -> dict[str, str]:
    """Give the labels of an image of ours."""
    return {MANAGED: "true", RESOURCE: "image", DIGEST: f"v1:{digest}"}


def oci_labels(reference: str, base_image: str, given: Mapping[str, str]) -> dict[str, str]:
    """Give the labels that describe an image to people and other tools, the given ones among them.

    Revision and date are empty when they are not given: an image would otherwise show those of its base image.
    """
    title, _, version = reference.rpartition(":")
    own = {"title": title, "version": version, "base.name": base_image, "revision": "", "created": ""}
    return {**{f"{OCI}{name}": value for name, value in own.items()}, **given}


def versions(labels: Mapping[str, str]) -> dict[str, str]:
    """Give the versions of others' programs that an image or container is labelled with, by the program's name."""
    return {name.removeprefix(VERSIONS): version for name, version in labels.items() if name.startswith(VERSIONS)}


def sbom(archive: str) -> str:
    """Give the file name of the software bill of materials that stands beside an archive."""
    return archive.partition(".tar")[0] + SBOM_SUFFIX


def digest_of(image: Json | None) -> str:
    """Give the context digest that an image is labelled with; empty when it is not ours."""
    own = ((image or {}).get("Config") or {}).get("Labels") or {}
    if own.get(MANAGED) != "true" or own.get(RESOURCE) != "image":
        return ""
    return str(own.get(DIGEST, "")).removeprefix("v1:")


def base_digest(image: Json) -> str:
    """Give what a base image counts as in the digest of an image that is built on it.

    That is its own digest when it is ours; otherwise one of its layers and of what it hands on. Never its id, which
    holds dates, and which is another one in each kind of image store.
    """
    config = image.get("Config") or {}
    handed_on = {key: config[key] for key in _HANDED_ON if config.get(key)}
    layers = (image.get("RootFS") or {}).get("Layers") or []
    text = json.dumps({"layers": layers, "config": handed_on}, sort_keys=True)
    return digest_of(image) or hashlib.sha256(text.encode()).hexdigest()


def is_platform(image: Json, platform: str) -> bool:
    """Tell whether an image is for a platform."""
    return bool(image.get("Architecture") == ENGINE_ARCHITECTURES[platform])


def to_prune(
    name: ImageName, images: Iterable[Json], keep: int, current: str = "", used: Collection[str] = ()
) -> list[str]:
    """Give the references of our own old versions, all but the newest and those used; the current one always stays.

    A version is as new as the time it was last tagged: the creation time of a fully cached build is an old one. On the
    builder, arm_image tags it again whenever it is asked for.
    """
    tagged = _versions(name, images)
    kept = keep - 1 if current else keep
    old = sorted((one for one in tagged if one[1] != current), reverse=True)[max(kept, 0) :]
    return [reference for _, reference in old if reference not in used]


def _versions(name: ImageName, images: Iterable[Json]) -> list[tuple[str, str]]:
    """Give our own versions of an image, each with the time at which it was last tagged."""
    return [
        ((image.get("Metadata") or {}).get("LastTagTime") or image.get("Created", ""), reference)
        for image in images
        if digest_of(image)
        for reference in image.get("RepoTags") or []
        if name.owns(reference)
    ]


def previous(images: Iterable[Json], current: str) -> str:
    """Give the reference of the version that was delivered before the current one; empty where none is there."""
    versions = _versions(split(current), images)
    delivered = next((time for time, reference in versions if reference == current), "")
    return max([(time, reference) for time, reference in versions if time < delivered], default=("", ""))[1]


def archives_to_prune(
    name: ImageName,
    files: Sequence[tuple[float, str]],
    keep: int,
    current: str = "",
    used: Collection[str] = (),
) -> list[str]:
    """Give the file names of archives of old versions, from pairs of modification time and file name.

    `used` are references, as in `to_prune`: the archive of an image stays as long as the image.
    """
    own = [(time, file) for time, file in files if name.owns_archive(file) and file != current]
    kept = keep - 1 if current else keep
    stems = {name.archive_of(reference) for reference in used}
    old = sorted(own, reverse=True)[max(kept, 0) :]
    return [file for _, file in old if file.partition(".tar")[0] not in stems]
