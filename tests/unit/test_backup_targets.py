"""Where backups go: sticks, folders and other machines, what is written there and what is refused."""

from __future__ import annotations

import pytest
from ansible.module_utils.poppyfield.backup import targets
from ansible.module_utils.poppyfield.backup.targets import mount_points

from tests.unit.backup_pi import Pi, destroy, office, pi

__all__ = ["pi"]


def test_a_stick_that_is_not_there_is_told_and_is_no_error_of_the_timer(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    pi.say("devices", "")
    assert pi.run("run", "--by-timer") == 0
    assert pi.run("run") == 1
    assert capsys.readouterr().out.splitlines()[0] == "stick: no stick with the label POPPYFIELD is in this Pi."
    assert pi.state()["state"] == "absent"
    assert not pi.called("restic") and not pi.called("mount")
    # The card is written to once, not every hour.
    at = pi.state()["at"]
    pi.run("run", "--by-timer")
    assert pi.state()["at"] == at


def test_of_two_sticks_with_one_label_none_is_written_to(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.say("devices", "/dev/sda1 /dev/sdb1")
    assert pi.run("run") == 1
    assert "2 sticks have the label POPPYFIELD" in capsys.readouterr().out
    assert not pi.called("mount")


def test_a_folder_is_written_to_only_while_something_is_mounted_there(
    pi: Pi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    office = pi.folder / "office"
    office.mkdir()
    pi.write_settings(targets=[{"name": "office", "folder": str(office)}])
    assert pi.run("run") == 1
    assert f"office: nothing is mounted on {office}" in capsys.readouterr().out
    assert list(office.iterdir()) == []
    monkeypatch.setattr(targets, "mount_points", lambda mountinfo: {str(office)})
    assert pi.run("run") == 0
    assert pi.called(f"mount --bind {office} ")


def test_a_mount_that_was_left_is_taken_away_first(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pi.folder / "run" / "stick"
    seen = [{str(place)}, {str(place)}, set(), set()]
    monkeypatch.setattr(targets, "mount_points", lambda mountinfo: seen.pop(0))
    assert pi.run("run") == 0
    assert len(pi.called("umount ")) == 2


def test_the_stick_of_another_pi_is_left_alone(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    (pi.folder / "password").write_text("another password\n")
    assert pi.run("run") == 1
    assert "made with another password than this Pi's" in capsys.readouterr().out
    assert len(pi.records()) == 1


def test_what_is_no_repository_is_left_alone(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = pi.folder / "run/stick/poppyfield/pi-orchard"
    foreign.mkdir(parents=True)
    assert pi.run("run") == 1
    assert "pi-orchard in poppyfield/ is no backup" in capsys.readouterr().out
    assert list(foreign.iterdir()) == []


def test_mount_points_are_read_with_their_blanks() -> None:
    line = "36 35 8:1 / /mnt/my\\040stick rw,noatime - ext4 /dev/sda1 rw"
    assert mount_points(f"{line}\n") == {"/mnt/my stick"}


@pytest.mark.parametrize(
    ("said", "state", "told"),
    [
        (
            "ssh: connect to host office.example port 22: Connection timed out",
            "absent",
            "office.example does not answer",
        ),
        ("ssh: Could not resolve hostname office.example: Name or service", "absent", "office.example does not answer"),
        ("Host key verification failed.", "failed", "office.example shows another key than host_key"),
        ("b@office.example: Permission denied (publickey).", "failed", "authorized_keys of b there: ssh-ed25519 BBBB"),
        ("Bad owner or permissions", "failed", "office.example: Bad owner or permissions"),
    ],
)
def test_why_a_machine_is_not_reached_is_told(pi: Pi, said: str, state: str, told: str) -> None:
    ssh = pi.folder / "bin" / "ssh"
    ssh.write_text(f"#!/bin/sh\necho \"$@\" >> $FAKE/ssh\necho '{said}' >&2\nexit 255\n")
    ssh.chmod(0o755)
    (pi.folder / "ssh").mkdir()
    (pi.folder / "ssh" / "id_ed25519.pub").write_text("ssh-ed25519 BBBB\n")
    pi.write_settings(targets=[{"name": "office", "sftp": "b@office.example:/srv", "host_key": "ssh-ed25519 AAAA"}])
    assert pi.run("run", "--by-timer") == int(state == "failed")
    assert pi.state("office")["state"] == state and told in pi.state("office")["said"]
    asked = (pi.fake / "ssh").read_text()
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=10", "GlobalKnownHostsFile=none"):
        assert option in asked
    assert not pi.called("mount") and not pi.called("restic")


def test_a_backup_goes_to_another_machine_and_comes_back_from_there(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    store = office(pi)
    assert pi.run("find", "--from", "office") == 1
    assert "there is no backup of pi-orchard." in capsys.readouterr().err
    assert pi.run("run", "--by-timer") == 0 and pi.run("run", "--by-timer") == 0
    assert len(list((store / "poppyfield" / "pi-orchard" / "snapshots").iterdir())) == 10
    assert "sftp.command=ssh -F none -o BatchMode=yes" in pi.called("restic")[-1]
    destroy(pi)
    assert pi.run("restore", "--from", "office") == 0
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "the map"
    capsys.readouterr()
    # There is neither a proof nor a last minute of it.
    assert pi.run("prove") == 1 and "no room for it on another machine" in capsys.readouterr().out
    assert pi.run("find", "--from", "office", "--last-minute") == 0
    assert "without a last minute: none is saved on another machine" in capsys.readouterr().out
    (pi.folder / "password").write_text("another password\n")
    assert pi.run("find", "--from", "office") == 1
    assert "it was made with another password" in capsys.readouterr().err
