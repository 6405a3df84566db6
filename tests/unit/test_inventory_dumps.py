"""What keeps a file of the first start from being loaded is told on the laptop, with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.inventory import dumps
from ansible.module_utils.poppyfield.inventory.laptop import ThisLaptop
from ansible.module_utils.poppyfield.inventory.problems import Finding
from ansible.module_utils.poppyfield.postgis.dump_file import DumpFile, DumpKind

from tests.gallery.dumps import LOADED, OWNERS, REFUSED, Case, archive, entries, extension, of_stock_container, plain
from tests.gallery.report import record
from tests.unit.inventory_of import OWN_SETTINGS, FakeLaptop, host, told

LAPTOP = ThisLaptop(OWN_SETTINGS)


def findings(path: Path, profile: str = "trixie") -> list[Finding]:
    given = host(postgis_first_start_files=[str(path)], arm_images_profile=profile)
    return list(dumps.findings(given, LAPTOP))


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", LOADED, ids=lambda case: case.what)
def test_a_file_that_can_be_loaded_is_let_through(case: Case, tmp_path: Path) -> None:
    assert findings(written(tmp_path, case.name, case.make()), case.profile) == []


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.what)
def test_a_file_that_cannot_is_told_once_with_the_remedy(case: Case, tmp_path: Path) -> None:
    path = written(tmp_path, case.name, case.make())
    (found,) = findings(path, case.profile)
    record(
        case.what,
        "dump",
        "laptop, for the postgis image",
        case.told,
        case.told if case.told in found.wrong else found.wrong,
    )
    assert found.variable == "postgis_first_start_files"
    assert case.told in found.wrong
    assert found.remedy
    assert str(path) in found.value


REMEDIES: list[tuple[str, Callable[[], bytes], str]] = [
    ("gis.sql", lambda: plain().encode("latin-1"), "iconv -f WINDOWS-1252 -t UTF-8 gis.sql > NEW"),
    ("gis.sql", lambda: plain().encode("utf-16"), "iconv -f UTF-16 -t UTF-8 gis.sql > NEW"),
    ("gis.sql", lambda: archive(entries()), "Rename it to gis.dump"),
    ("10-gis.a.sql.gz", lambda: plain().encode(), "Rename it to 10-gis.a.sql"),
    ("gis.dump", lambda: archive([], (1, 17)), "pg_restore --no-owner --file=gis.sql gis.dump"),
    ("gis.dump", lambda: archive(entries(collation="x")), "pg_restore --no-owner --file=gis.sql gis.dump"),
    ("gis.sql", lambda: plain(before=extension("adminpack")).encode(), "remove CREATE and COMMENT ON EXTENSION"),
]


@pytest.mark.parametrize(("name", "make", "words"), REMEDIES)
def test_the_remedy_can_be_done_as_it_stands(name: str, make: Callable[[], bytes], words: str, tmp_path: Path) -> None:
    (found,) = findings(written(tmp_path, name, make()))
    assert words in found.remedy


def test_what_another_profile_has_is_let_through_and_named(tmp_path: Path) -> None:
    path = written(tmp_path, "gis.sql", plain(before=extension("adminpack")).encode())
    assert findings(path, "bookworm") == []
    newer = written(tmp_path, "gis.dump", archive(entries(), (1, 16), "17.5"))
    (found,) = findings(newer, "bookworm")
    assert found.remedy.endswith("or set arm_images_profile to trixie")


def test_several_things_are_told_together(tmp_path: Path) -> None:
    text = plain(before=extension("adminpack"), collation="French_France.1252").encode("latin-1")
    said = " ".join(found.wrong for found in findings(written(tmp_path, "gis.sql", text)))
    assert all(words in said for words in ("not UTF-8", "French_France.1252", "adminpack"))


def test_a_file_that_is_not_there_or_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    assert findings(tmp_path / "gis.sql") == []
    assert len(told(FakeLaptop(missing=["/x/gis.sql"]), postgis_first_start_files=["/x/gis.sql"])) == 1
    unreadable = FakeLaptop(dumps={"/x/gis.sql": DumpFile(broken="it can't be read (Permission denied)")})
    found = told(unreadable, postgis_first_start_files=["/x/gis.sql", "/x/no name.txt"])
    assert len(found) == 2
    assert "it can't be read (Permission denied)" in found[1]


def test_the_check_of_the_inventory_looks_into_the_files() -> None:
    laptop = FakeLaptop(dumps={"/x/gis.sql": DumpFile(DumpKind.UTF16)})
    (found,) = told(laptop, postgis_first_start_files=["/x/gis.sql"])
    assert found.startswith("postgis_first_start_files: it is in UTF-16")


def test_what_files_say_of_themselves_is_shown_once_for_all_pis(tmp_path: Path) -> None:
    path = written(tmp_path, "10-gis.sql", plain("12.22", before=extension("postgis"), after=OWNERS).encode())
    given = host(postgis_first_start_files=[str(path)])
    roles = "Ann B., ann, guest, old-clerk, reader, surveyor"
    assert dumps.summaries([given, given], LAPTOP) == [
        f"10-gis.sql: SQL by pg_dump 12.22; roles {roles}; extensions postgis"
    ]


def test_what_of_an_archive_is_left_out_is_warned_of_once(tmp_path: Path) -> None:
    path = written(tmp_path, "10-gis.dump", archive(of_stock_container()))
    given = host(postgis_first_start_files=[str(path), str(written(tmp_path, "20-gis.sql", plain().encode()))])
    said = "10-gis.dump: left out, since the image does not have it: postgis_tiger_geocoder, tiger, tiger_data."
    assert dumps.warnings([given, given], LAPTOP) == [said]


@pytest.mark.parametrize(
    ("dump", "megabytes"),
    [
        # Itself, the rows, and their indexes.
        ({"size": 100, "plain_size": 100}, 300),
        ({"size": 10, "plain_size": 100, "gzipped": True}, 210),
        ({"kind": DumpKind.ARCHIVE, "size": 100, "plain_size": 100}, 700),
    ],
)
def test_the_room_that_files_need(dump: dict[str, Any], megabytes: int) -> None:
    sizes = {name: dump[name] * 1024 * 1024 for name in ("size", "plain_size")}
    name = "/x/gis.dump" if "kind" in dump else "/x/gis.sql.gz" if "gzipped" in dump else "/x/gis.sql"
    laptop = FakeLaptop(dumps={name: DumpFile(**{**dump, **sizes})})
    assert dumps.room_mb(host(postgis_first_start_files=[name]), laptop) == megabytes
    assert dumps.room_mb(host(), laptop) == 0


PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def messages() -> list[re.Pattern[str]]:
    """Give the messages of the page, which has ... for what differs."""
    of_dumps = PAGE.read_text("utf-8").partition("## Load data later")[0]
    rows = re.findall(r"^\| `(it .*?|line .*?)` \|", of_dumps, re.MULTILINE)
    return [re.compile(re.escape(row).replace(re.escape("..."), ".+")) for row in rows]


def test_the_page_has_every_message_and_no_other(tmp_path: Path) -> None:
    said: set[str] = set()
    for number, case in enumerate(REFUSED):
        folder = tmp_path / str(number)
        folder.mkdir()
        said |= {found.wrong for found in findings(written(folder, case.name, case.make()), case.profile)}
    assert [one for one in said if not any(row.fullmatch(one) for row in messages())] == []
    assert [row.pattern for row in messages() if not any(row.fullmatch(one) for one in said)] == []
