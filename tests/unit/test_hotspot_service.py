"""A Pi's own Wi-Fi is set up once, is on trial where the laptop comes over it, and leaves nothing when it is off."""

from __future__ import annotations

import configparser
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.poppyfield.host import firewall
from ansible.module_utils.poppyfield.host.firewall_service import FirewallService
from ansible.module_utils.poppyfield.hotspot import password, service
from ansible.module_utils.poppyfield.hotspot.service import HotspotService
from ansible.module_utils.poppyfield.hotspot.settings import UNIT, UUIDS, Hotspot
from ansible.module_utils.poppyfield.inventory import first_look

from tests.doubles.systemd import Systemd
from tests.unit.conftest import load_plugin
from tests.unit.cut_off import removals_cut_off

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"
GIVEN = {"host": "pi-orchard", "country": "FR", "ssid": "pi-orchard", "password": PASSWORD}
CHECKPOINT = "/org/freedesktop/NetworkManager/Checkpoint/1"
Json = dict[str, Any]
Run = Callable[..., Json]


class RadioPi(Systemd):
    """A Pi with systemd and NetworkManager, whose adapter has joined a Wi-Fi, over which the laptop comes or not."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        for name in ("units", "modules", "profiles", "trial"):
            (folder / name).mkdir()
        (folder / "profiles" / "Office.nmconnection").write_text("[connection]\nid=Office\n")
        self.folder = folder
        self.over = "eth0"
        self.radio, self.up, self.checkpoints = "disabled", "", ""
        self.starts = True
        self.waited, self.available_after = 0, 0
        """Seconds: what was waited, and what the adapter takes once its radio is on."""
        self.service = HotspotService(
            *(folder / "etc", folder / "units", folder / "modules", folder / "profiles", folder / "trial"),
            *(folder / "state", folder),
            run=self.run,
            wall=FirewallService(folder / "firewall", folder / "units", folder, self.run),
            sleep=self.sleep,
        )

    def sleep(self, seconds: float) -> None:
        self.waited += int(seconds)

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done = super().run(command)
        said = " ".join(command)
        if said == "nmcli radio wifi":
            done.stdout = f"{self.radio}\n"
        elif said == "nmcli radio wifi on":
            self.radio = "enabled"
        elif "route get" in said:
            done.stdout = f"10.77.77.9 dev {self.over} src 10.77.77.1 uid 0 \\    cache \n"
        elif "--get-values GENERAL.STATE" in said and command[-1] == self.up:
            done.stdout = "activated\n"
        elif "device show" in said:
            done.stdout = "30 (disconnected)\n" if self.waited >= self.available_after else "20 (unavailable)\n"
        elif "connection up" in said:
            starts = self.starts and self.waited >= self.available_after
            self.up = command[-1] if starts else ""
            done.returncode = int(not starts)
        elif "GetDeviceByIpIface" in said:
            done.stdout = 'o "/org/freedesktop/NetworkManager/Devices/2"\n'
        elif "CheckpointCreate" in said:
            self.checkpoints = CHECKPOINT
            done.stdout = f'o "{CHECKPOINT}"\n'
        elif said.endswith(" Checkpoints"):
            done.stdout = f'ao 1 "{self.checkpoints}"\n' if self.checkpoints else "ao 0\n"
        elif "connection delete" in said:
            self.service.profile.unlink(missing_ok=True)
        return done

    @property
    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            # The firewall is kept for containers, too.
            if path.is_file() and "firewall" not in str(path.relative_to(self.folder))
        }


@pytest.fixture
def pi(library: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RadioPi:
    found = RadioPi(tmp_path)
    module = library("hotspot_service")
    monkeypatch.setattr(module, "HotspotService", lambda: found.service)
    monkeypatch.setattr(module.ssh_connection, "find", lambda: ("10.77.77.9", 22))
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(module.host_files, "_number_of", lambda name, look, kind, _: whoever[kind])
    return found


def test_it_is_set_up_once_and_leaves_nothing(run_module: Run, pi: RadioPi) -> None:
    before = pi.files
    foreseen = run_module("hotspot_service", check_mode=True, **GIVEN)
    assert foreseen["changed"] and pi.files == before and pi.radio == "disabled"
    done = run_module("hotspot_service", **GIVEN)
    assert done["changed"] and done["reasons"] == foreseen["reasons"] and not done["on_trial"]
    assert pi.radio == "enabled" and pi.up == UUIDS[0]
    assert stat.S_IMODE(pi.service.profile.stat().st_mode) == 0o600
    assert pi.service.wall.policy()["hotspot"] == {"interface": "wlan0"}
    again = run_module("hotspot_service", **GIVEN)
    assert not again["changed"] and again["reasons"] == []
    gone = run_module("hotspot_service", check_mode=True, state="absent")
    assert gone["changed"] and pi.service.profile.exists()
    assert run_module("hotspot_service", state="absent")["reasons"] == gone["reasons"]
    assert pi.files == before and "hotspot" not in pi.service.wall.policy()
    assert not run_module("hotspot_service", state="absent")["changed"]


def test_the_password_is_in_no_result_and_no_command(run_module: Run, pi: RadioPi) -> None:
    told = [run_module("hotspot_service", check_mode=mode, **GIVEN) for mode in (True, False)]
    told.append(run_module("hotspot_service", **{**GIVEN, "password": "another battery"}))
    pi.over = "wlan0"
    told.append(run_module("hotspot_service", **GIVEN))
    assert all(one["changed"] for one in told)
    assert PASSWORD not in str(told) + str(pi.done) and "another battery" not in str(told) + str(pi.done)


def test_a_removal_that_is_cut_off_is_seen_and_made_good(
    run_module: Run, pi: RadioPi, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pi.files
    for count in range(4):
        run_module("hotspot_service", **GIVEN)
        with removals_cut_off(monkeypatch, count):
            failed = run_module("hotspot_service", state="absent")
        # What a first look sees.
        assert (pi.service.units / UNIT).exists() or not failed.get("failed")
        run_module("hotspot_service", state="absent")
        assert pi.files == before


def test_a_wifi_that_the_laptop_comes_over_is_switched_off_by_another_way_alone(run_module: Run, pi: RadioPi) -> None:
    run_module("hotspot_service", **GIVEN)
    there = pi.files
    pi.over = "wlan0"
    refused = run_module("hotspot_service", state="absent")
    assert refused["failed"] and "by a cable" in refused["msg"] and pi.files == there


def test_what_fell_over_is_started_again(run_module: Run, pi: RadioPi) -> None:
    run_module("hotspot_service", **GIVEN)
    pi.up, pi.radio = "", "disabled"
    done = run_module("hotspot_service", **GIVEN)
    assert done["reasons"] == ["radio: switched on", "Wi-Fi wlan0: switched"] and pi.up == UUIDS[0]


def test_an_adapter_whose_radio_was_just_switched_on_is_waited_for(run_module: Run, pi: RadioPi) -> None:
    pi.available_after = 5
    assert not run_module("hotspot_service", **GIVEN).get("failed")
    assert pi.up and pi.waited == 5


def test_an_adapter_that_is_never_available_is_told(run_module: Run, pi: RadioPi) -> None:
    pi.available_after = 10_000
    failed = run_module("hotspot_service", **GIVEN)
    assert failed["failed"] and "does not start" in failed["msg"]


def test_an_adapter_that_does_not_start_is_told(run_module: Run, pi: RadioPi) -> None:
    pi.starts = False
    failed = run_module("hotspot_service", **GIVEN)
    assert failed["failed"] and "hotspot_channel" in failed["msg"]
    # NetworkManager goes on trying.
    assert pi.service.profile.exists()


def test_on_trial_nothing_is_on_the_disk_until_it_is_confirmed(run_module: Run, pi: RadioPi) -> None:
    pi.over = "wlan0"
    profiles = pi.service.profiles
    before = {path.name: path.read_bytes() for path in profiles.iterdir()}
    done = run_module("hotspot_service", **GIVEN)
    assert done["on_trial"] and {path.name: path.read_bytes() for path in profiles.iterdir()} == before
    assert "autoconnect=false" in pi.service.profile_on_trial.read_text()
    assert stat.S_IMODE(pi.service.profile_on_trial.stat().st_mode) == 0o600
    created = next(one for one in pi.done if "CheckpointCreate" in one)
    assert created.endswith(f" {service.TAKE_BACK_AFTER} 0")
    # Only once the answer is given.
    assert pi.done[-1].startswith(f"systemd-run --quiet --collect --unit={service.SWITCH}")
    assert "connection up" not in " ".join(pi.done[:-1])
    assert not run_module("hotspot_service", **GIVEN, _confirm=True)["confirmed"]
    (pi.service.state / "switched").touch()
    pi.up = UUIDS[1]
    assert run_module("hotspot_service", **GIVEN, _confirm=True)["confirmed"]
    assert "autoconnect-retries=0" in pi.service.profile.read_text()
    assert not pi.service.profile_on_trial.exists() and not pi.service.state.exists()
    assert pi.done.index(next(one for one in pi.done if "CheckpointDestroy" in one)) < len(pi.done)
    assert not run_module("hotspot_service", **GIVEN)["changed"]


def test_a_profile_in_use_stays_as_it_is_while_another_one_is_on_trial(run_module: Run, pi: RadioPi) -> None:
    run_module("hotspot_service", **GIVEN)
    text = pi.service.profile.read_bytes()
    pi.over = "wlan0"
    assert run_module("hotspot_service", **{**GIVEN, "channel": 11})["on_trial"]
    assert pi.service.profile.read_bytes() == text
    # NetworkManager restores by the UUID what was in use.
    assert f"uuid={UUIDS[1]}" in pi.service.profile_on_trial.read_text()


def test_what_was_taken_back_is_not_confirmed(run_module: Run, pi: RadioPi) -> None:
    pi.over = "wlan0"
    run_module("hotspot_service", **GIVEN)
    (pi.service.state / "switched").touch()
    pi.checkpoints = ""
    late = run_module("hotspot_service", **GIVEN, _confirm=True)
    assert late["failed"] and "as it was before" in late["msg"]
    assert not pi.service.profile.exists() and not pi.service.profile_on_trial.exists()


@pytest.mark.parametrize("starts", [True, False])
def test_the_switch_says_that_it_happened_or_goes_back_at_once(run_module: Run, pi: RadioPi, starts: bool) -> None:
    pi.over = "wlan0"
    run_module("hotspot_service", **GIVEN)
    script = pi.done[-1].partition("/bin/sh -c ")[2]
    commands = pi.folder / "bin"
    commands.mkdir()
    for name, code in (("sleep", 0), ("nmcli", int(not starts)), ("busctl", 0)):
        (commands / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {pi.folder}/called\nexit {code}\n')
        (commands / name).chmod(0o755)
    subprocess.run(["/bin/sh", "-c", script], check=True, env={"PATH": f"{commands}:{os.environ['PATH']}"})
    called = (pi.folder / "called").read_text()
    assert f"connection up uuid {UUIDS[1]}" in called
    assert (pi.service.state / "switched").exists() is starts
    assert (f"CheckpointRollback o {CHECKPOINT}" in called) is not starts


def test_without_a_password_it_is_open_only_where_that_is_said(run_module: Run, pi: RadioPi) -> None:
    bare = {**GIVEN, "password": ""}
    refused = run_module("hotspot_service", **bare)
    assert refused["failed"] and not pi.service.profile.exists()
    assert run_module("hotspot_service", **bare, open=True)["changed"]
    assert "psk" not in pi.service.profile.read_text()


@pytest.mark.parametrize("wrong", [{"ssid": "é" * 17}, {"password": "seven77"}, {"channel": 14}, {"network": "x"}])
def test_what_no_wifi_can_be_changes_nothing(run_module: Run, pi: RadioPi, wrong: Json) -> None:
    before = pi.files
    failed = run_module("hotspot_service", **{**GIVEN, **wrong})
    assert failed["failed"] and failed["msg"].startswith("Nothing was changed. ") and "seven77" not in str(failed)
    assert pi.files == before


def test_the_unit_can_be_read_and_unblocks_the_radio(pi: RadioPi, tmp_path: Path) -> None:
    wanted = Hotspot("wlan0", "FR", "pi", 6, "10.77.77.0/24")
    text = pi.service.texts(wanted)[pi.service.units / UNIT]
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text.replace("\\\n", ""))
    assert Path(service.LEASES).parent == Path("/run") / unit["Service"]["RuntimeDirectory"]
    script = unit["Service"]["ExecStartPre"].removeprefix("-/bin/sh -c '").removesuffix("'").replace("$$", "$")
    assert "/sys/class/rfkill/" in script
    for name, kind in (("rfkill0", "bluetooth"), ("rfkill1", "wlan")):
        (tmp_path / "rf" / name).mkdir(parents=True)
        (tmp_path / "rf" / name / "type").write_text(f"{kind}\n")
        (tmp_path / "rf" / name / "soft").write_text("1\n")
    script = script.replace("/sys/class/rfkill/", f"{tmp_path}/rf/")
    subprocess.run(["/bin/sh", "-c", script], check=True)
    assert [(tmp_path / "rf" / name / "soft").read_text() for name in ("rfkill0", "rfkill1")] == ["1\n", "0\n"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_reads_the_unit(pi: RadioPi, tmp_path: Path) -> None:
    wanted = Hotspot("wlan0", "FR", "pi", 6, "10.77.77.0/24")
    text = pi.service.texts(wanted)[pi.service.units / UNIT]
    unit = tmp_path / UNIT
    unit.write_text(text.replace("/usr/sbin/dnsmasq", "/bin/true").replace("/usr/sbin/iw", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:/usr/lib/systemd/system"}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stderr
    assert not [line for line in told.splitlines() if str(unit) in line or UNIT in line], told


def test_the_first_look_knows_the_unit() -> None:
    assert str(HotspotService().units / UNIT) == first_look.HOTSPOT
    assert first_look.HOTSPOT in (ROOT / "playbooks/tasks/provision.yml").read_text("utf-8")


# The password on the laptop, and what is done over the new Wi-Fi --------------------------------------------------


def test_a_random_password_can_be_typed_and_is_another_one_each_time() -> None:
    some = {password.random_password() for _ in range(50)}
    assert len(some) == 50 and {len(one) for one in some} == {19}
    assert not set("".join(some)) & set("0O1lIi")


def test_the_password_is_made_once_for_its_owner_alone(run_plugin: Run, pi: RadioPi, tmp_path: Path) -> None:
    kept = tmp_path / "passwords" / "pi-orchard"
    given = {**GIVEN, "password": "", "password_folder": str(kept.parent)}
    assert run_plugin("hotspot_service", check_mode=True, **given)["changed"] and not kept.exists()
    done = run_plugin("hotspot_service", **given)
    made = kept.read_text().strip()
    assert done["changed"] and f"psk={made}\n" in pi.service.profile.read_text() and made not in str(done)
    assert (stat.S_IMODE(kept.stat().st_mode), stat.S_IMODE(kept.parent.stat().st_mode)) == (0o600, 0o700)
    assert not run_plugin("hotspot_service", **given)["changed"] and kept.read_text().strip() == made


def test_a_password_that_the_laptop_has_lost_is_not_replaced(run_plugin: Run, pi: RadioPi, tmp_path: Path) -> None:
    given = {**GIVEN, "password": "", "password_folder": str(tmp_path / "passwords")}
    run_plugin("hotspot_service", **given)
    shutil.rmtree(tmp_path / "passwords")
    there = pi.files
    lost = run_plugin("hotspot_service", **given)
    assert lost["failed"] and "hotspot_password_folder" in lost["msg"] and pi.files == there
    assert not (tmp_path / "passwords").exists()
    assert run_plugin("hotspot_service", **{**given, "password": PASSWORD})["changed"]


def plugin(answers: Sequence[Json | Exception], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    """Give the action plugin on a host with these answers, and what was done; no second passes."""
    module = load_plugin("hotspot_service")
    action = module.ActionModule.__new__(module.ActionModule)
    left, done, clock = list(answers), [], [0.0]

    def execute(module_name: str, module_args: Json, task_vars: Json | None) -> Json:
        done.append("confirm" if module_args.get("_confirm") else "try")
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0]))
    action._task = SimpleNamespace(args={**GIVEN}, check_mode=False, async_val=0)
    action._connection = SimpleNamespace(
        _shell=SimpleNamespace(tmpdir="/tmp"),
        reset=lambda: done.append("new connection"),
        set_option=lambda name, value: None,
    )
    action._execute_module = execute
    return action, done


GONE = AnsibleConnectionFailure("no route to host")


def test_a_switch_is_confirmed_over_a_new_connection_as_soon_as_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    switched = {"changed": True, "on_trial": True}
    action, done = plugin([switched, GONE, {"confirmed": False}, {"confirmed": True}], monkeypatch)
    result = action.run(task_vars={})
    assert result["changed"] and not result.get("failed")
    assert done == ["try", *["new connection", "confirm"] * 3]


def test_a_laptop_that_does_not_follow_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    action, done = plugin([{"changed": True, "on_trial": True}, GONE], monkeypatch)
    result = action.run(task_vars={})
    assert result["failed"] and "goes back" in result["msg"] and "pi-orchard" in result["msg"]
    assert done.count("confirm") > 1


def test_what_was_taken_back_meanwhile_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    action, _ = plugin([{"changed": True, "on_trial": True}, {"failed": True, "msg": "as it was before"}], monkeypatch)
    assert action.run(task_vars={})["failed"]


def test_what_needs_no_trial_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    action, done = plugin([{"changed": True, "on_trial": False}], monkeypatch)
    assert action.run(task_vars={})["changed"] and done == ["try"]


def test_nothing_is_passed_on_but_to_ports_that_containers_publish() -> None:
    for version in firewall.VERSIONS:
        lines = firewall.rules(firewall.with_hotspot({}, "wlan0"), version).splitlines()
        chain = [line for line in lines if line.startswith(f"-A {firewall.HOTSPOT} ")]
        assert len(chain) == 2 and "--ctstate DNAT -j RETURN" in chain[0] and "REJECT" in chain[1]
        for parent in firewall.FORWARDING:
            for side in ("-i", "-o"):
                assert f"-I {parent} {side} wlan0 -j {firewall.HOTSPOT}" in lines
    assert firewall.with_hotspot(firewall.with_hotspot({"host": {}}, "wlan0"), "") == {"host": {}}
