"""What others are told of the Wi-Fi that a host is to have by its inventory. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.module_utils.poppyfield.hotspot import settings

VARIABLES = frozenset({"hotspot_enabled", "hotspot_network"})
DEFAULT_NETWORK = "10.77.77.0/24"
"""That of the role, for those to whom it is not given."""


def of_host(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give `network` and `names` of the Wi-Fi that a host is to have by its VARIABLES; empty ones where it has none."""
    if not boolean(values.get("hotspot_enabled", False), strict=False):
        return {"network": "", "names": []}
    network = str(values.get("hotspot_network", DEFAULT_NETWORK))
    return {"network": network, "names": list(settings.names_of(network))}
