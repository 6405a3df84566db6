"""What the first look at a Pi is to ask, from its variables. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Set
from typing import Any

from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.host import data_folders, docker_settings
from ansible.module_utils.poppyfield.inventory.problems import Host

CLOCK_DIFFERENCE = 24 * 60 * 60
"""Seconds: less than a day off, neither apt nor a browser minds for long; more, and they refuse what they are given."""
WITHIN = {"postgis_data_folder": ("cluster",), "lizmap_folder": ("projects", "config")}
"""Folders within those of the data, on which somebody may have mounted something else."""
ONLY_LOOKING = frozenset({"build", "verify"})
"""Stages that write nothing on a Pi."""
AFTER_PROVISION = ONLY_LOOKING | {"deliver", "deploy"}
"""Stages that leave Docker as they find it."""
BEFORE_DEPLOY = ONLY_LOOKING | {"provision", "deliver"}
"""Stages that leave the database as they find it."""
POSITION = "/etc/systemd/system/poppyfield-position.service"
"""Is there while a Pi has what the role position has put there."""
HOTSPOT = "/etc/systemd/system/poppyfield-hotspot.service"
"""Is there while a Pi has what the hotspot role has put there."""
MANAGED_FILES = ("/etc/systemd/journald.conf.d/poppyfield.conf", POSITION, HOTSPOT)
"""Files that roles keep, whatever the variables are."""
FILES_ASKED_FOR = {
    "hardening_ssh_keys_only": ("/etc/ssh/sshd_config.d/00-poppyfield.conf",),
    "hardening_security_updates": ("/etc/apt/apt.conf.d/52poppyfield-security-updates",),
    "hardening_audit": ("/etc/audit/rules.d/poppyfield.rules", "/etc/tmpfiles.d/poppyfield-audit.conf"),
}
"""Files that roles keep while a variable is on."""
NEW_CARD = "/var/lib/poppyfield/backup/card.new"
"""Is there while the data of a card are those that site.yml has made on it; see the program of the backup."""


def writes(stages: Iterable[str]) -> bool:
    """Tell whether a run of these stages, or tags, writes on a Pi; one that nobody knows may."""
    return not _only(ONLY_LOOKING, stages)


def provisions(stages: Iterable[str]) -> bool:
    """Tell whether such a run installs and configures Docker."""
    return not _only(AFTER_PROVISION, stages)


def deploys(stages: Iterable[str]) -> bool:
    """Tell whether such a run may put another image of PostgreSQL on the data."""
    return not _only(BEFORE_DEPLOY, stages)


def _only(known: Set[str], stages: Iterable[str]) -> bool:
    named = set(stages)
    return bool(named) and named <= known


def requirements(
    host: Host,
    stages: Iterable[str] = (),
    *,
    first_start_mb: int = 0,
    basemap_rooms: Iterable[Mapping[str, Any]] = (),
    bundle: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give what the module host_requirements takes; without stages, for a run of all of them.

    `first_start_mb` is the room that files of the first start take, where there is no database yet, `basemap_rooms`
    that of each base map (see basemaps.rooms), and `bundle` what a Pi installs from.

    Where nothing is written on the Pi, neither room nor a file system to write to nor the right time is needed: a Pi
    with a full or failing card can still be looked at.
    """
    writing, provisioning = writes(stages), provisions(stages)
    values = host.values
    data = posixpath.normpath(values["postgis_data_folder"])
    enough = {"free_mb": values["raspberry_pi_min_free_disk_mb"], "variable": "raspberry_pi_min_free_disk_mb"}
    # The paths as the roles write them, since they look their answers up by these.
    initial = posixpath.join(posixpath.dirname(data), "initial")
    marker = f"{data}/cluster/PG_VERSION"
    rooms = [{"path": path, **enough} for path in (docker_settings.DEFAULT_ROOT, data)]
    if first_start_mb:
        room = {"path": data, "free_mb": first_start_mb, "variable": "postgis_first_start_files"}
        rooms.append({**room, "unless_file": marker})
    rooms += map(dict, basemap_rooms)
    return {
        "profile": values["arm_images_profile"],
        "memory_mb": values["raspberry_pi_min_memory_mb"],
        "disk": rooms if writing else [],
        "clock_difference": CLOCK_DIFFERENCE if writing else 0,
        "set_clock": provisioning,
        "docker_source": values["docker_engine_source"] if provisioning else None,
        "docker_settings": docker_settings.of_variables(values) if provisioning else None,
        "bundle": bundle if provisioning else None,
        "receiver": {"device": values["position_device"], "marker": POSITION}
        if provisioning and values["position_enabled"]
        else None,
        "hotspot": {
            "interface": values["hotspot_interface"],
            "network": values["hotspot_network"],
            "leave_wifi": values["hotspot_leave_wifi"],
        }
        if provisioning and values["hotspot_enabled"]
        else None,
        "folders": _data_folders(values) if writing else [],
        "ports": services.published_ports(values),
        # Whether the card holds data, and whether these are of this card alone: see plays/preflight.yml.
        "card": {"data": marker, "new": NEW_CARD},
        "cluster": {"folder": data, "marker": marker, "upgraded": values["postgis_upgrade"]}
        if deploys(stages)
        else None,
        "files": [
            *MANAGED_FILES,
            *(path for variable, paths in FILES_ASKED_FOR.items() if values[variable] for path in paths),
            marker,
            *([NEW_CARD] if values["backup_targets"] else []),
            *(f"{initial}/{entry['name']}.sql" for entry in values["postgis_databases"] if entry.get("initial_sql")),
        ],
    }


def _data_folders(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give each folder whose content must last, with the variable that names it, which remembers the outermost."""
    return [
        {
            "path": posixpath.normpath(posixpath.join(values[variable], within)),
            "variable": variable,
            **({} if within else _memory_of(variable, values)),
        }
        for service in services.SERVICES
        for variable in service.data_folders
        for within in ("", *WITHIN.get(variable, ()))
    ]


def _memory_of(variable: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"remembered": True, "may_change": values.get(data_folders.permission(variable), False)}
