"""A Pi's lock for a whole run: who is refused, who is not, and how it ends."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import own_folder
from ansible.module_utils.poppyfield.runs import lock, who
from ansible.module_utils.poppyfield.runs.lock import LEASE_SECONDS, Held, LockError

from tests.unit.conftest import load_plugin

Json = dict[str, Any]
Run = Callable[..., Json]
NOW = 1_000.0
ANNE: Json = {"by": "anne@heron", "playbook": "site.yml", "commit": "1f0c", "machine": "heron", "process": "7-1"}
BOB: Json = {"by": "bob@egret", "playbook": "rollback.yml", "commit": "", "machine": "egret", "process": "8-1"}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return where the lock of a host of its own is."""
    monkeypatch.setattr(lock, "FOLDER", tmp_path / "poppyfield")
    return tmp_path / "poppyfield"


def held(run: Json, seen: float = NOW) -> Held:
    return lock.renewed(None, run, seen, clock=0)


def test_another_run_is_refused_in_a_sentence_that_names_the_holder_and_the_remedy() -> None:
    said = lock.refusal(held(ANNE), BOB, NOW + 180)
    assert said.startswith(
        "anne@heron has been working on this Pi since 1970-01-01 00:00 UTC (site.yml, last sign 3 min"
    )
    assert "-e take_lock=true" in said and said.endswith("it ends by itself in 27 minutes.")


@pytest.mark.parametrize(
    ("there", "run", "now"),
    [
        (None, BOB, NOW),
        (held(ANNE), ANNE, NOW),
        (held(ANNE), {**BOB, "take_over": True}, NOW),
        (held(ANNE), BOB, NOW + LEASE_SECONDS),
        (held(ANNE), BOB, NOW - 1),
        (held(ANNE), {**ANNE, "process": "9-5", "living": ["9-5"]}, NOW),
    ],
    ids=[
        "nobody",
        "the same run",
        "taken over",
        "no sign for long",
        "from before a restart",
        "its laptop's run is over",
    ],
)
def test_who_may_take_it(there: Held | None, run: Json, now: float) -> None:
    assert lock.refusal(there, run, now) == ""


def test_a_run_of_the_same_laptop_that_goes_on_is_in_the_way() -> None:
    again = {**ANNE, "process": "9-5", "living": ["7-1", "9-5"]}
    assert "anne@heron has been working" in lock.refusal(held(ANNE), again, NOW)


def test_the_first_look_stays_when_the_lock_is_renewed() -> None:
    first = held(ANNE)
    assert lock.renewed(first, ANNE, NOW + 5, clock=9_000) == Held(**{**vars(first), "seen": NOW + 5})
    assert lock.renewed(first, BOB, NOW + 5, clock=9_000).since == "1970-01-01 02:30 UTC"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seen": "x"}', '{"seen": 1, "by": "anne"', "[" * 9000])
def test_a_damaged_lock_locks_nobody_out(text: str) -> None:
    assert lock.parse(text) is None


def test_what_it_says_gives_a_terminal_no_orders_and_is_short() -> None:
    text = json.dumps({**ANNE, "by": "\x1b[2Jan\nne" + "x" * 500, "since": "", "seen": 1.0})
    found = lock.parse(text)
    assert found is not None and found.by.startswith("an ne") and len(found.by) == 80


def test_two_runs_do_not_get_it_and_the_second_takes_it_over_for_good(folder: Path) -> None:
    lock.take(ANNE)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(LockError, match="anne@heron"):
        lock.take(BOB)
    lock.take({**BOB, "take_over": True})
    # What the first one does next is refused in turn, and it can't let go of what is not its own.
    with pytest.raises(LockError, match="bob@egret"):
        lock.take(ANNE)
    lock.let_go(ANNE)
    with pytest.raises(LockError, match="bob@egret"):
        lock.take(ANNE)
    lock.let_go(BOB)
    lock.let_go(BOB)
    lock.take(ANNE)
    assert [path.name for path in folder.iterdir()] == [lock.NAME]


def test_without_a_run_there_is_no_lock(folder: Path) -> None:
    lock.take(None)
    lock.let_go({})
    assert not folder.exists()


def test_a_folder_that_is_not_ones_own_is_told(folder: Path) -> None:
    folder.symlink_to("/tmp")
    with pytest.raises(LockError, match="is not a folder of this user"):
        lock.take(ANNE)
    folder.unlink()
    folder.write_text("")
    with pytest.raises(LockError, match="cannot be kept in"):
        lock.take(ANNE)


def test_a_folder_that_others_may_enter_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    own_folder.ensure(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_the_module_takes_it_and_lets_it_go_and_check_mode_does_neither(folder: Path, run_module: Run) -> None:
    run_module("run_lock", state="taken", run=ANNE, check_mode=True)
    assert not folder.exists()
    run_module("run_lock", state="taken", run=ANNE)
    refused = run_module("run_lock", state="taken", run=BOB)
    assert refused["failed"] and refused["msg"].startswith("Nothing was done. anne@heron has been working on this Pi")
    assert not run_module("run_lock", state="released", run=BOB).get("failed")
    assert (folder / lock.NAME).exists()
    run_module("run_lock", state="released", run=ANNE)
    assert not (folder / lock.NAME).exists()


def test_the_command_that_lets_go_removes_the_lock_of_its_run_alone(folder: Path) -> None:
    plugin = load_plugin("run_lock")
    for run, left in ((BOB, True), (ANNE, False), (ANNE, False)):
        if left:
            lock.take(ANNE)
        subprocess.run(["sh", "-c", plugin.command()], input=plugin.given_to_it(run), check=True)
        assert (folder / lock.NAME).exists() == left
    folder.rmdir()
    subprocess.run(["sh", "-c", plugin.command()], input=plugin.given_to_it(ANNE), check=True)


@pytest.mark.parametrize("name", ["delivered_image", "previous_container", "postgis_container"])
def test_a_module_that_changes_a_pi_is_refused_while_another_run_has_the_lock(
    folder: Path, run_module: Run, tmp_path: Path, name: str
) -> None:
    arguments: Json = {
        "delivered_image": {"name": "poppyfield/x:trixie-arm64-1", "digest": "1"},
        "previous_container": {"state": "restored"},
        "postgis_container": {"image": "poppyfield/postgis:trixie-arm64-1", "data_folder": str(tmp_path)},
    }
    lock.take(ANNE)
    done = run_module(name, run=BOB, **arguments[name])
    assert done["failed"] and "anne@heron has been working on this Pi" in done["msg"], done


def test_the_first_look_locks_a_pi_that_has_no_problem(
    folder: Path, run_module: Run, library: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"/etc/os-release": "ID=debian\nVERSION_ID=13\n", "/proc/meminfo": "MemTotal: 3900000 kB\n"}
    module = library("host_requirements")
    monkeypatch.setattr(module, "text_of", lambda path: files.get(path, ""))
    monkeypatch.setattr(module, "said_by", lambda argv: "arm64\n" if argv[0] == "dpkg" else "")
    for given in ({"memory_mb": 64_000}, {"check_mode": True}):
        done = run_module("host_requirements", run=ANNE, check=False, **given)
        assert done["ansible_facts"]["poppyfield_pi"]["run"] == {} and not folder.exists()
    done = run_module("host_requirements", run=ANNE)
    assert done["ansible_facts"]["poppyfield_pi"]["run"] == ANNE and (folder / lock.NAME).exists()
    refused = run_module("host_requirements", run=BOB)
    assert refused["failed"] and len(refused["problems"]) == 1 and "anne@heron" in refused["msg"]
    assert run_module("host_requirements").get("failed") is None


def test_a_run_tells_who_makes_it_and_its_workers_tell_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anne")
    told = who.describe({}, ["playbooks/site.yml"])
    assert told["by"].startswith("anne@") and told["playbook"] == "site.yml" and told["take_over"] is False
    assert told["process"].startswith(f"{os.getpid()}-")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(who.identity) == {name: told[name] for name in ("machine", "process")}
    assert who.describe({"awx_user_name": "bob"}, [])["by"].startswith("bob@")


def test_a_run_names_its_commit_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert who.commit(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert head.startswith(who.commit(tmp_path)) and len(who.commit(tmp_path)) >= 12
    monkeypatch.setenv("PATH", str(tmp_path))
    assert who.commit(tmp_path) == ""


def test_a_process_of_a_run_is_among_the_living_until_it_ends() -> None:
    running = subprocess.Popen(["sleep", "60"], executable="/bin/sleep")
    named = subprocess.Popen(["ansible-playbook", "60"], executable="/bin/sleep")
    try:
        names = {process: who._process(process.pid) for process in (running, named)}
        assert names[named] in who.describe({}, [])["living"]
        assert names[running] not in who.describe({}, [])["living"]
    finally:
        for process in (running, named):
            process.kill()
            process.wait()
    assert names[named] not in who.describe({}, [])["living"]
