"""The program that upgrades the database, as files on a host, with the unit of systemd that runs it."""

from __future__ import annotations

from collections.abc import Sequence

from ansible.module_utils.poppyfield.host import host_files, program_folder, systemd
from ansible.module_utils.poppyfield.host.host_files import HostFileChange
from ansible.module_utils.poppyfield.postgis import major_upgrade, upgrade_program
from ansible.module_utils.poppyfield.postgis.upgrade_service import UNIT, UpgradeService

UNIT_TEXT = """# Managed by Poppyfield.
[Unit]
Description=Poppyfield's upgrade of the database to another major version of PostgreSQL
After=docker.service
Wants=docker.service
# At the start of this host there is one only where an upgrade was cut off.
ConditionPathExists={order}

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I -B {program} go
# However it ends, the old cluster serves, or the new one does.
ExecStopPost=/usr/bin/python3 -I -B {program} go
TimeoutStartSec=infinity
TimeoutStopSec=20min

[Install]
WantedBy=multi-user.target
"""


def install(service: UpgradeService, *, check_mode: bool) -> Sequence[HostFileChange]:
    """Install the program and its unit. Raises HostFileError, SystemdError or OSError."""
    texts, unit = program_folder.program_files(service.program, upgrade_program), service.units / UNIT
    inner = {folder for path in texts for folder in path.parents if folder.is_relative_to(service.program)}
    texts[unit] = UNIT_TEXT.format(program=service.program, order=service.state / major_upgrade.ORDER)
    owned = {"owner": "root", "group": "root"}
    folders = {service.state: "0700", service.program.parent: "0755", **dict.fromkeys(sorted(inner), "0755")}
    wanted = {
        "folders": [{"path": str(path), "mode": mode, **owned} for path, mode in folders.items()],
        "files": [{"path": str(path), "content": text, "mode": "0644", **owned} for path, text in texts.items()],
    }
    changes: list[HostFileChange] = host_files.converge(wanted, check_mode=check_mode)
    if not check_mode and service.booted.is_dir() and any(one.path == unit and one.is_new for one in changes):
        systemd.do(service.run, "systemctl", "daemon-reload")
        systemd.do(service.run, "systemctl", "enable", "--quiet", UNIT)
    return changes
