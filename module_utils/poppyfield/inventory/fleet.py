"""How many Pis get a release at a time: what is wrong with the variables, and whom a release is for. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

SHARED_PREFIX = "fleet_"
A_BATCH = re.compile(r"[1-9][0-9]*|(?:[1-9]|[1-9][0-9]|100)%")
ALL = ["100%"]

Json = Mapping[str, Any]


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong with a Pi's variables."""
    batches = host.values["fleet_batch"]
    if not batches or not all(A_BATCH.fullmatch(one) for one in batches):
        yield Finding(
            "fleet_batch",
            "it is a list of numbers of Pis, from 1, or of percentages from 1% to 100%",
            'Write for example ["1", "100%"]',
            shown(batches),
        )
    if host.values["fleet_max_failed"] < 0:
        yield Finding(
            "fleet_max_failed", "it is a number of Pis, from 0", "Correct it", shown(host.values["fleet_max_failed"])
        )


def shared(hosts: Sequence[Host]) -> Iterator[tuple[str, Finding]]:
    """Give what the hosts do not agree on, since it is about all of them."""
    names = [name for name in hosts[0].values if name.startswith(SHARED_PREFIX)] if hosts else []
    for name in names:
        if len({json.dumps(host.values[name]) for host in hosts}) > 1:
            finding = Finding(
                name,
                "it is about all Pis of a run, which do not agree on it",
                "Write it once, in the group_vars of all Pis",
            )
            yield from ((host.name, finding) for host in hosts)


def ready(facts: Sequence[Json]) -> list[str]:
    """Give the hosts that are ready for a release, of what a run knows of each host.

    Those that answered when they were looked at; and that have the images, where the run delivers any.
    """
    answered = [one for one in facts if "problems" in one.get("first_look", {})]
    delivered = [one for one in answered if "arm_images_delivered" in one]
    have_images = [one for one in delivered if not one["arm_images_delivered"].get("failed")]
    return [str(one["inventory_hostname"]) for one in (have_images if delivered else answered)]


def batches(facts: Sequence[Json]) -> list[str]:
    """Give how many get it at a time; all at once where the inventory was not checked."""
    known = [one["inventory_check"]["batches"] for one in facts if "batches" in one.get("inventory_check", {})]
    return list(known[0]) if known else ALL
