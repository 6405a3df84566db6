"""The card of a Pi's Wi-Fi leads a telephone into it, as somebody or a telephone reads it from paper."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import zxingcpp
from ansible.module_utils.poppyfield.hotspot.card import JoiningCard
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from PIL import Image, ImageDraw
from pypdf import PdfReader

Json = dict[str, Any]
Run = Callable[..., Json]
SSID = 'Verger; "été", a:b\\c'
PASSWORD = "p;,:\"\\ <b>&'x"
DOTS = 6
"""Of the picture, for each square of a code."""


@pytest.fixture
def write(run_plugin: Run, tmp_path: Path) -> Run:
    """Have the card of a Pi written beside the passwords."""
    (tmp_path / "passwords").mkdir()
    (tmp_path / "passwords" / "pi-orchard").write_text(f"{PASSWORD}\n")

    def run(**other: Any) -> Json:
        given = {"host": "pi-orchard", "ssid": SSID, "password_folder": str(tmp_path / "passwords")}
        return run_plugin("hotspot_card", **{**given, "folder": str(tmp_path / "cards"), **other})

    return run


def page(tmp_path: Path, language: str = "en") -> str:
    return (tmp_path / "cards" / f"pi-orchard.{language}.html").read_text("utf-8")


def scanned(picture: Image.Image) -> str:
    """Read a QR code as a telephone does, by a library that has nothing to do with the one that wrote it."""
    return str(zxingcpp.read_barcodes(picture.convert("RGB"))[0].text)


def drawn(svg: str) -> Image.Image:
    """Draw a code that is horizontal strokes, one square high."""
    size = re.search(r"width=.(\d+)", svg)
    scale = re.search(r"scale\((\d+)\)", svg)
    path = re.search(r" d=[\"']([^\"']+)", svg)
    assert size and scale and path
    squares = int(size[1]) // int(scale[1])
    picture = Image.new("L", (squares * DOTS, squares * DOTS), 255)
    draw, x, y = ImageDraw.Draw(picture), 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([-\d. ]+)", path[1]):
        values = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if command == "h":
            top = (y - 0.5) * DOTS
            draw.rectangle((x * DOTS, top, (x + values[0]) * DOTS - 1, top + DOTS - 1), fill=0)
            x += values[0]
        else:
            x, y = (values[0], values[1]) if command == "M" else (x + values[0], y + values[1])
    return picture


def joined(code: str) -> tuple[str, str, str]:
    """Take a code apart as telephones do: fields end at a semicolon that no backslash stands before."""
    assert code.startswith("WIFI:") and code.endswith(";;")
    fields = dict(re.findall(r"([TSP]):((?:\\.|[^;\\])*);", code.removeprefix("WIFI:")))
    # ZXing's rule: of these five each has one.
    assert not [value for value in fields.values() if re.search(r"[;,:\"]", re.sub(r"\\.", "", value))]
    return tuple(re.sub(r"\\(.)", r"\1", fields.get(name, "")) for name in "TSP")  # type: ignore[return-value]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_both_codes_are_read_from_page_and_paper(write: Run, tmp_path: Path, language: str) -> None:
    result = write(language=language)
    assert result["changed"] and PASSWORD not in str(result)
    files = list((tmp_path / "cards").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    text = page(tmp_path, language)
    pictures = [unquote(code) for code in re.findall(r"data:image/svg\+xml[^,]*,([^\"]+)", text)]
    codes = [scanned(drawn(picture)) for picture in pictures]
    assert joined(codes[0]) == ("WPA", SSID, PASSWORD) and codes[1] == "http://map.internal/"
    assert "<b>&" not in text, "a password is no markup"
    (sheet,) = PdfReader(tmp_path / "cards" / f"pi-orchard.{language}.pdf").pages
    assert SSID in sheet.extract_text() and PASSWORD in sheet.extract_text()
    printed = [scanned(one.image) for one in sheet.images if one.image]
    assert printed == codes


@pytest.mark.parametrize("text", ["plain", "a;b", "a,b", "a:b", 'a"b', "a\\b", "a\\,b", "\\;", "T:nopass;;", " é漢 "])
def test_awkward_characters_come_out_as_they_went_in(text: str) -> None:
    assert joined(JoiningCard("pi", text, text * 4).wifi) == ("WPA", text, text * 4)


def test_an_open_wifi_is_joined_without_a_password(write: Run, tmp_path: Path) -> None:
    write(open=True)
    assert joined(JoiningCard("pi", SSID).wifi) == ("nopass", SSID, "")
    assert PASSWORD not in page(tmp_path) and "It has no password" in page(tmp_path)


def test_a_card_is_written_when_it_says_something_else(write: Run, tmp_path: Path) -> None:
    assert write(check_mode=True)["changed"] and not (tmp_path / "cards").exists()
    write()
    before = (tmp_path / "cards" / "pi-orchard.en.pdf").read_bytes()
    assert not write()["changed"] and (tmp_path / "cards" / "pi-orchard.en.pdf").read_bytes() == before
    assert write(password="correct horse battery")["changed"]
    assert PASSWORD not in PdfReader(tmp_path / "cards" / "pi-orchard.en.pdf").pages[0].extract_text()


def test_an_encrypted_password_is_on_it_as_it_is(write: Run, tmp_path: Path) -> None:
    secret = VaultSecret(b"of the vault")
    (tmp_path / "passwords" / "pi-orchard").write_bytes(VaultLib([("default", secret)]).encrypt("correct horse"))
    loader = DataLoader()
    loader.set_vault_secrets([("default", secret)])
    write(loader=loader)
    assert "correct horse" in page(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"enabled": False}, "Set hotspot_enabled to true"),
        ({"host": "pi-lake"}, "Run site.yml first"),
        ({"ssid": "漢"}, "no letter for 漢"),
        ({"password": "seven77"}, "WPA2 takes 8 to 63"),
        ({"folder": "/proc/cards"}, "Give card_folder a folder that you may write to"),
    ],
)
def test_what_is_missing_is_told(write: Run, tmp_path: Path, given: Json, said: str) -> None:
    result = write(**given)
    assert result["failed"] and said in result["msg"] and "seven77" not in str(result)
    assert not (tmp_path / "cards").exists() or not list((tmp_path / "cards").iterdir())


def test_the_password_is_in_no_representation() -> None:
    assert "horse" not in repr(JoiningCard("pi", "pi", "correct horse"))
