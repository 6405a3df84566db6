"""What a Pi makes of a bundle before it is brought: whether it would take it, and could install from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.poppyfield.bundle import manifest, taking, trial
from ansible.module_utils.poppyfield.bundle.manifest import BundleError
from ansible.module_utils.poppyfield.bundle.taking import BundlePlace


@dataclass(frozen=True)
class Offer:
    """What the laptop says of a bundle that it has verified."""

    number: int
    signers: str
    packages: Mapping[str, Sequence[str]]
    """By release what is installed from it."""
    indexes: Mapping[str, str]
    """By part apt's index."""
    made: int = 0
    """When it was made, in seconds since 1970."""


def look(place: BundlePlace, offer: Offer, release: str, architecture: str, missing: Sequence[str]) -> dict[str, Any]:
    """Give what of the bundle is for a Pi, whether it has yet to take it, and what stands in the way.

    `missing` are the packages that it has yet to install.
    """
    part = manifest.part(release, architecture)
    if part not in offer.indexes:
        return _told(
            part,
            f"The bundle is for {', '.join(sorted(offer.indexes))}, and this Pi is {part}: make one that is for it, "
            f"too, with bundle_releases and bundle_architectures.",
        )
    try:
        taking.check_record(taking.recorded(place), offer.number, offer.signers)
        taken = taking.is_taken(place, offer.number)
    except BundleError as error:
        return _told(part, f"The bundle is refused: {error}.")
    return {
        "bundle": {"part": part, "wanted": not taken},
        "bundle_problems": tuple(trial.problems(offer.indexes[part], missing)),
    }


def _told(part: str, problem: str) -> dict[str, Any]:
    return {"bundle": {"part": part, "wanted": False}, "bundle_problems": (problem,)}
