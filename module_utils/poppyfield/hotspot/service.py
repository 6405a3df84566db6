"""Keeps a Wi-Fi of the host's own, with its addresses and names; or takes it away again."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import atomic_file, firewall, host_files, systemd
from ansible.module_utils.poppyfield.host.firewall_service import FirewallService
from ansible.module_utils.poppyfield.host.host_files import HostFileAction, HostFileChange
from ansible.module_utils.poppyfield.hotspot import settings
from ansible.module_utils.poppyfield.hotspot.settings import PROFILE, UNIT, Hotspot

Json = dict[str, Any]

TAKE_BACK_AFTER = 120
"""Seconds after which NetworkManager takes back what nobody has confirmed."""
LEAD = 2
"""Seconds between the answer to who asked for it, and the switch, which may end that connection."""
SWITCH = f"{PROFILE}-switch"
SECONDS = 60
"""How long an adapter may take."""
UNAVAILABLE = 20
"""NetworkManager's number of the state in which an adapter can do nothing yet; those below are none of its business."""
LEASES = f"/run/{PROFILE}/leases"
MANAGER = ("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager")

UNIT_TEXT = f"""# Managed by Poppyfield.
[Unit]
Description=Addresses and names for the Wi-Fi of this Pi
After=NetworkManager.service
# Whatever ends it, it is started again.
StartLimitIntervalSec=0

[Service]
# A card that comes into another Pi finds its adapter blocked there, and the country forgotten.
ExecStartPre=-/usr/sbin/iw reg set {{country}}
ExecStartPre=-/bin/sh -c 'for radio in /sys/class/rfkill/*; do \
[ "$$(cat $$radio/type)" != wlan ] || echo 0 > $$radio/soft; done'
ExecStart=/usr/sbin/dnsmasq --conf-file={{configuration}} --pid-file=/run/{PROFILE}/pid
# What was leased outlives a restart; it is in memory.
RuntimeDirectory={PROFILE}
RuntimeDirectoryPreserve=yes
Restart=always
RestartSec=2
MemoryMax=64M
TasksMax=32
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SETGID CAP_SETUID
PrivateTmp=yes
ProtectSystem=full
ProtectHome=yes
NoNewPrivileges=yes
RestrictSUIDSGID=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
"""
# cfg80211 knows it as soon as it is loaded, before NetworkManager is there: on 5 GHz nothing is sent without a country.
COUNTRY_TEXT = """# Managed by Poppyfield.
options cfg80211 ieee80211_regdom={country}
"""
SWITCH_TEXT = (
    "sleep {lead}; if nmcli --wait {seconds} connection up uuid {number}; then touch {switched}; else busctl call "
    "{manager} CheckpointRollback o {checkpoint}; fi"
)


class HotspotError(Exception):
    """The Wi-Fi is not as wanted, in a sentence."""


@dataclass(frozen=True)
class HotspotOutcome:
    """What was done."""

    changes: list[HostFileChange]
    actions: list[str] = field(default_factory=list)
    """What was done besides files, or would be in check mode."""
    on_trial: bool = False
    """Whether it has yet to be confirmed."""


@dataclass(frozen=True)
class HotspotService:
    """Where the files are, and how commands are run."""

    folder: Path = Path("/etc/poppyfield/hotspot")
    units: Path = Path("/etc/systemd/system")
    modules: Path = Path("/etc/modprobe.d")
    profiles: Path = Path("/etc/NetworkManager/system-connections")
    trial: Path = Path("/run/NetworkManager/system-connections")
    """What is here is gone with the power."""
    state: Path = Path("/run/poppyfield-hotspot-trial")
    booted: Path = Path("/run/systemd/system")
    """Is there where systemd runs."""
    run: systemd.Run = systemd.run
    wall: FirewallService = field(default_factory=FirewallService)
    sleep: Callable[[float], None] = time.sleep

    @property
    def profile(self) -> Path:
        """Give where the profile is."""
        return self.profiles / f"{PROFILE}.nmconnection"

    @property
    def profile_on_trial(self) -> Path:
        """Give where a profile is that nobody has confirmed."""
        return self.trial / f"{PROFILE}-on-trial.nmconnection"

    def texts(self, hotspot: Hotspot) -> dict[Path, str]:
        """Give all files that are ours alone, but for the profile."""
        configuration = self.folder / "dnsmasq.conf"
        return {
            configuration: settings.name_server(hotspot, LEASES),
            self.modules / f"{PROFILE}.conf": COUNTRY_TEXT.format(country=hotspot.country),
            self.units / UNIT: UNIT_TEXT.format(country=hotspot.country, configuration=configuration),
        }

    def wanted(self, hotspot: Hotspot) -> Json:
        """Give the folder and files, as host_files takes them."""
        owned = {"owner": "root", "group": "root"}
        return {
            "folders": [{"path": str(self.folder), "mode": "0755", **owned}],
            "files": [
                {"path": str(path), "content": text, "mode": "0644", **owned}
                for path, text in sorted(self.texts(hotspot).items())
            ],
        }

    def converge(self, hotspot: Hotspot, client: str, *, check_mode: bool) -> HotspotOutcome:
        """Set it up; say what was done.

        `client` is the address of who asks for it. Where he comes over the same adapter, the switch is on trial.
        Raises HotspotError, SystemdError, FirewallError, HostFileError or OSError.
        """
        wall = firewall.with_hotspot(self.wall.policy(), hotspot.interface)
        changes = host_files.converge(self.wanted(hotspot), check_mode=check_mode)
        changes += self.wall.converge(wall, check_mode=check_mode)
        renewed = {change.path for change in changes if change.is_new}
        is_new = self._text() not in (settings.profile(hotspot, number) for number in settings.UUIDS)
        changes += self._profile_changes(is_new=is_new)
        if not self.booted.is_dir():
            if is_new and not check_mode:
                self._write_profile(settings.profile(hotspot, settings.number_of(self._text())))
            return HotspotOutcome(changes)
        actions = self._have_run(renewed, check_mode=check_mode)
        is_up = not is_new and self._is_up(settings.number_of(self._text()))
        if is_up:
            return HotspotOutcome(changes, actions)
        on_trial = self._comes_over(hotspot.interface, client)
        if check_mode:
            pass
        elif on_trial:
            self._try_out(hotspot)
        else:
            self._switch(hotspot)
        return HotspotOutcome(changes, [*actions, f"Wi-Fi {hotspot.interface}: switched"], on_trial)

    def has_password(self) -> bool:
        """Tell whether there is a Wi-Fi with a password."""
        return "\npsk=" in self._text()

    def confirm(self, hotspot: Hotspot) -> bool:
        """Keep what is on trial; False where the switch has not happened yet.

        Raises HotspotError where it was taken back, or SystemdError.
        """
        path = self.state / "checkpoint"
        checkpoint = path.read_text("utf-8") if path.exists() else ""
        there = self._asked("busctl", "get-property", *MANAGER, "Checkpoints")
        if not checkpoint or f'"{checkpoint}"' not in there:
            self._forget_trial()
            raise HotspotError("The Wi-Fi was not confirmed in time, or did not start, and is as it was before")
        if not (self.state / "switched").exists():
            return False
        number = settings.number_of(self.profile_on_trial.read_text("utf-8"))
        systemd.do(self.run, "busctl", "call", *MANAGER, "CheckpointDestroy", "o", checkpoint)
        self._write_profile(settings.profile(hotspot, number))
        systemd.do(self.run, "nmcli", "connection", "load", str(self.profile))
        self._forget_trial()
        return True

    def remove(self, client: str, *, check_mode: bool) -> HotspotOutcome:
        """Take it away; say what was done. Raises HotspotError, SystemdError, FirewallError or OSError.

        The unit goes last: while it is there, a run that is cut off is made good by the next one.
        """
        unit, text = self.units / UNIT, self._text()
        found = re.search(r"^interface-name=(.+)$", text, re.MULTILINE)
        if found and self.booted.is_dir() and self._comes_over(found[1], client):
            raise HotspotError(
                "Nothing was changed. This laptop comes over the Wi-Fi that is to be switched off (hotspot_enabled). "
                "Connect it to the Pi by a cable, or by another network, and run the same again"
            )
        others = (self.modules / f"{PROFILE}.conf", self.folder)
        paths = [path for path in (self.profile, *others, unit) if path.exists()]
        removed = [HostFileChange(path, HostFileAction.REMOVE, "file") for path in paths]
        policy = self.wall.policy()
        if "hotspot" in policy:
            removed += self.wall.converge(firewall.with_hotspot(policy, ""), check_mode=check_mode)
        if paths and not check_mode:
            self._remove(paths, unit, settings.number_of(text))
        return HotspotOutcome(removed)

    def _remove(self, paths: Sequence[Path], unit: Path, number: str) -> None:
        runs = self.booted.is_dir()
        if runs and unit in paths:
            systemd.do(self.run, "systemctl", "disable", "--quiet", "--now", UNIT)
        if runs and self.profile in paths:
            # It removes the file, too. Where NetworkManager is ended, there is only that.
            self.run(["nmcli", "connection", "delete", "uuid", number])
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if runs:
            systemd.do(self.run, "systemctl", "daemon-reload")

    def _text(self) -> str:
        """Give the profile that is there; nothing where there is none."""
        return self.profile.read_text("utf-8", "replace") if self.profile.exists() else ""

    def _profile_changes(self, *, is_new: bool) -> list[HostFileChange]:
        action = HostFileAction.RENEW if self.profile.exists() else HostFileAction.CREATE
        return [HostFileChange(self.profile, action, "file")] if is_new else []

    def _write_profile(self, text: str) -> None:
        atomic_file.write(self.profile, text.encode(), mode=0o600)

    def _have_run(self, renewed: set[Path], *, check_mode: bool) -> list[str]:
        """Have dnsmasq run by its newest files, and the radio be on; say what was done."""
        done = []
        ours = {path for path in renewed if path == self.units / UNIT or self.folder in path.parents}
        if ours or not systemd.is_active(self.run, UNIT):
            done.append(f"unit {UNIT}: started")
            if not check_mode:
                systemd.start(self.run, UNIT)
        if self._asked("nmcli", "radio", "wifi").strip() != "enabled":
            done.append("radio: switched on")
            if not check_mode:
                systemd.do(self.run, "nmcli", "radio", "wifi", "on")
        return done

    def _is_up(self, number: str) -> bool:
        state = self._asked("nmcli", "--get-values", "GENERAL.STATE", "connection", "show", "uuid", number)
        return state.strip() == "activated"

    def _asked(self, *command: str) -> str:
        """Give what a command says; nothing where it fails."""
        done = self.run(command)
        return "" if done.returncode else done.stdout

    def _comes_over(self, interface: str, client: str) -> bool:
        """Tell whether an address is reached over an interface."""
        if "%" in client:
            return client.rpartition("%")[2] == interface
        route = self._asked("ip", "-oneline", "route", "get", client) if client else ""
        return bool(re.search(rf" dev {re.escape(interface)}( |$)", route, re.MULTILINE))

    def _switch(self, hotspot: Hotspot) -> None:
        """Have the adapter be what is wanted now."""
        text = settings.profile(hotspot, settings.number_of(self._text()))
        self._forget_trial()
        self._write_profile(text)
        self._load(self.profile)
        self._await_adapter(hotspot.interface)
        done = self.run(
            ["nmcli", "--wait", str(SECONDS), "connection", "up", "uuid", settings.number_of(text)],
        )
        if done.returncode:
            raise HotspotError(
                f"The Wi-Fi does not start: {systemd.what_failed(done).rstrip('.')}. NetworkManager tries it again and "
                f"again; sudo journalctl -u NetworkManager says more. Does the adapter of {hotspot.interface} have "
                f"channel {hotspot.channel} in {hotspot.country} (hotspot_channel, hotspot_country)?"
            )

    def _await_adapter(self, interface: str) -> None:
        """Wait while an adapter is not available yet, as for some seconds after its radio was switched on."""
        for _ in range(SECONDS):
            state = self._asked("nmcli", "--get-values", "GENERAL.STATE", "device", "show", interface)
            number = re.match(r"\d+", state)
            if number is None or int(number[0]) > UNAVAILABLE:
                return
            self.sleep(1)

    def _try_out(self, hotspot: Hotspot) -> None:
        """Have the adapter switched once the answer is given; NetworkManager takes it back unless that is confirmed.

        Until then nothing is on the disk, so that a loss of power takes it back, too.
        """
        self._forget_trial()
        device = self._path("GetDeviceByIpIface", "s", hotspot.interface)
        checkpoint = self._path("CheckpointCreate", "aouu", "1", device, str(TAKE_BACK_AFTER), "0")
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.state / "checkpoint").write_text(checkpoint, "utf-8")
        number = settings.other_than(settings.number_of(self._text()))
        self.trial.mkdir(parents=True, exist_ok=True)
        text = settings.profile(hotspot, number, on_trial=True)
        atomic_file.write(self.profile_on_trial, text.encode(), mode=0o600)
        self._load(self.profile_on_trial)
        script = SWITCH_TEXT.format(
            lead=LEAD,
            seconds=SECONDS,
            number=number,
            switched=self.state / "switched",
            manager=" ".join(MANAGER),
            checkpoint=checkpoint,
        )
        systemd.do(self.run, "systemd-run", "--quiet", "--collect", f"--unit={SWITCH}", "/bin/sh", "-c", script)

    def _path(self, method: str, *words: str) -> str:
        """Give the path that NetworkManager answers a method with. Raises HotspotError."""
        done = self.run(["busctl", "call", *MANAGER, method, *words])
        found = re.fullmatch(r'o "(/[\w/]+)"', done.stdout.strip())
        if done.returncode or not found:
            raise HotspotError(f"NetworkManager refuses {method}: {systemd.what_failed(done).rstrip('.')}")
        return found[1]

    def _load(self, path: Path) -> None:
        systemd.do(self.run, "nmcli", "connection", "load", str(path))

    def _forget_trial(self) -> None:
        """Remove what was on trial, in the folder and in NetworkManager."""
        if self.profile_on_trial.exists():
            self.profile_on_trial.unlink()
            self._asked("nmcli", "connection", "load", str(self.profile_on_trial))
        shutil.rmtree(self.state, ignore_errors=True)
