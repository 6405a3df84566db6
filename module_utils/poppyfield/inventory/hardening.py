"""What protects the Pi itself, where it contradicts other variables. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    values = host.values
    if values["hardening_engine"] and not values["docker_engine_live_restore"]:
        yield Finding(
            "docker_engine_live_restore",
            "hardening_engine needs containers that go on while Docker is restarted",
            "Set it to true, or hardening_engine to false",
            shown(values["docker_engine_live_restore"]),
        )
