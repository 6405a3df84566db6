"""Keeps the program of the backup on a host: the program, its settings and password, and a timer of systemd."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup import outcomes, program_files, this_pi
from ansible.module_utils.poppyfield.backup.settings import NEW_CARD, SFTP, SSH_FOLDER, SSH_KEY, Settings
from ansible.module_utils.poppyfield.host import host_files, password_file, systemd
from ansible.module_utils.poppyfield.host.host_files import HostFileAction, HostFileChange

Json = dict[str, Any]

UNIT = "poppyfield-backup"
TIMER = f"{UNIT}.timer"
LAST_MINUTE = "poppyfield-last-minute.service"
SCHEDULES = ("hourly", "daily", "weekly")

SERVICE_TEXT = """# Managed by Poppyfield.
[Unit]
Description=Poppyfield's backup to the targets of the inventory
After=docker.service

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I {program} run --by-timer
# The map comes first.
Nice=19
IOSchedulingClass=idle
# What it mounts Docker has to see, too, for a proof: so it is taken away when it ends, however it ends.
ExecStopPost=/usr/bin/python3 -I {program} clear-up
TimeoutStartSec=12h
"""

TIMER_TEXT = """# Managed by Poppyfield.
[Unit]
Description=When Poppyfield makes a backup

[Timer]
OnCalendar={schedule}
RandomizedDelaySec=10min
# One that was missed while the Pi was off is made when it is on again.
Persistent=true

[Install]
WantedBy=timers.target
"""

PLUGGED_TIMER = f"{UNIT}-plugged.timer"
PLUGGED_TIMER_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=A minute after a stick for Poppyfield's backup was plugged in

[Timer]
# So long a stick that comes and goes counts once, and at boot the database has its time to start.
OnActiveSec=1min
# The next stick that is plugged in starts it again.
RemainAfterElapse=no
Unit={UNIT}.service
"""
RULES = "70-poppyfield-backup.rules"
"""After those of systemd that read the label."""
RULE_TEXT = (
    'ACTION=="add", SUBSYSTEM=="block", ENV{ID_FS_LABEL_ENC}=="{label}", TAG+="systemd", '
    'ENV{SYSTEMD_WANTS}+="{timer}"\n'
)


def rules(labels: Sequence[str]) -> str:
    """Give what has udev start a backup when a stick with one of these labels is plugged in."""
    lines = [RULE_TEXT.replace("{label}", label).replace("{timer}", PLUGGED_TIMER) for label in labels]
    return "".join(["# Managed by Poppyfield.\n", *lines])


LAST_MINUTE_TEXT = """# Managed by Poppyfield.
[Unit]
Description=Poppyfield's last minute: what is committed is on the targets of the inventory within a minute
After=docker.service

[Service]
ExecStart=/usr/bin/python3 -I {program} last_minute save
# The map comes first.
Nice=19
IOSchedulingClass=idle
CPUWeight=10
ExecStopPost=/usr/bin/python3 -I {program} last_minute clear-up
Restart=always
RestartSec=30

[Install]
WantedBy=multi-user.target
"""


def known_host(target: Mapping[str, Any]) -> str:
    """Give the line by which ssh knows the machine of a target by SFTP."""
    found = SFTP.fullmatch(target["sftp"])
    if not found:
        raise BackupServiceError(f"{target['sftp']} is not USER@MACHINE:/FOLDER")
    port = target.get("port") or 22
    return f"{found[2] if port == 22 else f'[{found[2]}]:{port}'} {target['host_key']}\n"  # noqa: PLR2004


class BackupServiceError(Exception):
    """The backup is not set up, in a sentence that holds no password."""


@dataclass(frozen=True)
class BackupService:
    """Where the files are, and how commands are run."""

    folder: Path = Path("/etc/poppyfield/backup")
    programs: Path = Path("/usr/local/lib/poppyfield")
    units: Path = Path("/etc/systemd/system")
    booted: Path = Path("/run/systemd/system")
    """Is there where systemd runs."""
    run: systemd.Run = systemd.run
    state: Path = Path("/var/lib/poppyfield/backup")
    """Where the program writes down what it did."""
    rules: Path = Path("/etc/udev/rules.d")

    @property
    def command(self) -> Path:
        """Give what runs the program."""
        return self.programs / program_files.COMMAND

    @property
    def ssh(self) -> Path:
        """Give the folder of the keys for targets by SFTP."""
        return self.folder / SSH_FOLDER

    def public_key(self) -> str:
        """Give what machines that are targets by SFTP are to let in; empty where there is none yet."""
        path = self.ssh / f"{SSH_KEY}.pub"
        return path.read_text("utf-8").strip() if path.exists() else ""

    def has_password(self) -> bool:
        """Tell whether the host has a password already."""
        return (self.folder / "password").exists()

    def wanted(self, settings: Mapping[str, Any], schedule: str, password: str) -> Json:
        """Give the folders and files, as host_files takes them."""
        program = self._program(settings)
        texts = {path: (text, "0755" if path == self.command else "0644") for path, text in program.items()}
        texts |= {
            self.folder / "settings.json": (json.dumps(settings, indent=1, sort_keys=True) + "\n", "0600"),
            self.units / f"{UNIT}.service": (SERVICE_TEXT.format(program=self.command), "0644"),
            self.units / TIMER: (TIMER_TEXT.format(schedule=schedule), "0644"),
        }
        folders = {self.folder: "0700", self.programs: "0755"}
        if settings.get("wal"):
            texts[self.units / LAST_MINUTE] = (LAST_MINUTE_TEXT.format(program=self.command), "0644")
        inner = {folder for path in program for folder in path.parents if self.programs in folder.parents}
        folders |= dict.fromkeys(sorted(inner), "0755")
        if labels := [target["label"] for target in settings["targets"] if target.get("label")]:
            texts[self.units / PLUGGED_TIMER] = (PLUGGED_TIMER_TEXT, "0644")
            texts[self.rules / RULES] = (rules(labels), "0644")
            folders[self.rules] = "0755"
        by_sftp = [target for target in settings["targets"] if target.get("sftp")]
        if by_sftp:
            folders[self.ssh] = "0700"
            texts |= {self.ssh / f"{one['name']}.known_hosts": (known_host(one), "0600") for one in by_sftp}
        owned = {"owner": "root", "group": "root"}
        return {
            "folders": [{"path": str(path), "mode": mode, **owned} for path, mode in folders.items()],
            "files": [
                {"path": str(path), "content": text, "mode": mode, **owned} for path, (text, mode) in texts.items()
            ],
            "secrets": [{"path": str(self.folder / "password"), "value": password, **owned}] if password else [],
        }

    def _program(self, settings: Mapping[str, Any]) -> dict[Path, str]:
        """Give the files of the program; a part that was wanted once stays, for what it has saved."""
        parts = program_files.installed_parts(self.programs)
        parts |= {
            part
            for part, switch in ((this_pi.LAST_MINUTE, "wal"), (this_pi.TRIAL_MAPS, "prove"))
            if settings.get(switch)
        }
        return program_files.program_files(self.programs, parts)

    def converge(
        self, settings: Mapping[str, Any], schedule: str, password: str, *, check_mode: bool
    ) -> list[HostFileChange]:
        """Set the backup up; say what was done. Raises BackupServiceError, SystemdError, HostFileError or OSError."""
        self._refuse_another(password)
        is_new = self._is_new_card(settings)
        changes: list[HostFileChange] = host_files.converge(
            self.wanted(settings, schedule, password), check_mode=check_mode
        )
        kept = {change.path for change in changes}
        ours = (self.units / LAST_MINUTE, self.units / PLUGGED_TIMER, self.rules / RULES)
        unwanted = [path for path in ours if path.exists() and path not in kept]
        left = list(program_files.left_behind(self.programs, kept))
        if not check_mode:
            if self.ssh.exists() and not self.public_key():
                changes.append(self._make_key(settings["host"]))
            if is_new:
                self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
                (self.state / NEW_CARD).touch(mode=0o600)
            is_renewed = bool(left) or any(change.is_new for change in changes)
            self._have_run(changes, wal=bool(settings.get("wal")), is_renewed=is_renewed)
            if self.units / LAST_MINUTE in unwanted:
                self._end_last_minute()
            self._remove(unwanted)
            for folder in left:
                shutil.rmtree(folder)
        removed = [*((path, "file") for path in unwanted), *((folder, "folder") for folder in left)]
        return [*changes, *(HostFileChange(path, HostFileAction.REMOVE, what) for path, what in removed)]

    def _make_key(self, host: str) -> HostFileChange:
        """Make the key of this host, which never leaves it."""
        path = self.ssh / SSH_KEY
        words = ("-q", "-t", "ed25519", "-N", "", "-C", f"poppyfield-backup@{host}", "-f", str(path))
        path.unlink(missing_ok=True)
        systemd.do(self.run, "ssh-keygen", *words)
        return HostFileChange(path, HostFileAction.CREATE, "secret")

    def _is_new_card(self, settings: Mapping[str, Any]) -> bool:
        """Tell whether backups are set up for the first time, where there is no data yet."""
        has_data = (Path(settings["data_folder"]) / "cluster" / "PG_VERSION").exists()
        return not (self.folder / "settings.json").exists() and not has_data

    def _have_run(self, changes: Sequence[HostFileChange], *, wal: bool, is_renewed: bool) -> None:
        if not self.booted.is_dir():
            return
        if self._touches_units(changes) or not systemd.is_active(self.run, TIMER):
            systemd.start(self.run, TIMER)
        # What runs has the old program and settings.
        if wal and (is_renewed or not systemd.is_active(self.run, LAST_MINUTE)):
            systemd.start(self.run, LAST_MINUTE)

    def _end_last_minute(self) -> None:
        """End it, and let PostgreSQL keep no WAL for it; what is on the targets stays, as the program does."""
        if self.booted.is_dir():
            systemd.do(self.run, "systemctl", "disable", "--quiet", "--now", LAST_MINUTE)
            # Where the database does not answer, PostgreSQL gives the slot up by itself.
            self.run([sys.executable, "-I", str(self.command), this_pi.LAST_MINUTE, "end"])

    def _remove(self, unwanted: Sequence[Path]) -> None:
        for path in unwanted:
            path.unlink()
        if unwanted and self.booted.is_dir():
            systemd.do(self.run, "systemctl", "daemon-reload")

    def offers(self, settings: Mapping[str, Any]) -> list[Json]:
        """Give the backups on the targets that are from before this card: `target`, and what is `said` of it.

        The program is started for a card that was not saved on some target. Raises BackupServiceError.
        """
        known = Settings(**settings, state_folder=str(self.state))
        if not any(outcomes.is_new(known, target) for target in known.targets):
            return []
        done = self.run([sys.executable, "-I", str(self.command), "offers"])
        if done.returncode:
            raise BackupServiceError(f"what is on the targets could not be seen: {systemd.what_failed(done)}")
        found: list[Json] = json.loads(done.stdout)
        return found

    def _refuse_another(self, password: str) -> None:
        """A repository that was made with the old password could no longer be opened."""
        path = self.folder / "password"
        if password and path.exists() and password_file.read(path).strip() != password:
            raise BackupServiceError(
                f"Nothing was changed. The password in {path} is not the one in backup_password_folder on the laptop, "
                f"and the backups were made with it. Put what stands in {path} into the laptop's file; or, to go on "
                f"without the earlier backups, remove {path} on the Pi and poppyfield/ on the targets"
            )

    def _touches_units(self, changes: Sequence[HostFileChange]) -> bool:
        return any(change.path.parent == self.units and change.is_new for change in changes)
