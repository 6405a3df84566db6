"""`make fleet`: five answers become an inventory that the check of the inventory accepts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from new_fleet import answers
from new_fleet.answers import AnswerError, Answers

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / "inventory" / "example" / "group_vars" / "pis.yml").read_text("utf-8")
GIVEN = Answers({"pi-orchard": "pi-orchard.local"}, "anna", sudo_asks=True, archives=None, has_32_bit=False)


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Answer the questions in a checkout that has an example only."""
    if not (folder / "inventory").exists():
        shutil.copytree(ROOT / "inventory" / "example", folder / "inventory" / "example")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "new_fleet"]
    return subprocess.run(
        command, cwd=folder, env=environment, input="\n".join([*words, ""]), capture_output=True, text=True, check=False
    )


def test_five_answers_are_an_inventory_that_ansible_reads(tmp_path: Path) -> None:
    done = make(tmp_path, "on", "pi-orchard, pi-marsh=192.168.1.22", "anna", "y", "", "n")
    assert done.returncode == 0, done.stderr
    assert "'on' is no name for a Pi" in done.stdout
    assert "ssh anna@pi-orchard.local" in done.stdout and "site.yml --ask-become-pass" in done.stdout
    hosts = yaml.safe_load((tmp_path / "inventory/fleet/hosts.yml").read_text())
    assert hosts["pis"]["hosts"]["pi-marsh"] == {"ansible_host": "192.168.1.22"}
    settings = yaml.safe_load((tmp_path / "inventory/fleet/group_vars/pis.yml").read_text())
    assert settings["lizmap_web_client"] == "none" and "lizmap_archive" not in settings
    # Nothing of the example's own Pis.
    assert sorted(path.name for path in (tmp_path / "inventory/fleet").iterdir()) == ["group_vars", "hosts.yml"]
    assert [path.name for path in (tmp_path / "inventory/fleet/group_vars").iterdir()] == ["pis.yml"]


def test_a_fleet_that_is_there_stays(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "inventory" / "fleet").mkdir()
    (tmp_path / "inventory" / "fleet" / "hosts.yml").write_text("mine\n")
    done = make(tmp_path, "pi-b", "anna", "y", "", "n")
    assert done.returncode == 1 and "stays as it is" in done.stderr
    assert (tmp_path / "inventory" / "fleet" / "hosts.yml").read_text() == "mine\n"


def test_who_ends_it_early_has_written_nothing(tmp_path: Path) -> None:
    done = make(tmp_path, "pi-a", "anna")
    assert done.returncode == 1 and "Nothing was written." in done.stderr
    assert [path.name for path in (tmp_path / "inventory").iterdir()] == ["example"]


def test_archives_and_32_bit_pis_are_in_the_settings() -> None:
    chosen = Answers({}, "anna", sudo_asks=False, archives=("/l'été/a.zip", "b.zip"), has_32_bit=True)
    settings = yaml.safe_load(answers.settings(chosen, EXAMPLE))
    assert settings["lizmap_archive"] == "/l'été/a.zip" and settings["lizmap_server_plugin"] == "b.zip"
    assert settings["arm_images_profile"] == "bookworm" and "lizmap_web_client" not in settings
    assert "--ask-become-pass" not in answers.next_steps(chosen)


def test_both_archives_are_told_apart_by_their_names() -> None:
    assert answers.archives(" ~/lizmap_server.2.15.zip, ~/lizmap-web-client-3.9.zip ") == (
        "~/lizmap-web-client-3.9.zip",
        "~/lizmap_server.2.15.zip",
    )
    assert answers.archives(" ") is None


@pytest.mark.parametrize(
    "text",
    ["a.zip", "a.zip, b.zip", "lizmap_server.zip", "a.tar, lizmap_server.zip", "a.zip, lizmap_server.zip, c.zip"],
)
def test_half_of_the_archives_is_refused(text: str) -> None:
    with pytest.raises(AnswerError, match="both archives"):
        answers.archives(text)


@pytest.mark.parametrize(
    "text", ["", " , ", "pi orchard", "1pi", "pi-", "off", "pi-a, pi-a", "pi-a=", "pi-a=a b", "pi_a", "pi-a=;rm"]
)
def test_what_names_no_pi_is_refused(text: str) -> None:
    with pytest.raises(AnswerError):
        answers.pis(text)


@pytest.mark.parametrize("text", ["", "Anna", "anna b", "-a", "$(id)"])
def test_what_is_no_user_is_refused(text: str) -> None:
    with pytest.raises(AnswerError):
        answers.user(text)


def test_an_example_without_its_line_is_noticed() -> None:
    with pytest.raises(LookupError):
        answers.settings(GIVEN, EXAMPLE.replace("lizmap_archive:", "archive:"))
