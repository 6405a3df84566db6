"""Secrets are made once, kept, corrected, and never shown."""

from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import host_files

Run = Callable[..., dict[str, Any]]
SECRET = "correct-horse-battery"
NEEDS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")


@pytest.fixture
def secret(run_module: Run, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(check_mode: bool = False, length: int = 32, **fields: Any) -> dict[str, Any]:
        own = {"path": str(tmp_path / "password"), "owner": str(os.getuid()), "group": str(os.getgid()), **fields}
        return run_module("secret_files", check_mode=check_mode, secrets=[own], length=length)

    return run


def test_a_missing_secret_is_made_at_random_and_kept(secret: Run, tmp_path: Path) -> None:
    path = tmp_path / "password"
    predicted = secret(check_mode=True)
    assert predicted["changed"] and not path.exists()
    made = secret(length=40)
    assert made["files"] == predicted["files"] == [{"path": str(path), "action": "created"}]
    content = path.read_text()
    assert len(content) == 40
    assert content.isascii() and "\n" not in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert content not in json.dumps(made)
    again = secret()
    assert not again["changed"]
    assert path.read_text() == content
    assert [p.name for p in tmp_path.iterdir()] == ["password"]


def test_a_given_value_is_set_and_changed_and_never_shown(secret: Run, tmp_path: Path) -> None:
    for value, action in ((SECRET, "created"), (SECRET, "unchanged"), (SECRET + "2", "renewed")):
        result = secret(value=value)
        assert result["files"][0]["action"] == action
        assert (tmp_path / "password").read_text() == value
        assert value not in json.dumps({k: v for k, v in result.items() if k != "invocation"})
        assert result["invocation"]["module_args"]["secrets"][0]["value"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


@pytest.mark.field_changed_once
@pytest.mark.parametrize(
    ("before", "fields", "action"),
    [
        (None, {}, "created"),
        (None, {"value": SECRET}, "created"),
        (SECRET, {"value": SECRET + "2"}, "renewed"),
        ("", {}, "renewed"),
        pytest.param(SECRET, {"owner": "1"}, "corrected", marks=NEEDS_ROOT),
        pytest.param(SECRET, {"group": "1"}, "corrected", marks=NEEDS_ROOT),
        (SECRET, {}, "unchanged"),
    ],
)
def test_each_change_is_predicted_and_made_once(
    predict_and_run: Run, tmp_path: Path, before: str | None, fields: dict[str, Any], action: str
) -> None:
    path = tmp_path / "password"
    if before is not None:
        path.write_text(before)
        path.chmod(0o600)
    own = {"path": str(path), "owner": str(os.getuid()), "group": str(os.getgid()), **fields}
    told = ("changed", "files", "reasons", "diff")
    done = predict_and_run("secret_files", told, secrets=[own])
    assert done["files"] == [{"path": str(path), "action": action}]
    assert done["reasons"] == ([] if action == "unchanged" else [f"secret {path}: {action}"])
    assert not predict_and_run("secret_files", told, secrets=[own])["changed"]


def test_an_existing_secret_that_was_not_given_stays(secret: Run, tmp_path: Path) -> None:
    secret(value=SECRET)
    assert not secret()["changed"]
    assert (tmp_path / "password").read_text() == SECRET


def test_mode_and_emptiness_are_corrected(secret: Run, tmp_path: Path) -> None:
    path = tmp_path / "password"
    secret(value=SECRET)
    path.chmod(0o644)
    assert secret()["files"][0]["action"] == "corrected"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == SECRET
    path.write_text("")
    assert secret()["files"][0]["action"] == "renewed"
    assert path.read_text()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("short", "has 5 characters, but at least 12"),
        ("two lines\nof text", "one line"),
        ("caf\u00e9-caf\u00e9-caf\u00e9", "ASCII"),
    ],
)
def test_a_bad_value_is_refused_without_showing_it(secret: Run, tmp_path: Path, value: str, words: str) -> None:
    result = secret(value=value)
    assert result["failed"] and words in result["msg"]
    assert value not in result["msg"]
    assert not (tmp_path / "password").exists()


def test_nothing_is_written_when_one_of_several_is_bad(run_module: Run, tmp_path: Path) -> None:
    own = {"owner": str(os.getuid()), "group": str(os.getgid())}
    good, bad = {"path": str(tmp_path / "a"), **own}, {"path": str(tmp_path / "b"), "value": "short", **own}
    assert run_module("secret_files", secrets=[good, bad])["failed"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_an_error_except_in_check_mode(secret: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "password")
    assert secret(check_mode=True, path=path, owner="no-such-user")["changed"]
    assert "none does not exist" in secret(path=path)["msg"]
    assert "no user named no-such-user" in secret(path=path, owner="no-such-user")["msg"]


def test_what_is_not_a_file_is_left_alone(secret: Run, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("x")
    (tmp_path / "password").symlink_to(target)
    assert "is not a file" in secret(value=SECRET)["msg"]
    assert target.read_text() == "x"


def test_a_secret_that_does_not_fit_on_the_disk_leaves_the_old_one(secret: Run, tmp_path: Path) -> None:
    secret(value=SECRET)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Nothing longer than this can be written now, as on a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        result = secret(value=SECRET + "2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in result["msg"]
    assert [path.read_text() for path in tmp_path.iterdir()] == [SECRET]


@pytest.mark.parametrize("there", ["", SECRET])
def test_what_a_cut_left_is_swept_whether_the_secret_is_there_or_not(secret: Run, tmp_path: Path, there: str) -> None:
    (tmp_path / ".password.abcd_123").write_text("a password")
    (tmp_path / ".other.abcd_123").write_text("not ours")
    if there:
        secret(value=there)
        (tmp_path / ".password.abcd_124").write_text("a password")
    assert secret(check_mode=True, value=SECRET)["changed"] is not bool(there)
    assert (tmp_path / (".password.abcd_124" if there else ".password.abcd_123")).exists()
    secret(value=SECRET)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.abcd_123", "password"]


def test_a_random_secret_is_not_shorter_than_a_given_one_may_be(secret: Run, tmp_path: Path) -> None:
    assert "length must not be smaller than minimum_length" in secret(length=11)["msg"]
    assert secret(length=12)["changed"]


def test_a_path_that_cannot_be_is_a_sentence(secret: Run, tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    assert secret(path=str(path))["msg"] == f"File name too long: {path}."


@pytest.mark.field_changed_once
def test_secrets_like_a_pattern_that_are_not_wanted_any_more_are_removed(predict_and_run: Run, tmp_path: Path) -> None:
    # The last one was left by a loss of power.
    for name in ("user_anna", "user_bruno", "user_chris", "admin", ".user_chris.k3x1_a"):
        (tmp_path / name).write_text(SECRET)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "user_folder").mkdir()
    own = [{"path": str(tmp_path / "user_anna"), "owner": str(os.getuid()), "group": str(os.getgid())}]
    told = ("changed", "files", "reasons", "diff")
    assert not predict_and_run("secret_files", told, secrets=own)["changed"]
    done = predict_and_run("secret_files", told, secrets=own, purge=f"{tmp_path}/user_*")
    gone = [str(tmp_path / name) for name in (".user_chris.k3x1_a", "user_bruno", "user_chris")]
    assert done["reasons"] == [f"secret {path}: removed" for path in gone]
    assert done["diff"] == {"before": dict.fromkeys(gone, "present"), "after": dict.fromkeys(gone, "absent")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["admin", "user_anna", "user_folder"]
    assert not predict_and_run("secret_files", told, secrets=own, purge=f"{tmp_path}/user_*")["changed"]


def test_a_random_secret_is_never_taken_for_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda length: "-" * length)
    made = host_files.random_secret(12)
    assert len(made) == 12 and made[0].isalpha()
