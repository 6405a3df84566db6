"""What tells a Pi's position is set up once, runs there without Ansible, and leaves nothing when it is switched off."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.poppyfield.inventory import first_look
from ansible.module_utils.poppyfield.position import program, service
from ansible.module_utils.poppyfield.position.service import UNIT, PositionService

from tests.doubles.systemd import Systemd
from tests.unit.cut_off import removals_cut_off

ROOT = Path(__file__).resolve().parents[2]
DAY = 86400
GIVEN = {"name": "pi-orchard", "device": "/dev/ttyACM0"}
Json = dict[str, Any]
Run = Callable[..., Json]


class Pi(Systemd):
    """A Pi with systemd, gpsd and chrony."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        for name in ("units", "chrony"):
            (folder / name).mkdir()
        (folder / "config.txt").write_text("dtparam=audio=on\n")
        self.folder = folder
        self.service = PositionService(
            *(folder / "lib" / "position", folder / "etc" / "position", folder / "units", folder / "users"),
            *(folder / "chrony", folder / "config.txt", folder / "clock", folder / "bundle.json", folder),
            run=self.run,
        )

    @property
    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.folder)): path.read_text("utf-8")
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def pi(library: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    found = Pi(tmp_path)
    monkeypatch.setattr(library("position_service"), "PositionService", lambda: found.service)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(library("position_service").host_files, "_number_of", lambda name, look, kind, _: whoever[kind])
    return found


def test_it_is_set_up_once_and_leaves_nothing(run_module: Run, pi: Pi) -> None:
    before = pi.files
    assert run_module("position_service", check_mode=True, **GIVEN)["changed"]
    assert pi.files == before and not pi.done
    assert run_module("position_service", **GIVEN)["changed"]
    assert 'DEVICES="/dev/ttyACM0"' in pi.files["etc/position/gpsd"]
    assert json.loads(pi.files["lib/position/settings.json"]) == {"name": "pi-orchard"}
    done = [one.removeprefix("systemctl ") for one in pi.done]
    # chrony listens before gpsd is read, and both before the program that stands between them.
    order = ["restart chrony.service", "stop gpsd.service gpsd.socket", "start gpsd.socket", f"restart {UNIT}"]
    assert [one for one in done if one in order] == order and done[0].startswith("systemd-sysusers")
    began = len(pi.done)
    assert not run_module("position_service", **GIVEN)["changed"]
    assert pi.done[began:] == [f"systemctl is-active --quiet {UNIT}"]
    pi.service.clock.touch()
    began = len(pi.done)
    gone = run_module("position_service", check_mode=True, state="absent")
    assert gone["changed"] and len(pi.done) == began and "etc/position/gpsd" in pi.files
    assert run_module("position_service", state="absent")["reasons"] == gone["reasons"]
    assert pi.files == before
    assert pi.done[began] == f"systemctl disable --quiet --now {UNIT}"
    assert "systemctl try-restart chrony.service" in pi.done[began:]
    assert sorted(path.name for path in pi.service.units.iterdir()) == []
    assert not run_module("position_service", state="absent")["changed"]


def test_a_removal_that_is_cut_off_is_seen_and_made_good(
    run_module: Run, pi: Pi, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pi.files
    run_module("position_service", **GIVEN, rtc="ds3231")
    # Beside the program's folder, which goes as a whole.
    there = [name for name in pi.files if name not in before and not name.startswith("lib/")]
    for count in range(len(there) + 1):
        if count:
            run_module("position_service", **GIVEN, rtc="ds3231")
        with removals_cut_off(monkeypatch, count):
            failed = run_module("position_service", state="absent")
        # What a first look sees.
        assert (pi.service.units / UNIT).exists() or not failed.get("failed")
        run_module("position_service", state="absent")
        assert pi.files == before


def test_the_files_of_others_stay(run_module: Run, pi: Pi) -> None:
    run_module("position_service", **GIVEN)
    own = pi.service.units / "chrony.service.d" / "own.conf"
    own.write_text("[Service]\n")
    run_module("position_service", state="absent")
    assert [str(path.relative_to(pi.service.units)) for path in pi.service.units.rglob("*.conf")] == [
        "chrony.service.d/own.conf"
    ]


def test_another_receiver_is_read_at_once_and_a_new_name_disturbs_neither_gpsd_nor_chrony(
    run_module: Run, pi: Pi
) -> None:
    run_module("position_service", **GIVEN)
    began = len(pi.done)
    run_module("position_service", **{**GIVEN, "device": "/dev/serial0"})
    assert "systemctl start gpsd.socket" in pi.done[began:]
    began = len(pi.done)
    run_module("position_service", name="pi-marsh", device="/dev/serial0")
    done = " ".join(pi.done[began:])
    assert f"restart {UNIT}" in done and "chrony" not in done and "gpsd" not in done


def test_what_does_not_run_is_started_again_and_what_can_not_is_told(run_module: Run, pi: Pi) -> None:
    run_module("position_service", **GIVEN)
    pi.active = False
    run_module("position_service", **GIVEN)
    assert pi.done[-1] == f"systemctl restart {UNIT}"
    pi.active, pi.failing = False, "restart"
    failed = run_module("position_service", **GIVEN)
    assert failed["failed"] and failed["msg"] == "systemctl restart failed: it failed."


def test_a_clock_with_a_battery_is_told_to_the_firmware_and_goes_with_the_rest(
    run_module: Run, pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run_module("position_service", **GIVEN, rtc="ds3231")
    assert "dtoverlay=i2c-rtc,ds3231\n" in pi.files["config.txt"]
    assert "next start of this host" in capsys.readouterr().err + str(done.get("warnings"))
    again = run_module("position_service", **GIVEN, rtc="ds3231")
    assert not again["changed"] and "next start" not in capsys.readouterr().err + str(again.get("warnings"))
    run_module("position_service", state="absent")
    assert pi.files["config.txt"] == "dtparam=audio=on\n"


def test_a_clock_needs_the_settings_of_the_firmware(run_module: Run, pi: Pi) -> None:
    pi.service.firmware.unlink()
    failed = run_module("position_service", **GIVEN, rtc="ds3231")
    assert failed["failed"] and failed["msg"].startswith("Nothing was changed. position_rtc needs ")
    assert not pi.service.program.exists()
    assert run_module("position_service", **GIVEN)["changed"]


def test_what_a_clock_far_ahead_has_written_does_not_refuse_every_date(run_module: Run, pi: Pi) -> None:
    run_module("position_service", **GIVEN)
    settings = pi.service.program / "settings.json"
    pi.service.bundle.touch()
    for path in (settings, pi.service.bundle):
        os.utime(path, (time.time() + 400 * DAY,) * 2)
    assert run_module("position_service", **GIVEN)["changed"]
    assert max(path.stat().st_mtime for path in (settings, pi.service.bundle)) < time.time() + DAY
    assert not run_module("position_service", **GIVEN)["changed"]


def test_a_pi_gets_the_program_and_it_runs_where_there_is_no_ansible(run_module: Run, pi: Pi, tmp_path: Path) -> None:
    """What a module imports Ansible brings; what the program imports must be among it."""
    run_module("position_service", **GIVEN)
    text = pi.service.program / "ansible/module_utils/poppyfield/position/program.py"
    written = text.read_text("utf-8")
    for name, place in (("FOLDER", tmp_path), ("CLOCK", tmp_path / "clock"), ("CHRONY", tmp_path / "none")):
        line = f'\n{name} = "{getattr(program, name)}"\n'
        assert line in written
        written = written.replace(line, f'\n{name} = "{place}"\n')
    # It goes on for ever where nobody ends it.
    written = written.replace(
        "    while True:\n        teller.lose()\n", "    for _ in range(1):\n        teller.lose()\n"
    )
    text.write_text(written.replace('GPSD = ("127.0.0.1", 2947)', 'GPSD = ("127.0.0.1", 1)'), "utf-8")
    python = Path(sys.executable).resolve()
    done = subprocess.run(
        [python, "-I", "-S", "-B", pi.service.program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    answer = json.loads((tmp_path / program.FILE).read_text("utf-8"))
    assert (answer["pi"], answer["state"]) == ("pi-orchard", "no receiver")
    # Imports of the module's own, by Ansible's rule.
    command = [sys.executable, "-m", "ansible", "adhoc", "localhost", "--connection", "local", "--check"]
    command += ["--extra-vars", f"ansible_python_interpreter={sys.executable}", "-m", "position_service"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    told = subprocess.run(
        [*command, "-a", "name=pi device=/dev/null"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "/poppyfield/position/program.py" in told.stdout, told.stdout + told.stderr


def test_the_units_can_be_read_and_name_what_is_there(pi: Pi) -> None:
    texts = {path.name: text for path, text in pi.service.texts("pi", "/dev/ttyACM0").items()}
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(texts[UNIT])
    assert unit["Service"]["User"] == service.USER
    assert f"/run/{unit['Service']['RuntimeDirectory']}" == program.FOLDER
    assert f"/var/lib/{unit['Service']['StateDirectory']}/clock" == program.CLOCK
    # chrony's AppArmor lets it listen at such a name, and gpsd looks for none.
    assert program.CHRONY.startswith("/run/chrony.") and program.CHRONY.endswith(".sock")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_reads_the_units(pi: Pi, tmp_path: Path) -> None:
    """Of the units that stand in for Debian's, what we add is read, too."""
    units = tmp_path / "read"
    for path, text in pi.service.texts("pi", "/dev/ttyACM0").items():
        if pi.service.units in path.parents:
            written = units / path.relative_to(pi.service.units)
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(text.replace("/usr/bin/python3", "/bin/true"))
    for name in ("chrony", "gpsd", "gpsdctl@"):
        (units / f"{name}.service").write_text("[Service]\nExecStart=/bin/true\n")
    (units / "gpsd.socket").write_text("[Socket]\nListenStream=[::1]:2947\n")
    names = [UNIT, "chrony.service", "gpsd.service", "gpsd.socket", "gpsdctl@x.service"]
    command = ["systemd-analyze", "verify", "--man=no", *(str(units / name) for name in names)]
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:/usr/lib/systemd/system"}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stderr
    assert not [line for line in told.splitlines() if str(units) in line], told


NOW = 2_000_000_000


@pytest.mark.parametrize(
    ("kept", "battery", "is_set"),
    [
        (NOW + 100, (), NOW + 100),
        (NOW, (), None),
        (None, (), None),
        (NOW + 100, (NOW + 7200,), NOW + 7200),
        (None, (NOW + 7200,), NOW + 7200),
        # Its battery is empty.
        (NOW + 100, (60, 0), NOW + 100),
        (None, (60,), None),
    ],
)
def test_a_pi_goes_on_when_it_last_knew_the_time_or_when_its_battery_says(
    pi: Pi, tmp_path: Path, kept: int | None, battery: tuple[int, ...], is_set: int | None
) -> None:
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    texts = {path.parent.name: text for path, text in pi.service.texts("pi", "/dev/ttyACM0").items()}
    unit.read_string(texts["chrony.service.d"].replace("\\\n", ""))
    line = unit["Service"]["ExecStartPre"].replace("$$", "$").replace("%%", "%")
    for place, other in ((program.CLOCK, tmp_path / "it"), ("/sys/class/rtc", tmp_path / "rtc")):
        assert place in line
        line = line.replace(place, str(other))
    prefix, words = "-+/bin/sh -c '", line.removesuffix("'")
    assert words.startswith(prefix)
    if kept:
        (tmp_path / "it").touch()
        os.utime(tmp_path / "it", (kept, kept))
    for number, seconds in enumerate(battery):
        (tmp_path / "rtc" / f"rtc{number}").mkdir(parents=True)
        (tmp_path / "rtc" / f"rtc{number}" / "since_epoch").write_text(f"{seconds}\n")
    date = tmp_path / "date"
    date.write_text(f'#!/bin/sh\n[ "$1" = +%s ] && echo {NOW} || echo "$@"\n')
    date.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = ["/bin/sh", "-c", words.removeprefix(prefix)]
    done = subprocess.run(script, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == (f"--utc --set=@{is_set}\n" if is_set else "")


def test_the_first_look_knows_the_unit() -> None:
    assert str(PositionService().units / UNIT) == first_look.POSITION
    assert first_look.POSITION in (ROOT / "playbooks/tasks/provision.yml").read_text("utf-8")
