"""loaded_data as Ansible runs it, with a server that only answers the look: what is told before anything is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.poppyfield.containers.engine import Engine, Result
from ansible.module_utils.poppyfield.containers.services import POSTGIS
from ansible.module_utils.poppyfield.containers.spec import MANAGED, RESOURCE

from tests.gallery.dumps import archive, entries, of_stock_container, plain

Run = Callable[..., dict[str, Any]]


class LittleServer:
    """A server with one database; whatever else it is told to do succeeds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.look: dict[str, Any] | None = {
            "name": "gis",
            "owner": "gis",
            "size": 10,
            "postgresql": 17,
            "loaded": None,
            "copies": [],
            "extensions": ["postgis"],
            "relations": ["public.plots"],
            "rights": [],
        }
        self.tables: list[dict[str, Any]] = []
        self.told: list[str] = []

    def container(self, name: str) -> dict[str, Any]:
        mounts = [{"Destination": "/var/lib/postgresql/data", "Source": str(self.folder)}]
        labels = {MANAGED: "true", RESOURCE: POSTGIS.name}
        return {
            "Id": name,
            "Name": f"/{name}",
            "State": {"Running": True},
            "Config": {"Labels": labels},
            "Mounts": mounts,
        }

    def execute(self, container: str, user: str, argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        script = b"".join(chunks).decode()
        self.told.append(script)
        if "'relations'" in script:
            return Result(0, json.dumps(self.look) if self.look else "", "")
        return Result(0, "\n".join(map(json.dumps, self.tables)) if "query_to_xml" in script else "", "")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LittleServer:
    found = LittleServer(tmp_path)
    monkeypatch.setattr(Engine, "connect", lambda: found)
    return found


@pytest.fixture
def load(run_plugin: Run, tmp_path: Path) -> Run:
    """Load one file with this content."""

    def run(name: str, content: bytes | str, **given: Any) -> dict[str, Any]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return run_plugin("loaded_data", **{"database": "gis", "files": [str(path)], **given})

    return run


def table(rows: int = 3) -> dict[str, Any]:
    return {"schema": "public", "name": "plots", "rows": rows, "owner": "gis", "has_key": True, "places": []}


def test_check_mode_tells_what_would_come_and_sends_nothing(server: LittleServer, load: Run) -> None:
    content = plain().replace("    name text", "    name text,\n    geom public.geometry(Point,2154)")
    done = load("office.sql", content, check_mode=True)
    assert done["changed"]
    assert done["msg"] == "gis would hold 1 tables: public.plots (3 rows), Point in EPSG:2154."
    assert len(server.told) == 1


def test_a_load_tells_what_came_and_what_is_kept(server: LittleServer, load: Run) -> None:
    server.tables = [table()]
    done = load("office.sql", plain())
    assert done["changed"], done
    assert done["msg"].startswith(
        "gis holds now 1 tables: public.plots (3 rows). What was there is kept as gis__before_"
    )
    assert "postgresql" not in done
    (loaded_as,) = [script for script in server.told if "COPY public.plots" in script]
    assert loaded_as == plain()


def test_files_that_were_loaded_are_not_loaded_again(server: LittleServer, load: Run) -> None:
    server.tables = [table()]
    load("office.sql", plain())
    (swap,) = [script for script in server.told if "RENAME" in script]
    assert server.look
    server.look["loaded"] = swap.partition("poppyfield.loaded = '")[2].partition("'")[0]
    server.told.clear()
    done = load("office.sql", plain())
    assert not done["changed"] and "already" in done["msg"]
    assert len(server.told) == 1
    assert load("office.sql", plain(), again=True)["changed"]
    # Another content is another load.
    assert load("office.sql", plain(names=("a", "b", "c")))["changed"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("office.sql", plain().encode("latin-1"), "office.sql: line 30 is not UTF-8"),
        ("office.txt", b"x", "its name ends with none of .sql"),
        ("office.dump", plain().encode(), "office.dump: it is SQL, not an archive"),
    ],
)
def test_what_can_not_be_loaded_is_told_before_the_pi_is_asked(
    server: LittleServer, load: Run, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(AnsibleActionFail, match="Nothing was changed") as told:
        load(name, content)
    assert said in str(told.value)
    assert server.told == []


def test_what_the_pis_own_version_can_not_read_is_told_before_anything_is_sent(server: LittleServer, load: Run) -> None:
    assert server.look
    server.look["postgresql"] = 15
    with pytest.raises(AnsibleActionFail, match=r"PostgreSQL 15 reads them up to 1\.14"):
        load("office.dump", archive(entries(), (1, 16), "17.5"))
    assert len(server.told) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"srs": "2154"}, "srs must be like EPSG:2154, not 2154"),
        ({"encoding": "klingon"}, "encoding must be the name of one"),
        ({"files": []}, "-e files=FILE,FILE"),
        ({"files": ["/nowhere/x.dump"]}, "can't be read"),
    ],
)
def test_options_that_can_not_be_are_told(server: LittleServer, load: Run, given: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail) as told:
        load("office.sql", plain(), **given)
    assert said in str(told.value)


def test_an_addition_of_what_is_there_is_refused(server: LittleServer, load: Run) -> None:
    done = load("office.sql", plain(), mode="add", check_mode=True)
    assert done["failed"]
    assert "Nothing was changed: gis has these already: public.plots." in done["msg"]


def test_a_database_that_is_not_there_is_told(server: LittleServer, load: Run) -> None:
    server.look = None
    done = load("office.sql", plain())
    assert done["failed"] and "there is no database gis on this Pi" in done["msg"]


def test_a_load_that_loses_rows_is_no_load(server: LittleServer, load: Run) -> None:
    server.tables = [table(rows=2)]
    done = load("office.sql", plain())
    assert done["failed"] and "public.plots has 2 rows instead of 3" in done["msg"]
    assert not [script for script in server.told if "RENAME" in script]


def test_a_disk_that_is_too_full_is_told_before_anything_is_sent(
    server: LittleServer, load: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible.module_utils.poppyfield.postgis.loading.SPARE_MB", 10**12)
    done = load("office.sql", plain())
    assert done["failed"] and "MB are needed" in done["msg"]
    assert len(server.told) == 1


def test_what_is_left_out_is_told(
    server: LittleServer, load: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load("office.dump", archive(of_stock_container()), check_mode=True)
    said = " ".join(capsys.readouterr().err.split())
    assert "office.dump: left out, since the image does not have it: postgis_tiger_geocoder, tiger, tiger_data." in said


def test_undo_needs_no_file(server: LittleServer, run_plugin: Run) -> None:
    assert run_plugin("loaded_data", database="gis", mode="undo")["failed"]
    assert server.look
    server.look["copies"] = ["gis__before_20260101000000", "gis__before_20260201000000"]
    done = run_plugin("loaded_data", database="gis", mode="undo")
    assert done["msg"].startswith(
        "gis__before_20260201000000 is in place again. What was there is kept as gis__before_"
    )


def test_copies_are_removed_but_for_the_newest(server: LittleServer, load: Run) -> None:
    assert server.look
    server.look["copies"] = ["gis__before_20260101000000", "gis__before_20260201000000"]
    server.tables = [table()]
    load("office.sql", plain(), prune=True)
    removed = [script for script in server.told if "gis__before_2026" in script and "DROP" in script]
    # The newest of before goes only when the new one is there.
    assert removed == ['DROP DATABASE "gis__before_20260101000000";\n', 'DROP DATABASE "gis__before_20260201000000";\n']
    swapped = next(number for number, script in enumerate(server.told) if "RENAME" in script)
    assert server.told.index(removed[0]) < swapped < server.told.index(removed[1])


def test_room_is_asked_for_after_older_copies_are_gone(
    server: LittleServer, load: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.look
    server.look["copies"] = ["gis__before_20260101000000", "gis__before_20260201000000"]
    real = os.statvfs
    full = SimpleNamespace(f_bavail=0, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda path: real(path) if any("DROP" in one for one in server.told) else full)
    server.tables = [table()]
    assert "MB" in load("office.sql", plain())["msg"]
    assert load("office.sql", plain(), prune=True)["changed"]


def test_a_copy_is_the_newest_also_where_the_clock_went_back(server: LittleServer, load: Run) -> None:
    assert server.look
    server.look["copies"] = ["gis__before_29990101000000"]
    server.tables = [table()]
    assert "kept as gis__before_29990101000001" in load("office.sql", plain())["msg"]
