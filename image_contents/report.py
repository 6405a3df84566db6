"""What is known of each image, one function for each section of build/reports/images.json."""

from __future__ import annotations

import collections
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible.module_utils.poppyfield.images import image_names, partial_archive

from image_contents import sbom, updates
from image_contents.archive import Image, Json
from image_contents.packages import debian_packages, python_distributions

# e_machine, as the ELF specification numbers it.
ELF_NAMES = {3: "i386", 40: "arm", 62: "x86-64", 183: "aarch64"}
OWN_ELF_MACHINE = {"amd64": 62, "arm": 40, "arm64": 183}


@dataclass(frozen=True)
class Subject:
    """An image, the archive that it was read from, and the folder for what is written about it."""

    image: Image
    archive: Path
    folder: Path


def identity(subject: Subject) -> Json:
    """Give the image's platform and labels."""
    config = subject.image.config
    variant = f"/{config['variant']}" if config.get("variant") else ""
    return {
        "platform": f"{config['os']}/{subject.image.architecture}{variant}",
        "created": config["created"],
        "labels": subject.image.labels,
    }


def size(subject: Subject) -> Json:
    """Give bytes: of the layers unpacked, of the compressed archive, of what a Pi gets that lacks the last layer."""
    return {
        "unpacked": sum(layer.size for layer in subject.image.layers),
        "compressed": subject.archive.stat().st_size,
        "last_layer": _last_layer(subject),
    }


def _last_layer(subject: Subject) -> int:
    lower = [layer.digest for layer in subject.image.layers[:-1]]
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / subject.archive.name
        sent = partial if partial_archive.write(subject.archive, [lower], partial) else subject.archive
        return sent.stat().st_size


def layers(subject: Subject) -> list[Json]:
    """Give the layers, the lowest first."""
    return [asdict(layer) for layer in subject.image.layers]


def packages(subject: Subject) -> Json:
    """Give the number of packages, and of those whose licence file a machine can read."""
    debian = debian_packages(subject.image.files)
    return {
        "debian": len(debian),
        "with_licence": sum(bool(package.licences) for package in debian),
        "python": len(python_distributions(subject.image.files)),
    }


def behind(subject: Subject) -> Json:
    """Give the source packages of which the release has a newer version; those of its security updates apart.

    When the release could not be asked there is only the reason, so that the rest of the report is not lost.
    """
    try:
        answer = updates.ask(subject.image)
    except updates.UpdatesError as error:
        return {"unknown": str(error)}
    return {
        "suites": answer.suites,
        "security": [asdict(package) for package in answer.behind if package.security],
        "other": [asdict(package) for package in answer.behind if not package.security],
    }


def bill_of_materials(subject: Subject) -> str:
    """Write the bill of materials, and give its path."""
    return str(write_sbom(subject))


def foreign_elf(subject: Subject) -> Json:
    """Give the ELF files that are for another processor than the image, and how many there are of its own."""
    machines = subject.image.files.elf_machines
    own = OWN_ELF_MACHINE[subject.image.architecture]
    foreign = {path: ELF_NAMES.get(number, str(number)) for path, number in machines.items() if number != own}
    return {"files": dict(sorted(foreign.items())), "own": collections.Counter(machines.values())[own]}


SECTIONS: Mapping[str, Callable[[Subject], object]] = {
    "identity": identity,
    "bytes": size,
    "layers": layers,
    "packages": packages,
    "behind": behind,
    "sbom": bill_of_materials,
    "foreign_elf": foreign_elf,
}


def about(subject: Subject) -> Json:
    """Give every section."""
    return {"image": subject.image.reference, **{name: section(subject) for name, section in SECTIONS.items()}}


def is_sound(found: Json) -> bool:
    """Tell whether no program is for another processor, and the release could be asked for updates."""
    return not found["foreign_elf"]["files"] and "unknown" not in found["behind"]


def write_sbom(subject: Subject) -> Path:
    """Write the bill of materials into the subject's folder, whole or not at all."""
    path = subject.folder / image_names.sbom(subject.archive.name)
    partial = path.with_name(f".{path.name}")
    partial.write_text(sbom.text(subject.image), encoding="utf-8")
    partial.replace(path)
    return path


def summary(found: Json) -> str:
    """Say the most important of one image in a few lines."""
    megabytes = {name: f"{number / 1_000_000:.0f} MB" for name, number in found["bytes"].items()}
    lines = [
        f"{found['image']}: {megabytes['unpacked']}, {megabytes['compressed']} compressed "
        f"({found['bytes']['last_layer'] / 1_000_000:.2f} MB for the last layer alone), "
        f"{found['packages']['debian']} Debian packages",
        f"  bill of materials: {found['sbom']}",
        *_updates(found["behind"]),
        *(f"  foreign program: /{path} is for {machine}" for path, machine in found["foreign_elf"]["files"].items()),
    ]
    return "\n".join(lines)


def _updates(found: Json) -> Iterator[str]:
    if "unknown" in found:
        yield f"  updates: unknown. {found['unknown']}"
        return
    if not any(suite.endswith(updates.SECURITY) for suite in found["suites"]):
        yield f"  updates: the image's sources name no suite of security updates, only {', '.join(found['suites'])}"
    yield from (_update(package, "security update") for package in found["security"])
    yield from (_update(package, "update") for package in found["other"])


def _update(package: Json, kind: str) -> str:
    where = ", ".join(package["suites"])
    return f"  {kind}: {package['source']} {package['installed']} -> {package['available']} ({where})"
