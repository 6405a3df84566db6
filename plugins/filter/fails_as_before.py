"""Maps that do not work, and did not with the container before either."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: fails_as_before
short_description: Whether a map fails as it did before a release
version_added: "0.1.0"
description:
  - Compares what M(published_map) found with what it had found before the map server was replaced. A map fails as
    before where the same check failed with the same words.
  - One that could not be found then, or that needed a password, is never said to have failed before. It may be new.
options:
  _input:
    description: What M(published_map) returned, also as a failure.
    type: dict
    required: true
  item:
    description: The map, as repository/project.
    type: str
    required: true
  before:
    description: The registered results of a loop over maps, each with its C(item), or empty.
    type: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
failed_when: asked.failed | default(false) and not asked | fails_as_before(item, maps_before)
"""

RETURN = r"""
_value:
  description: Whether it is so.
  type: bool
"""

OF_A_MAP = {"configuration", "capabilities", "picture", "features", "layers", "ogc_api"}
NOT_THERE = "HTTP 404"
Json = Mapping[str, Any]


def fails_as_before(result: Json, item: str, before: Json) -> bool:
    """Tell whether a map failed in the same check, with the same words."""
    failed = _failed_check(result)
    if failed is None or failed[0] not in OF_A_MAP or NOT_THERE in failed[1]:
        return False
    return any(one.get("item") == item and _failed_check(one) == failed for one in before.get("results", ()))


def _failed_check(result: Json) -> tuple[str, str] | None:
    """Give the check that failed, and its words."""
    checks = result.get("checks") or ()
    if not checks or checks[-1].get("ok", True):
        return None
    return checks[-1]["check"], checks[-1]["detail"]


class FilterModule:
    """The filter fails_as_before."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"fails_as_before": fails_as_before}
