"""The profiles of images: what the packages of each Debian release make possible. Pure.

Trixie has no PostGIS for armhf. Lizmap Web Client needs its versions of PHP and QGIS Server.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FOR_TESTS = "amd64"
"""The architecture that images are built for to be tested, and that no Pi has."""


@dataclass(frozen=True)
class Profile:
    """The images of one Debian release, as `arm_images_profile` chooses them."""

    name: str
    """Debian's name of the release."""
    release: str
    """Its number, as /etc/os-release says it."""
    architectures: tuple[str, ...]
    postgresql: str
    postgis: str
    qgis_server: str
    php: str
    lizmap_from: str
    """The first version of Lizmap Web Client that fits."""
    lizmap_before: str
    """The first one that fits no more; empty when all later ones do."""
    lizmap_tested: str
    """The newest release of it that the tests were played with, its own files and not the stand-in for it."""
    lizmap_server: str
    """For people: which versions of this plugin fit in between. It says itself which QGIS Server it needs."""

    @property
    def of_pis(self) -> tuple[str, ...]:
        """Give the architectures that a Pi can have."""
        return tuple(name for name in self.architectures if name != FOR_TESTS)


# The default first.
PROFILES = (
    Profile(
        "trixie",
        release="13",
        architectures=("arm64", "amd64"),
        postgresql="17",
        postgis="3.5",
        qgis_server="3.40",
        php="8.4",
        lizmap_from="3.9",
        lizmap_before="",
        lizmap_tested="3.9.9",
        lizmap_server="2.13 or later",
    ),
    Profile(
        "bookworm",
        release="12",
        architectures=("arm64", "armhf", "amd64"),
        postgresql="15",
        postgis="3.3",
        qgis_server="3.22",
        php="8.2",
        lizmap_from="3.7",
        lizmap_before="3.8",
        lizmap_tested="3.7.17",
        lizmap_server="2.12",
    ),
)

DEFAULT = PROFILES[0].name
NAMES = tuple(profile.name for profile in PROFILES)
RELEASES = {profile.release: profile.name for profile in PROFILES}
"""Debian's names of its releases by their numbers."""
PI_ARCHITECTURES = {profile.name: profile.of_pis for profile in PROFILES}


def table() -> dict[str, dict[str, Any]]:
    """Give all entries as plain dicts, by name."""
    return {profile.name: asdict(profile) for profile in PROFILES}


def what_fits() -> str:
    """Say in a sentence for each profile what it is for."""
    return " ".join(_sentence(profile) for profile in PROFILES)


def _sentence(profile: Profile) -> str:
    return (
        f"The profile {profile.name} is for {' and '.join(profile.of_pis)} with PostgreSQL {profile.postgresql}, "
        f"PostGIS {profile.postgis}, QGIS Server {profile.qgis_server}, PHP {profile.php} and Lizmap Web Client "
        f"{profile.lizmap_from}{'' if profile.lizmap_before else ' or later'} with lizmap_server "
        f"{profile.lizmap_server}."
    )
