"""The emergency sheet holds what one needs when the card is dead, as somebody or a telephone reads it from paper."""

from __future__ import annotations

import base64
import io
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from PIL import Image
from pypdf import PdfReader

from tests.documented import ROOT

Json = dict[str, Any]
Run = Callable[..., Json]
PASSWORD = "aB3-_<b>&'x\"xyzabcdefghijklmnopq"
TARGETS = [{"name": "stick", "label": "POPPYFIELD"}, {"name": "office", "folder": "/mnt/office"}]


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    (tmp_path / "passwords").mkdir()
    (tmp_path / "passwords" / "pi-orchard").write_text(f"{PASSWORD}\n")
    return tmp_path / "passwords"


@pytest.fixture
def write(run_plugin: Run, passwords: Path) -> Run:
    """Have the sheet of a Pi written beside the passwords."""

    def run(**other: Any) -> Json:
        given = {"host": "pi-orchard", "targets": TARGETS, "password_folder": str(passwords)}
        return run_plugin("emergency_sheet", **{**given, "folder": str(passwords.parent / "sheets"), **other})

    return run


def files(passwords: Path) -> dict[str, Path]:
    return {path.suffix: path for path in (passwords.parent / "sheets").iterdir()}


def scanned(picture: Image.Image) -> str:
    """Read a QR code as a telephone does, by a library that has nothing to do with the one that wrote it."""
    return str(zxingcpp.read_barcodes(picture.convert("RGB"))[0].text)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_password_is_read_from_page_and_paper(write: Run, passwords: Path, language: str) -> None:
    result = write(language=language)
    assert result["changed"] and PASSWORD not in str(result)
    found = files(passwords)
    assert {stat.S_IMODE(path.stat().st_mode) for path in found.values()} == {0o600}
    page = found[".html"].read_text("utf-8")
    picture = re.search(r"data:image/png;base64,([^\"]+)", page)
    assert picture and scanned(Image.open(io.BytesIO(base64.b64decode(picture[1])))) == PASSWORD
    assert "<b>&" not in page, "a password is no markup"
    sheets = PdfReader(found[".pdf"]).pages
    assert len(sheets) == 1, "half of a sheet gets lost"
    assert PASSWORD in sheets[0].extract_text()
    printed = sheets[0].images[0].image
    assert printed and scanned(printed) == PASSWORD


@pytest.mark.parametrize("language", ["en", "fr"])
def test_its_commands_are_those_of_the_documentation(write: Run, passwords: Path, language: str) -> None:
    write(language=language)
    paper = " ".join(PdfReader(files(passwords)[".pdf"]).pages[0].extract_text().split())
    documentation = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("backup.md", "restore.md"))
    for command in (
        "ansible-playbook site.yml --limit pi-orchard -e restore_from=stick",
        "sudo /usr/local/lib/poppyfield/backup restore --from stick",
        "sudo /usr/local/lib/poppyfield/backup finish",
        "sudo mount LABEL=POPPYFIELD /mnt",
        "/mnt/poppyfield/pi-orchard",
    ):
        assert command in paper and command in documentation, command
    assert "sudo restic --repo /mnt/office/poppyfield/pi-orchard snapshots" in paper


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_machine_that_is_reached_by_sftp_is_on_it(write: Run, passwords: Path, language: str) -> None:
    write(language=language, targets=[*TARGETS, {"name": "far", "sftp": "b@office.example:/srv", "host_key": "x"}])
    sheets = PdfReader(files(passwords)[".pdf"]).pages
    assert len(sheets) == 1
    assert "restic --repo sftp:b@office.example:/srv/poppyfield/pi-orchard" in " ".join(
        sheets[0].extract_text().split()
    )


def test_a_sheet_is_written_when_it_says_something_else(write: Run, passwords: Path) -> None:
    assert write(check_mode=True)["changed"] and not (passwords.parent / "sheets").exists()
    write()
    before = files(passwords)[".pdf"].read_bytes()
    assert not write()["changed"] and files(passwords)[".pdf"].read_bytes() == before
    assert write(targets=TARGETS[:1])["changed"]
    assert "/mnt/office" not in PdfReader(files(passwords)[".pdf"]).pages[0].extract_text()


def test_an_encrypted_password_is_on_it_as_it_is(write: Run, passwords: Path) -> None:
    secret = VaultSecret(b"of the vault")
    (passwords / "pi-orchard").write_bytes(VaultLib([("default", secret)]).encrypt(PASSWORD))
    loader = DataLoader()
    loader.set_vault_secrets([("default", secret)])
    write(loader=loader)
    assert PASSWORD in PdfReader(files(passwords)[".pdf"]).pages[0].extract_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"targets": []}, "Name where they are to go in backup_targets"),
        ({"host": "pi-lake"}, "Run site.yml first"),
        ({"targets": [{"name": "office", "folder": "/mnt/Ω"}]}, "no letter for Ω"),
        ({"folder": "/proc/sheets"}, "Give sheet_folder a folder that you may write to"),
    ],
)
def test_what_is_missing_is_told(write: Run, passwords: Path, given: Json, said: str) -> None:
    result = write(**given)
    assert result["failed"] and said in result["msg"], result
    assert not (passwords.parent / "sheets").exists() or not files(passwords)


@pytest.mark.parametrize("folder", ["backup-passwords", "hotspot-passwords"])
def test_the_passwords_beside_an_inventory_are_no_hosts(tmp_path: Path, folder: str) -> None:
    (tmp_path / "hosts.yml").write_text("pis: {hosts: {pi-orchard: }}\n")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "pi-orchard").write_text("aB3-_xyzabcdefghijklmnopqrstuvw\n")
    command = [sys.executable, "-m", "ansible", "inventory", "--inventory", str(tmp_path), "--list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pi-orchard" in done.stdout and "xyz" not in done.stdout + done.stderr
