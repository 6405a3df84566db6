"""What writes a Pi's page is set up once, and runs there without Ansible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.poppyfield.pi_page import operator_login, program, service
from ansible.module_utils.poppyfield.pi_page.service import DATA_TIMER, GUARD, GUARD_TIMER, TIMER, PiPageService

from tests.doubles.systemd import Systemd

ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]
Run = Callable[..., Json]


class Pi(Systemd):
    """A Pi with systemd."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        for name in ("units", "tmpfiles"):
            (folder / name).mkdir()
        self.service = PiPageService(
            folder / "page",
            folder / "units",
            folder / "tmpfiles",
            folder,
            self.run,
            users=folder / "sysusers",
            password=folder / "operator" / "password",
            random=lambda count: b"s" * count,
        )


@pytest.fixture
def pi(library: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    found = Pi(tmp_path)
    monkeypatch.setattr(library("pi_page"), "PiPageService", lambda: found.service)
    whoever = {"user": os.getuid(), "group": os.getgid()}
    monkeypatch.setattr(library("pi_page").host_files, "_number_of", lambda name, lookup, kind, _: whoever[kind])
    return found


def test_it_is_set_up_once(run_module: Run, pi: Pi) -> None:
    assert run_module("pi_page", check_mode=True, name="pi-orchard")["changed"]
    assert not pi.service.program.exists() and not pi.done
    assert run_module("pi_page", name="pi-orchard")["changed"]
    assert pi.done[0].startswith("systemd-tmpfiles --create")
    restarted = [one.split()[-1] for one in pi.done if "restart" in one]
    assert restarted == [TIMER, DATA_TIMER, GUARD_TIMER, GUARD]
    # Without a password there is nothing of the operator's page.
    assert not pi.service.password.parent.exists() and not any("operator" in one for one in pi.done)
    again = len(pi.done)
    assert not run_module("pi_page", name="pi-orchard")["changed"]
    assert pi.done[again:] == [f"systemctl is-active --quiet {timer}" for timer in (TIMER, DATA_TIMER, GUARD_TIMER)]
    assert run_module("pi_page", name="pi-orchard", front=True)["changed"]


def test_a_pi_gets_each_program(tmp_path: Path) -> None:
    """Ansible packs what a module imports, and not what it only names."""
    command = [sys.executable, "-m", "ansible", "adhoc", "localhost", "--connection", "local", "--check"]
    command += ["--extra-vars", f"ansible_python_interpreter={sys.executable}", "-m", "pi_page", "-a", "name=pi"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert " => " in done.stdout, done.stdout + done.stderr
    reasons = json.loads(done.stdout.partition(" => ")[2])["reasons"]
    for name in ("program", "operator_page", "order_helper", "data_check", "guard"):
        assert any(f"/poppyfield/pi_page/{name}.py" in reason for reason in reasons), name


def test_a_timer_that_does_not_run_is_started_again(run_module: Run, pi: Pi) -> None:
    run_module("pi_page", name="pi")
    pi.active = False
    run_module("pi_page", name="pi")
    assert f"systemctl restart {DATA_TIMER}" in pi.done


def test_a_unit_that_does_not_start_fails_in_a_sentence(run_module: Run, pi: Pi) -> None:
    pi.failing = "restart"
    result = run_module("pi_page", name="pi")
    assert result["failed"] and result["msg"] == "systemctl restart failed: it failed."


def test_the_program_runs_where_there_is_no_ansible(run_module: Run, pi: Pi, tmp_path: Path) -> None:
    """On files alone, with nothing that this environment has; Docker and the map server do not answer."""
    run_module("pi_page", name="pi <orchard>", front=True)
    folder, work = tmp_path / "served", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    text = pi.service.program / "ansible/module_utils/poppyfield/pi_page/program.py"
    written = text.read_text("utf-8")
    for name, place in (("FOLDER", folder), ("WORK_FOLDER", work), ("DOCKER", tmp_path / "no.sock")):
        line = f'\n{name} = "{getattr(program, name)}"\n'
        assert line in written
        written = written.replace(line, f'\n{name} = "{place}"\n')
    text.write_text(written, "utf-8")
    python = Path(sys.executable).resolve()
    done = subprocess.run(
        [python, "-I", "-S", "-B", pi.service.program], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (folder / "status.en.html").read_text("utf-8")
    assert "<h1>pi &lt;orchard&gt;</h1>" in page and "Docker does not answer" in page
    assert (folder / "front.fr.html").is_file()
    health = json.loads((folder / "status.json").read_text("utf-8"))
    assert health["level"] == "broken" and "no_docker" in [one["code"] for one in health["wrong"]]
    assert sorted(path.name for path in work.iterdir()) == ["state.json"]


def test_the_time_between_two_looks_is_less_than_a_minute() -> None:
    settings = dict(line.split("=") for line in service.TIMER_TEXT.splitlines() if "=" in line)
    later = [int(settings[name].removesuffix("s")) for name in ("OnUnitInactiveSec", "AccuracySec")]
    assert sum(later) < 60


OPERATOR = "correct horse battery"


def test_the_operators_page_comes_with_its_password_and_goes_with_it(run_module: Run, pi: Pi) -> None:
    run_module("pi_page", name="pi")
    began = len(pi.done)
    assert run_module("pi_page", check_mode=True, name="pi", operator_password=OPERATOR)["changed"]
    assert not pi.service.password.exists() and len(pi.done) == began
    run_module("pi_page", name="pi", operator_password=OPERATOR)
    done = pi.done[began:]
    assert f"systemd-sysusers {pi.service.users}/poppyfield-operator.conf" in done
    started = [one.split()[-1] for one in done if one.startswith("systemctl restart poppyfield-o")]
    assert started == ["poppyfield-orders.socket", "poppyfield-operator.socket"]
    assert json.loads((pi.service.program / "settings.json").read_text("utf-8"))["operator"] is True
    # Again, nothing is done.
    began = len(pi.done)
    assert not run_module("pi_page", name="pi", operator_password=OPERATOR)["changed"]
    assert all("is-active" in one for one in pi.done[began:])
    # Another password is another one at once.
    run_module("pi_page", name="pi", operator_password=f"{OPERATOR} staple")
    assert "systemctl stop poppyfield-operator.service" in pi.done[began:]
    # It goes as it came.
    began = len(pi.done)
    assert run_module("pi_page", check_mode=True, name="pi")["changed"] and pi.service.password.exists()
    gone = run_module("pi_page", name="pi")
    assert gone["changed"] and f"{pi.service.password}: removed" in " ".join(gone["reasons"])
    assert "systemctl disable --quiet --now poppyfield-operator.socket" in pi.done[began:]
    assert not pi.service.password.exists() and not list(pi.service.units.glob("poppyfield-o*"))
    assert not run_module("pi_page", name="pi")["changed"]


def test_only_a_digest_of_the_password_is_on_the_pi(run_module: Run, pi: Pi, tmp_path: Path) -> None:
    result = run_module("pi_page", name="pi", operator_password=OPERATOR, _ansible_diff=True)
    assert OPERATOR not in json.dumps(result)
    assert pi.service.password.stat().st_mode & 0o777 == 0o600
    assert pi.service.password.parent.stat().st_mode & 0o777 == 0o700
    written = [path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert written and not [text for text in written if OPERATOR in text]
    assert operator_login.is_right(OPERATOR, pi.service.password.read_text("utf-8"))


def test_a_password_that_is_too_short_is_refused(run_module: Run, pi: Pi) -> None:
    result = run_module("pi_page", name="pi", operator_password="short")
    assert result["failed"] and "12 characters" in result["msg"] and not pi.service.program.exists()


def test_both_roles_name_one_folder() -> None:
    assert f"_page_folder: {program.FOLDER}\n" in (ROOT / "roles/lizmap/vars/main.yml").read_text("utf-8")
