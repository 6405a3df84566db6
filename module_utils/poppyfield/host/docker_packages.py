"""Docker from elsewhere than our role would take it: used as it is, or refused; never removed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

DISTRIBUTION, OF_DOCKER = "docker.io", "docker-ce"
OTHER_ENGINES = (OF_DOCKER, "moby-engine", "docker-engine")
UNKNOWN = "an unknown package"
LEAST_VERSION = (20, 10)
"""What Debian 12 has."""
ENGINES = {"distribution": DISTRIBUTION, "docker": OF_DOCKER}
REPLACED = {
    "distribution": ("docker-ce-cli", "docker-ce-rootless-extras", "containerd.io"),
    "docker": (DISTRIBUTION, "docker-cli", "containerd", "runc"),
}
"""By source what apt would remove to install the engine from there."""
SDK = "python3-docker"
"""What the modules use, whoever made the engine."""
PACKAGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # Debian 13 splits the command line client from docker.io. The Python SDK is what the modules use.
    "distribution": {
        "bookworm": (DISTRIBUTION, SDK),
        "trixie": (DISTRIBUTION, "docker-cli", SDK),
    },
    "docker": dict.fromkeys(("bookworm", "trixie"), (OF_DOCKER, "docker-ce-cli", "containerd.io", SDK)),
}
"""By source and release what is installed; the engine first."""
COMPOSE = {"distribution": "docker-compose", "docker": "docker-compose-plugin"}
STAND_IN = "podman-docker"
LOOKED_FOR = tuple(
    dict.fromkeys([DISTRIBUTION, *OTHER_ENGINES, *REPLACED["distribution"], *REPLACED["docker"], STAND_IN])
)


def adopted(versions: Mapping[str, str], engine: str) -> str:
    """Give the package of an engine that is not Debian's and is used as it is; empty where there is none.

    `versions` has those of the installed packages, and `engine` that of an engine that answers.
    """
    if DISTRIBUTION in versions or STAND_IN in versions:
        return ""
    return next((name for name in OTHER_ENGINES if name in versions), UNKNOWN if engine else "")


def problems(versions: Mapping[str, str], engine: str, source: str, *, snap: bool) -> Iterator[str]:
    """Give what stands in the way of the engine that `source` (docker_engine_source) names."""
    package = DISTRIBUTION if DISTRIBUTION in versions else adopted(versions, engine)
    if STAND_IN in versions:
        yield (
            f"{STAND_IN} is installed, whose docker command is Podman, and for which there is no place beside Docker. "
            f"Remove it (sudo apt-get remove {STAND_IN}); Podman itself may stay."
        )
    elif snap and package in ("", UNKNOWN):
        yield (
            "Docker is installed as a snap, whose containers see no folders such as /srv. Save what you need of its "
            "containers, then remove it (sudo snap remove docker)."
        )
    elif package in ("", DISTRIBUTION) and (lost := _lost(versions, source)):
        other = "distribution" if source == "docker" else "docker, with its docker_engine_repository"
        yield (
            f"docker_engine_source is {source}, for which apt would remove {', '.join(lost)}. Set it to {other}, or "
            f"remove them yourself when their containers may stop (sudo apt-get remove {' '.join(lost)}); what is in "
            f"/var/lib/docker stays."
        )
    elif source == "docker" and package not in ("", DISTRIBUTION, OF_DOCKER):
        yield (
            f"docker_engine_source is docker, but there is an engine of {package} already, over which {OF_DOCKER} "
            f"would be installed. Set it to distribution, which uses that engine as it is, or remove that one yourself."
        )
    elif package:
        yield from _too_old(package, engine or versions.get(package, ""))


def _lost(versions: Mapping[str, str], source: str) -> list[str]:
    """Give what an installation would remove; nothing where there is none to be made."""
    if ENGINES[source] in versions:
        return []
    return [name for name in REPLACED[source] if name in versions]


def _too_old(package: str, version: str) -> Iterator[str]:
    # After an epoch, as in 5:28.5.2-1~debian.13~trixie.
    numbers = re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        yield (
            f"Docker Engine {version} of {package} is too old: it must be {least} or later. Update it as it was "
            f"installed, or remove it, so that Debian's own is installed; what is in /var/lib/docker stays."
        )


def beside_engine(packages: Iterable[str], engine: str) -> list[str]:
    """Give those of Debian's packages that are installed beside an engine from elsewhere; all where there is none."""
    ours = {COMPOSE["distribution"], *(name for names in PACKAGES["distribution"].values() for name in names)} - {SDK}
    return [name for name in packages if not (engine and name in ours)]


def table() -> dict[str, dict[str, list[str]]]:
    """Give by source and release the packages, as plain lists."""
    return {
        source: {release: list(names) for release, names in releases.items()} for source, releases in PACKAGES.items()
    }
