"""What makes backups is set up once, with a password that the laptop keeps and never loses."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import program_files
from ansible.module_utils.poppyfield.backup.program_files import installed_parts
from ansible.module_utils.poppyfield.backup.service import LAST_MINUTE, RULES, UNIT, BackupService
from ansible.module_utils.poppyfield.backup.settings import NEW_CARD, Settings
from ansible.module_utils.poppyfield.backup.this_pi import PARTS
from ansible.module_utils.poppyfield.host import host_files, program_folder, systemd
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.doubles.systemd import Systemd
from tests.installed_backup import install
from tests.unit.conftest import load_plugin

Json = dict[str, Any]
Run = Callable[..., Json]
PASSWORD = "a password of the tests"
GIVEN: Json = {
    "host": "pi-orchard",
    "targets": [{"name": "stick", "label": "POPPYFIELD"}],
    "keep": {"hourly": "24", "daily": 7},
    "folders": {"projects": "/srv/p", "config": "/srv/c", "secrets": "/etc/s"},
    "data_folder": "/srv/data",
}


class Pi(Systemd):
    """A Pi with systemd."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        (folder / "units").mkdir()
        (folder / "rules").mkdir()
        self.asked = 0
        self.offered: list[Json] = []
        self.state = folder / "state"
        self.service = BackupService(
            folder / "backup", folder / "programs", folder / "units", folder, self.run, self.state, folder / "rules"
        )

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Answer for systemd, and for the program."""
        if command[-1] != "offers":
            return super().run(command)
        self.asked += 1
        return subprocess.CompletedProcess(command, 0, json.dumps(self.offered), "")


@pytest.fixture
def pi(library: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    found = Pi(tmp_path)
    monkeypatch.setattr(library("backup_service"), "BackupService", lambda: found.service)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(library("backup_service").host_files, "_number_of", lambda name, lookup, kind, _: whoever[kind])
    return found


def test_it_is_set_up_once(run_module: Run, pi: Pi) -> None:
    given = {**GIVEN, "_password": PASSWORD}
    assert run_module("backup_service", check_mode=True, **given)["changed"]
    assert not pi.service.folder.exists() and not pi.done
    result = run_module("backup_service", **given)
    assert result["changed"] and PASSWORD not in json.dumps(result)
    assert pi.done[-1] == f"systemctl restart {UNIT}.timer"
    password = pi.service.folder / "password"
    assert password.read_text() == PASSWORD and stat.S_IMODE(password.stat().st_mode) == 0o600
    again = len(pi.done)
    assert not run_module("backup_service", **given)["changed"]
    assert pi.done[again:] == [f"systemctl is-active --quiet {UNIT}.timer"]
    assert run_module("backup_service", **given, schedule="daily")["changed"]
    assert "OnCalendar=daily" in (pi.service.units / f"{UNIT}.timer").read_text()


def test_the_last_minute_is_saved_by_a_service_of_its_own_and_ended_where_it_is_off(run_module: Run, pi: Pi) -> None:
    given = {**GIVEN, "_password": PASSWORD}
    # Off, nothing of it is there and nobody asks for it.
    run_module("backup_service", **given)
    assert not any(LAST_MINUTE in line for line in pi.done)
    assert "last_minute" not in installed_parts(pi.service.programs)
    run_module("backup_service", **given, wal=True)
    assert pi.done[-1] == f"systemctl restart {LAST_MINUTE}"
    assert Settings.read(pi.service.folder / "settings.json").wal
    command = [sys.executable, "-I", str(pi.service.command), "last_minute"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "save the WAL, on and on" in helped.stdout
    unit = (pi.service.units / LAST_MINUTE).read_text()
    for wanted in (
        "Nice=19",
        "IOSchedulingClass=idle",
        "backup last_minute save",
        "backup last_minute clear-up",
        "Restart=always",
    ):
        assert wanted in unit
    again = len(pi.done)
    assert not run_module("backup_service", **given, wal=True)["changed"]
    assert pi.done[again:] == [f"systemctl is-active --quiet {one}" for one in (f"{UNIT}.timer", LAST_MINUTE)]
    assert run_module("backup_service", check_mode=True, **given)["changed"]
    assert (pi.service.units / LAST_MINUTE).exists()
    again = len(pi.done)
    assert run_module("backup_service", **given)["changed"]
    assert f"systemctl disable --quiet --now {LAST_MINUTE}" in pi.done[again:]
    assert pi.done[-2:] == [f"{' '.join(command)} end", "systemctl daemon-reload"]
    assert not (pi.service.units / LAST_MINUTE).exists()
    assert not run_module("backup_service", **given)["changed"]


def modules_in(programs: Path) -> Path:
    (folder,) = programs.glob("backup-modules-*")
    return folder


def test_the_programs_of_an_earlier_release_give_way_and_what_was_wanted_of_them_stays(run_module: Run, pi: Pi) -> None:
    earlier = [pi.service.programs / name for name in ("restore_part", "last_minute", "trial_maps")]
    for folder in earlier:
        (folder / "ansible").mkdir(parents=True)
        (folder / "__main__.py").write_text("sys.exit('an earlier release')")
    pi.service.command.write_text("#!/usr/bin/python3\nprint('an earlier release')\n")
    others = pi.service.programs / "page"
    others.mkdir()
    given = {**GIVEN, "_password": PASSWORD}
    result = run_module("backup_service", check_mode=True, **given)
    assert f"folder {earlier[0]}: removed" in result["reasons"] and all(folder.exists() for folder in earlier)
    run_module("backup_service", **given, prove=False)
    assert {path.name for path in pi.service.programs.iterdir()} == {
        "backup",
        "page",
        modules_in(pi.service.programs).name,
    }
    # Off by now, and what it has saved can still be asked for.
    assert installed_parts(pi.service.programs) == {"last_minute", "trial_maps"}
    helped = subprocess.run([sys.executable, "-I", str(pi.service.command), "--help"], capture_output=True, check=True)
    assert b"put back what a restore has set aside" in helped.stdout
    # A second run changes nothing, and the program leaves nothing there.
    assert not run_module("backup_service", **given, prove=False)["changed"]
    assert not [*pi.service.programs.rglob("__pycache__")]


def test_another_release_takes_the_place_of_one_at_once(
    run_module: Run, pi: Pi, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**GIVEN, "_password": PASSWORD, "wal": True}
    run_module("backup_service", **given)
    first, command = modules_in(pi.service.programs), pi.service.command.read_text()
    assert str(first) in command
    monkeypatch.setattr(program_folder, "MAIN_TEXT", f"{program_folder.MAIN_TEXT}# of another release\n")

    def cut(what: object) -> None:
        raise PowerCutError(what)

    do = host_files._do
    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        patch.setattr(
            host_files, "_do", lambda one, *more: cut(one) if one.path == pi.service.command else do(one, *more)
        )
        run_module("backup_service", **given)
    # The one before is as it was, and the other one is there whole before the command names it.
    assert pi.service.command.read_text() == command
    assert len([*pi.service.programs.glob("backup-modules-*/__main__.py")]) == 2

    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        patch.setattr(systemd, "start", lambda _, unit: cut(unit))
        run_module("backup_service", **given)
    # Both are there whole, and the command names the new one.
    second = next(one for one in pi.service.programs.glob("backup-modules-*") if one != first)
    assert (first / "__main__.py").exists() and str(second) in pi.service.command.read_text()
    # Then the service that still runs the old one is started again, though no file is to be written any more.
    again = len(pi.done)
    assert run_module("backup_service", **given)["changed"]
    assert f"systemctl restart {LAST_MINUTE}" in pi.done[again:] and modules_in(pi.service.programs) == second


def test_the_module_has_the_whole_program_in_the_archive_in_which_ansible_brings_it(tmp_path: Path) -> None:
    command = install(tmp_path / "programs", "last_minute", "trial_maps")
    archive = shutil.make_archive(str(tmp_path / "payload"), "zip", modules_in(command.parent))
    written = program_folder.files([program_files.__name__])
    with zipfile.ZipFile(archive, "a") as payload:
        for path in sorted(written.keys() - {*payload.namelist()}):
            payload.writestr(path, written[path])
    imported = f"from pathlib import Path; from {program_files.__name__} import program_files"
    asked = f"{imported}; print(*program_files(Path(), {PARTS}))"
    ran = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {archive!r}); {asked}"]
    done = subprocess.run(ran, capture_output=True, text=True, check=True)
    names = {str(path.relative_to(command.parent)) for path in command.parent.rglob("*.py")} | {"backup"}
    assert {*done.stdout.split()} == names


class PowerCutError(BaseException):
    """Nothing that a module catches."""


def test_a_target_by_sftp_is_known_by_its_key_and_gets_one_of_this_host(run_module: Run, pi: Pi) -> None:
    office = {"name": "office", "sftp": "b@office.example:/srv", "port": 2222, "host_key": "ssh-ed25519 AAAA"}
    given = {**GIVEN, "targets": [office], "_password": PASSWORD}
    assert run_module("backup_service", **given)["changed"]
    ssh = pi.service.folder / "ssh"
    assert (ssh / "office.known_hosts").read_text() == "[office.example]:2222 ssh-ed25519 AAAA\n"
    assert stat.S_IMODE(ssh.stat().st_mode) == 0o700
    key = f"ssh-keygen -q -t ed25519 -N  -C poppyfield-backup@pi-orchard -f {ssh}/id_ed25519"
    assert pi.done.count(key) == 1
    # What ssh-keygen makes.
    (ssh / "id_ed25519.pub").write_text("ssh-ed25519 BBBB poppyfield-backup@pi-orchard\n")
    result = run_module("backup_service", **given)
    assert not result["changed"] and pi.done.count(key) == 1
    assert result["public_key"] == "ssh-ed25519 BBBB poppyfield-backup@pi-orchard"
    # Without such a target, nobody is told.
    assert run_module("backup_service", **GIVEN, _password=PASSWORD)["public_key"] == ""


def test_it_is_set_up_where_systemd_does_not_run(run_module: Run, pi: Pi, tmp_path: Path) -> None:
    pi.service = replace(pi.service, booted=tmp_path / "none")
    for wal in (True, False):
        assert run_module("backup_service", **GIVEN, _password=PASSWORD, wal=wal)["changed"]
    assert pi.done == [] and not (pi.service.units / LAST_MINUTE).exists()


def test_backups_from_before_a_new_card_are_offered_until_it_is_saved(run_module: Run, pi: Pi) -> None:
    pi.offered = [{"target": "stick", "said": "the backup of pi-orchard of 10:02 on stick, with gis"}]
    given = {**GIVEN, "_password": PASSWORD}
    assert run_module("backup_service", check_mode=True, **given)["offers"] == [] and pi.asked == 0
    assert run_module("backup_service", **given)["offers"] == pi.offered
    (pi.state / "stick.json").write_text(json.dumps({"saved": "2026-11-30T10:02:00+00:00"}))
    assert run_module("backup_service", **given)["offers"] == [] and pi.asked == 1


@pytest.mark.parametrize("has_data", [True, False])
def test_a_card_is_new_that_has_no_data_when_backups_are_set_up(
    run_module: Run, pi: Pi, tmp_path: Path, has_data: bool
) -> None:
    given = {**GIVEN, "_password": PASSWORD, "data_folder": str(tmp_path / "data")}
    cluster = tmp_path / "data" / "cluster"
    if has_data:
        cluster.mkdir(parents=True)
        (cluster / "PG_VERSION").touch()
    run_module("backup_service", check_mode=True, **given)
    assert not pi.state.exists()
    run_module("backup_service", **given)
    assert (pi.state / NEW_CARD).exists() is not has_data
    # Once it was saved, it is new no more, whatever is set up anew.
    (pi.state / NEW_CARD).unlink(missing_ok=True)
    run_module("backup_service", **given, schedule="daily")
    assert not (pi.state / NEW_CARD).exists()


def test_the_program_stands_alone_with_settings_that_it_understands(run_module: Run, pi: Pi) -> None:
    run_module("backup_service", **GIVEN, _password=PASSWORD)
    settings = Settings.read(pi.service.folder / "settings.json")
    assert settings.keep == {"hourly": 24, "daily": 7}
    assert settings.targets == [{"name": "stick", "label": "POPPYFIELD"}]
    command = [sys.executable, "-I", str(pi.service.programs / "backup")]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "take-back" in helped.stdout


def test_a_stick_that_is_plugged_in_starts_a_backup_where_one_has_a_label(run_module: Run, pi: Pi) -> None:
    office = {"name": "office", "folder": "/mnt/office"}
    targets = [*GIVEN["targets"], {"name": "second", "label": "SPARE-2"}, office]
    run_module("backup_service", **{**GIVEN, "targets": targets}, _password=PASSWORD)
    rule = pi.service.rules / RULES
    _, first, second = rule.read_text().splitlines()
    timer = "poppyfield-backup-plugged.timer"
    assert first == (
        'ACTION=="add", SUBSYSTEM=="block", ENV{ID_FS_LABEL_ENC}=="POPPYFIELD", TAG+="systemd", '
        f'ENV{{SYSTEMD_WANTS}}+="{timer}"'
    )
    assert '"SPARE-2"' in second
    text = (pi.service.units / timer).read_text()
    assert "OnActiveSec=1min" in text and f"Unit={UNIT}.service" in text and "RemainAfterElapse=no" in text
    result = run_module("backup_service", **{**GIVEN, "targets": [office]}, _password=PASSWORD)
    assert result["changed"] and not rule.exists() and not (pi.service.units / timer).exists()
    assert pi.done[-1] == "systemctl daemon-reload"
    assert not run_module("backup_service", **{**GIVEN, "targets": [office]}, _password=PASSWORD)["changed"]


@pytest.mark.skipif(not (shutil.which("systemd-analyze") and shutil.which("udevadm")), reason="needs systemd")
def test_systemd_and_udev_understand_what_is_written(run_module: Run, pi: Pi) -> None:
    run_module("backup_service", **GIVEN, _password=PASSWORD, wal=True)
    units = [str(path) for path in pi.service.units.iterdir()]
    told = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False).stderr
    assert not [line for line in told.splitlines() if any(unit in line for unit in units)], told
    # That of Debian bookworm does not verify rules.
    helped = subprocess.run(["udevadm", "--help"], capture_output=True, text=True, check=False).stdout
    if "verify" in helped:
        subprocess.run(["udevadm", "verify", "--no-style", str(pi.service.rules / RULES)], check=True)


def test_the_units_give_the_map_precedence_and_leave_no_mount(run_module: Run, pi: Pi) -> None:
    run_module("backup_service", **GIVEN, _password=PASSWORD)
    service = (pi.service.units / f"{UNIT}.service").read_text()
    for wanted in ("Type=oneshot", "Nice=19", "IOSchedulingClass=idle", "run --by-timer", "clear-up"):
        assert wanted in service
    timer = (pi.service.units / f"{UNIT}.timer").read_text()
    for wanted in ("OnCalendar=hourly", "RandomizedDelaySec=10min", "Persistent=true", "WantedBy=timers.target"):
        assert wanted in timer


def test_a_password_that_backups_were_made_with_is_never_replaced(run_module: Run, pi: Pi) -> None:
    run_module("backup_service", **GIVEN, _password=PASSWORD)
    result = run_module("backup_service", **GIVEN, _password="another password")
    assert result["failed"] and "is not the one in backup_password_folder" in result["msg"]
    assert PASSWORD not in result["msg"] and "another password" not in result["msg"]
    assert (pi.service.folder / "password").read_text() == PASSWORD


@pytest.mark.parametrize("failing", ["daemon-reload", "enable", "restart"])
def test_a_timer_that_cannot_be_started_is_told(run_module: Run, pi: Pi, failing: str) -> None:
    pi.failing = failing
    result = run_module("backup_service", **GIVEN, _password=PASSWORD)
    assert result["failed"] and result["msg"] == f"systemctl {failing} failed: it failed."
    pi.failing = ""
    # The files are there by now, and the timer still does not run.
    run_module("backup_service", **GIVEN, _password=PASSWORD)
    assert pi.done[-1] == f"systemctl restart {UNIT}.timer"


def test_a_folder_that_is_a_file_is_told(run_module: Run, pi: Pi) -> None:
    pi.service.folder.write_text("")
    assert "is not a folder" in run_module("backup_service", **GIVEN, _password=PASSWORD)["msg"]


# The laptop ---------------------------------------------------------------------------------------------------------


def plugin(folder: Path, *, has_password: bool = False, check_mode: bool = False) -> tuple[Any, list[Json]]:
    """Give the action plugin with this folder of passwords, and what it gives the module."""
    module = load_plugin("backup_service")
    action = module.ActionModule.__new__(module.ActionModule)
    given: list[Json] = []

    def execute(module_name: str, module_args: Json, task_vars: Json | None) -> Json:
        given.append(module_args)
        return {"changed": False, "_has_password": has_password}

    arguments = {**GIVEN, "password_folder": str(folder)}
    action._task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0)
    action._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/tmp"))
    action._loader = DataLoader()
    action._execute_module = execute
    return action, given


def test_the_laptop_makes_a_password_once(tmp_path: Path) -> None:
    folder = tmp_path / "backup-passwords"
    action, given = plugin(folder)
    action.run(task_vars={})
    path = folder / "pi-orchard"
    made = path.read_text().strip()
    assert len(made) == 32 and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.get("_ask", False) for one in given] == [True, False] and given[1]["_password"] == made
    action, given = plugin(folder)
    action.run(task_vars={})
    assert [one["_password"] for one in given] == [made]
    assert "password_folder" not in given[0]


def test_check_mode_makes_none(tmp_path: Path) -> None:
    action, given = plugin(tmp_path / "passwords", check_mode=True)
    assert not action.run(task_vars={}).get("failed")
    assert given[1]["_password"] == "" and not (tmp_path / "passwords").exists()


def test_a_laptop_that_has_lost_the_password_makes_no_other_one(tmp_path: Path) -> None:
    action, _ = plugin(tmp_path / "passwords", has_password=True)
    result = action.run(task_vars={})
    assert result["failed"] and "this laptop has none" in result["msg"]
    assert not (tmp_path / "passwords").exists()


def test_a_password_may_be_encrypted(tmp_path: Path) -> None:
    secret = VaultSecret(b"of the vault")
    path = tmp_path / "pi-orchard"
    path.write_bytes(VaultLib([("default", secret)]).encrypt(PASSWORD))
    action, given = plugin(tmp_path)
    action._loader.set_vault_secrets([("default", secret)])
    action.run(task_vars={})
    assert given[0]["_password"] == PASSWORD


@pytest.mark.parametrize("content", ["short\n", "two lines of\na password\n"])
def test_what_is_no_password_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "pi-orchard").write_text(content)
    action, given = plugin(tmp_path)
    result = action.run(task_vars={})
    assert result["failed"] and result["msg"].startswith("Nothing was changed. The value for ")
    assert content.strip() not in result["msg"] and not given
