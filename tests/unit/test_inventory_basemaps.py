"""What keeps a base map from being delivered is told on the laptop, and the room that it needs is asked of the Pi."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.basemaps.tiles_file import TilesFile, TilesFileError, TilesForm
from ansible.module_utils.poppyfield.inventory import basemaps
from ansible.module_utils.poppyfield.inventory.first_look import requirements
from ansible.module_utils.poppyfield.inventory.laptop import ThisLaptop

from tests.tiles import pmtiles, write_mbtiles
from tests.unit.inventory_of import OWN_SETTINGS, FakeLaptop, host, problems, told

PAGE = {"lizmap_web_client": "none"}
VALLEY, RELIEF = {"file": "/valley.pmtiles"}, {"file": "/relief.mbtiles"}


def told_of(*entries: dict[str, Any], laptop: FakeLaptop | None = None, **given: Any) -> list[str]:
    return told(laptop, **{**PAGE, **given}, lizmap_basemaps=list(entries))


def test_none_is_fine_and_asks_nothing_of_a_pi() -> None:
    assert told_of() == []
    assert basemaps.rooms(host(), FakeLaptop()) == []


def test_good_ones_are_fine() -> None:
    assert told_of(VALLEY, RELIEF) == []


def test_a_file_that_is_not_there_is_told_with_its_path() -> None:
    (found,) = problems(FakeLaptop(missing=["/valley.pmtiles"]), **PAGE, lizmap_basemaps=[VALLEY])
    assert found.sentence == (
        'pi: lizmap_basemaps ("/valley.pmtiles"): it is not a file on this laptop. Correct the path, or fetch the file.'
    )


def test_what_is_wrong_with_a_file_is_told_with_its_remedy() -> None:
    broken = FakeLaptop(tiles={"/valley.pmtiles": TilesFileError("it is empty", "Copy it again")})
    (found,) = problems(broken, **PAGE, lizmap_basemaps=[VALLEY])
    assert found.sentence == 'pi: lizmap_basemaps ("/valley.pmtiles"): it is empty. Copy it again.'


def test_lizmap_is_not_given_what_it_does_not_show() -> None:
    (wrong,) = told_of(VALLEY, RELIEF, lizmap_web_client="archive")
    assert "Lizmap does not" in wrong
    assert told_of(RELIEF, lizmap_web_client="archive") == []


def test_what_nobody_draws_is_told() -> None:
    vectors = FakeLaptop(tiles={"/relief.mbtiles": TilesFile(TilesForm.MBTILES, 1, "mvt")})
    assert "draws MBTiles of pictures alone" in told_of(RELIEF, laptop=vectors)[0]
    unknown = FakeLaptop(tiles={"/valley.pmtiles": TilesFile(TilesForm.PMTILES, 1, "", attribution="IGN")})
    assert "browsers don't draw" in told_of(VALLEY, laptop=unknown)[0]
    drawn = FakeLaptop(tiles={"/valley.pmtiles": TilesFile(TilesForm.PMTILES, 1, "mvt", attribution="IGN")})
    assert told_of(VALLEY, laptop=drawn) == []


def test_the_map_page_says_whose_data_it_shows() -> None:
    silent = FakeLaptop(tiles={"/valley.pmtiles": TilesFile(TilesForm.PMTILES, 1, "png")})
    (wrong,) = told_of(VALLEY, laptop=silent)
    assert "whose data" in wrong
    assert told_of({**VALLEY, "attribution": "IGN"}, laptop=silent) == []
    # Nothing but tags is nothing.
    assert told_of({**VALLEY, "attribution": "<b> </b>"}, laptop=silent) == [wrong]


@pytest.mark.parametrize("name", ["../etc", "a b", "", "été", "a" * 61, "a.b"])
def test_a_name_that_cannot_be_is_told(name: str) -> None:
    entry = {"file": "/odd name.pmtiles", "name": name} if name == "" else {**VALLEY, "name": name}
    assert any("cannot be the name of a base map" in one for one in told_of(entry))


def test_two_of_one_name_are_told_once() -> None:
    (wrong,) = told_of(VALLEY, {"file": "/x.pmtiles", "name": "VALLEY"}, RELIEF)
    assert "two base maps have the name valley" in wrong


@pytest.mark.parametrize("name", ["basemaps", "BaseMaps"])
def test_no_repository_has_the_folders_name(name: str) -> None:
    (wrong,) = told(lizmap_projects=[{"repository": name, "folder": "/maps"}])
    assert "the folder with the base maps" in wrong


def test_a_pi_needs_room_for_what_it_does_not_have() -> None:
    laptop = FakeLaptop(tiles={"/valley.pmtiles": TilesFile(TilesForm.PMTILES, 4_000 * 1024**2, "png")})
    given = host(**PAGE, lizmap_folder="/data/lizmap/", lizmap_basemaps=[VALLEY, {**RELIEF, "name": "grey"}])
    (room,) = basemaps.rooms(given, laptop)
    assert (room["path"], room["free_mb"], room["variable"]) == ("/data/lizmap", 4_000, "lizmap_basemaps")
    valley, relief, *coming = room["less_files"]
    assert valley.startswith("/data/lizmap/projects/basemaps/valley.") and valley.endswith(".pmtiles")
    assert relief == "/data/lizmap/projects/basemaps/grey.mbtiles"
    assert {str(Path(path).parent) for path in coming} == {"/data/lizmap/projects/.poppyfield/basemaps/incoming"}
    assert requirements(given, basemap_rooms=[room])["disk"][-1] == room
    assert requirements(given, ["verify"], basemap_rooms=[room])["disk"] == []


def test_projects_may_use_what_every_pi_has() -> None:
    both = host(lizmap_basemaps=[VALLEY, RELIEF])
    assert basemaps.names_of_all([both], FakeLaptop()) == ["relief.mbtiles"]
    assert basemaps.names_of_all([both, host(lizmap_basemaps=[VALLEY])], FakeLaptop()) == []
    assert basemaps.names_of_all([], FakeLaptop()) == []


def test_this_laptop_reads_the_files_themselves(tmp_path: Path) -> None:
    laptop = ThisLaptop(OWN_SETTINGS)
    (tmp_path / "valley.pmtiles").write_bytes(pmtiles())
    write_mbtiles(tmp_path / "relief.mbtiles")
    (tmp_path / "bad.pmtiles").write_bytes(b"x")
    entries = [{"file": str(tmp_path / name)} for name in ("valley.pmtiles", "relief.mbtiles", "bad.pmtiles")]
    given = host(**PAGE, lizmap_basemaps=entries, lizmap_cache_folder=str(tmp_path / "cache"))
    (found,) = basemaps.findings(given, laptop)
    assert "neither PMTiles nor MBTiles" in found.wrong and "bad.pmtiles" in found.value
    (room,) = basemaps.rooms(given, laptop)
    assert len(room["less_files"]) == 2 * 3
    assert isinstance(laptop.tiles_file(str(tmp_path / "gone")), TilesFileError)
