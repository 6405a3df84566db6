"""The memory that each container may use. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown


def findings(host: Host) -> Iterator[Finding]:
    """Give each share that is none."""
    for service in services.SERVICES:
        variable = f"{service.role}_memory_limit_share"
        share = host.values.get(variable, 0)
        if not 0 <= share <= 1:
            yield Finding(
                variable, "it is no share of the memory", "Give a number between 0 (no limit) and 1", shown(share)
            )
