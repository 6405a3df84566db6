"""Files are loaded into a database that exists, by the real PostgreSQL and GDAL, and read back; or cut off half way."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, Result
from ansible.module_utils.poppyfield.postgis import load_files, postgres
from ansible.module_utils.poppyfield.postgis.loading import LoadError, Served
from ansible.module_utils.poppyfield.postgis.spatial_files import SpatialOptions

from tests.gallery.dumps import BY_BYTES, IN_FRENCH, OWNERS, archive, entries, extension, of_stock_container, plain
from tests.images.postgis_server import PASSWORD, Server, Start, owned_folder

ROOT = Path(__file__).resolve().parents[2]
STAMP = "20261129101500"
LAMBERT = "EPSG:2154"
PLAIN = SpatialOptions()
OLD = "SELECT count(*) || md5(string_agg(o::text, ',' ORDER BY id)) FROM observations o"
SERVED = """
CREATE EXTENSION postgis;
CREATE TABLE observations (id serial PRIMARY KEY, what text, place geometry(Point, 4326));
ALTER TABLE observations OWNER TO gis;
INSERT INTO observations (what, place)
SELECT 'seen ' || n, ST_Point(n % 90, n % 45, 4326) FROM generate_series(1, 200) n;
CREATE TABLE plots (id int);
ALTER TABLE plots OWNER TO gis;
GRANT SELECT ON plots TO reader;
"""


def load_module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"images_{name}", ROOT / "library" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # For its dataclasses.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MODULE = load_module("loaded_data")


class Cut(BaseException):
    """Ends a run as a signal does: nothing is tidied up."""


class CutEngine(Engine):
    """An engine whose program is killed before its nth command; with `within` in the middle of what it is fed."""

    def __init__(self, at: int, *, within: bool = False) -> None:
        super().__init__(None, None)
        self.left, self.within = at, within

    def execute(self, container: str, user: str, argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        self.left -= 1
        if self.left < 0:
            if self.within:
                super().execute(container, user, argv, half(chunks))
            raise Cut
        return super().execute(container, user, argv, chunks)


def half(chunks: Iterable[bytes]) -> Iterator[bytes]:
    whole = b"".join(chunks)
    yield whole[: len(whole) // 2]


class Pi:
    """A server with a database that is served, and what loads into it."""

    def __init__(self, server: Server, database: str) -> None:
        self.server, self.database = server, database
        server.sql(f"CREATE DATABASE {database} OWNER gis TEMPLATE served")
        server.sql(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO reader")

    def load(
        self, *paths: Path, adds: bool = False, asked: SpatialOptions = PLAIN, engine: Engine | None = None
    ) -> tuple[list[Any], str]:
        loader = MODULE.Loader(engine or Engine(None, None), self.server.container.name, PASSWORD)
        work = paths[0].parent / "work"
        work.mkdir(exist_ok=True)
        files = [load_files.read(path, work, asked) for path in paths]
        served = self.served()
        assert list(load_files.problems(files, served.postgresql)) == []
        sent = tuple(
            MODULE.SentFile(**{**file.told(), "path": str(file.source), "kept": file.dump.kept}) for file in files
        )
        tables = tuple(table for file in files for table in file.tables)
        wanted = MODULE.Wanted(self.database, sent, tables, load_files.digest_of(files, asked), adds)
        found: tuple[list[Any], str] = loader.load(wanted, served, STAMP)
        return found

    def served(self) -> Served:
        found = MODULE.Loader(Engine(None, None), self.server.container.name).look(self.database)
        assert isinstance(found, Served)
        return found

    def sql(self, sql: str) -> str:
        return self.server.sql(sql, self.database)

    def names(self) -> list[str]:
        return self.sql("SELECT name FROM plots ORDER BY name").split("\n")

    def others(self) -> set[str]:
        """Give the databases beside it that a load has made."""
        return set(self.server.sql(f"SELECT datname FROM pg_database WHERE datname ~ '^{self.database}__'").split())

    def fingerprint(self) -> str:
        """Give what others see of the database."""
        sorted_acl = "ARRAY(SELECT a::text FROM unnest(datacl) a ORDER BY 1)"
        acl = f"SELECT {sorted_acl} FROM pg_database WHERE datname = '{self.database}'"
        relations = "SELECT string_agg(relname || relowner, ',' ORDER BY relname) FROM pg_class WHERE relname !~ '^pg_'"
        marks = "SELECT count(*)::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        mark = f"{marks} WHERE datname = '{self.database}'"
        return self.sql(f"SELECT ({OLD}), ({acl}), ({relations}), ({mark})")


@pytest.fixture(scope="module")
def server(starter: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    found = starter(owned_folder(tmp_path_factory.mktemp("load") / "data")).ready()
    found.sql(f"CREATE ROLE gis LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE reader")
    found.sql("CREATE DATABASE served OWNER gis")
    found.sql(SERVED, "served")
    return found


@pytest.fixture
def pi(server: Server, request: pytest.FixtureRequest) -> Iterator[Pi]:
    """Return a Pi whose database is as new, under a name of its own."""
    name = "g" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    found = Pi(server, name)
    yield found
    for database in {name, *found.others()}:
        server.sql(f'DROP DATABASE "{database}" WITH (FORCE)')


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# Dumps --------------------------------------------------------------------------------------------------------------


def test_a_dump_takes_the_place_of_what_is_there_which_is_kept(pi: Pi, tmp_path: Path) -> None:
    before = pi.sql(OLD)
    pi.sql("GRANT UPDATE (id) ON plots TO reader")
    # Words of an owner, which the superuser does not obey.
    pi.server.sql(f"ALTER DATABASE {pi.database} SET search_path = public, topology")
    pi.server.sql(f"ALTER DATABASE {pi.database} SET my.note = 'x; DROP ROLE reader'")
    pi.server.sql(f"ALTER ROLE gis IN DATABASE {pi.database} SET work_mem = '3MB'")
    tables, kept = pi.load(written(tmp_path, "office.sql", plain(after=OWNERS)))
    assert kept == f"{pi.database}__before_{STAMP}"
    assert [(table.name, table.rows, table.owner, table.has_key) for table in tables] == [("plots", 3, "gis", True)]
    assert pi.names() == BY_BYTES
    assert pi.sql("SELECT count(*) FROM pg_class WHERE relname = 'observations'") == "0"
    # What others may do, they still may, and nobody else.
    assert pi.sql("SELECT has_table_privilege('reader', 'plots', 'SELECT')") == "t"
    assert pi.sql(f"SELECT has_database_privilege('reader', '{pi.database}', 'CONNECT')") == "t"
    assert pi.sql("SELECT has_column_privilege('reader', 'public.plots', 'id', 'UPDATE')") == "t"
    assert pi.sql("SELECT has_table_privilege('reader', 'public.plots', 'UPDATE')") == "f"
    assert (
        pi.sql("SELECT current_setting('search_path') || current_setting('my.note')")
        == "public, topologyx; DROP ROLE reader"
    )
    code, said = pi.server.over_network("SHOW work_mem", "gis", PASSWORD, pi.database)
    assert (code, said) == (0, "3MB")
    assert pi.sql("SELECT count(*) FROM pg_roles WHERE rolname IN ('ann', 'surveyor', 'Ann B.')") == "0"
    assert pi.sql("SELECT extname FROM pg_extension WHERE extname = 'postgis'") == "postgis"
    code, said = pi.server.over_network("SELECT count(*) FROM plots", "gis", PASSWORD, pi.database)
    assert (code, said) == (0, "3")
    # The copy is closed, and whole.
    assert pi.others() == {kept}
    assert pi.server.psql("SELECT 1", f"--dbname={kept}")[0] != 0
    pi.server.sql(f"ALTER DATABASE {kept} ALLOW_CONNECTIONS true")
    assert pi.server.sql(OLD, kept) == before


@pytest.mark.parametrize(
    ("content", "names"),
    [(entries(locale="fr_FR.UTF-8"), IN_FRENCH), (of_stock_container(), BY_BYTES)],
    ids=["French", "Docker's usual container"],
)
def test_an_archive_is_loaded_and_sorts_as_where_it_was_made(
    pi: Pi, tmp_path: Path, content: list[Any], names: list[str]
) -> None:
    tables, _ = pi.load(written(tmp_path, "office.dump", archive(content)))
    assert pi.names() == names
    assert [(table.name, table.owner) for table in tables] == [("plots", "gis")]


def test_sessions_at_work_do_not_keep_the_new_data_from_their_place(pi: Pi, tmp_path: Path) -> None:
    ended = []
    session = threading.Thread(
        target=lambda: ended.append(pi.server.psql("SELECT pg_sleep(60)", f"--dbname={pi.database}"))
    )
    session.start()
    at_work = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{pi.database}' AND wait_event = 'PgSleep'"
    pi.server.until(lambda: pi.server.sql(at_work) == "1", "session")
    pi.load(written(tmp_path, "office.sql", plain()))
    session.join()
    assert ended[0][0] != 0
    assert pi.names() == BY_BYTES


def test_undo_puts_the_old_data_in_place_again(pi: Pi, tmp_path: Path) -> None:
    before = pi.fingerprint()
    pi.load(written(tmp_path, "office.sql", plain()))
    loader = MODULE.Loader(Engine(None, None), pi.server.container.name)
    kept = loader.undo(pi.served(), "20261130101500")
    assert pi.fingerprint() == before
    assert pi.others() == {kept}
    loader.prune([kept])
    assert pi.others() == set()
    with pytest.raises(LoadError, match="there is no copy"):
        loader.undo(pi.served(), STAMP)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "office.sql",
            plain() + "INSERT INTO public.plots VALUES (1, 'again');\n",
            "office.sql could not be loaded: .*line|office.sql:",
        ),
        ("office.dump", archive(entries())[:-38] + b"\0" * 38, "office.dump could not be loaded"),
        (
            "office.sql",
            plain().replace(
                "COPY public.plots", "\\restrict x\n\\unrestrict x\nDELETE FROM public.nowhere;\nCOPY public.plots"
            ),
            "nowhere",
        ),
    ],
    ids=["a row twice", "damaged data", "a statement in the middle"],
)
def test_a_load_that_fails_half_way_leaves_the_database_as_it_was(
    pi: Pi, tmp_path: Path, name: str, content: bytes | str, said: str
) -> None:
    before = pi.fingerprint()
    with pytest.raises(LoadError, match=said):
        pi.load(written(tmp_path, name, content))
    assert pi.fingerprint() == before
    assert pi.others() == set()


def test_what_came_is_compared_with_what_the_file_holds(pi: Pi, tmp_path: Path) -> None:
    before = pi.fingerprint()
    # A rule that drops rows: PostgreSQL is content.
    lossy = plain(after="DELETE FROM public.plots WHERE id = 2;\n")
    with pytest.raises(LoadError, match=r"public\.plots has 2 rows instead of 3"):
        pi.load(written(tmp_path, "office.sql", lossy))
    assert pi.fingerprint() == before


# Cut off ------------------------------------------------------------------------------------------------------------


STEPS = ("clear", "make", "load", "look", "settle", "compare", "the last one")


@pytest.mark.parametrize("within", [False, pytest.param(True, marks=pytest.mark.long)], ids=["before", "within"])
def test_a_replacement_that_is_cut_off_at_any_step_leaves_the_database_serving(
    pi: Pi, tmp_path: Path, *, within: bool
) -> None:
    before = pi.fingerprint()
    office = written(tmp_path, "office.sql", plain(before=extension("plpgsql"), after=OWNERS))
    # Each of these runs finds what the one before it has left.
    for step, name in enumerate(STEPS):
        with pytest.raises(Cut):
            pi.load(office, engine=CutEngine(step, within=within))
        assert pi.fingerprint() == before, name
    pi.load(office)
    assert pi.names() == BY_BYTES
    assert pi.others() == {f"{pi.database}__before_{STAMP}"}
    assert pi.sql("SELECT count(*) FROM pg_roles WHERE rolname IN ('ann', 'surveyor', 'Ann B.')") == "0"


@pytest.mark.long
def test_an_addition_that_is_cut_off_at_any_step_adds_nothing(pi: Pi, tmp_path: Path) -> None:
    before = pi.fingerprint()
    parcels = written(tmp_path, "parcels.sql", plain(before=extension("plpgsql")).replace("plots", "parcels"))
    for step, name in enumerate(STEPS):
        with pytest.raises(Cut):
            pi.load(parcels, adds=True, engine=CutEngine(step))
        assert pi.fingerprint() == before, name
    pi.load(parcels, adds=True)
    assert pi.sql("SELECT count(*) FROM parcels") == "3"
    assert pi.others() == set()


# Added --------------------------------------------------------------------------------------------------------------


def test_tables_are_added_to_those_that_are_there(pi: Pi, tmp_path: Path) -> None:
    before = pi.sql(OLD)
    tables, kept = pi.load(
        written(tmp_path, "parcels.sql", plain(before=extension("postgis")).replace("plots", "parcels")), adds=True
    )
    assert (kept, [(table.name, table.rows) for table in tables]) == ("", [("parcels", 3)])
    assert pi.sql(OLD) == before
    assert pi.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'parcels'") == "gis"
    assert len(pi.served().loaded) == 1


def test_a_table_that_is_there_is_never_replaced_by_an_addition(pi: Pi, tmp_path: Path) -> None:
    before = pi.fingerprint()
    with pytest.raises(LoadError, match=r"has these already: public\.plots"):
        pi.load(written(tmp_path, "plots.sql", plain()), adds=True)
    assert pi.fingerprint() == before


@pytest.mark.attack(kind="code of a role", on="PostGIS", proof=None)
def test_an_addition_calls_nothing_of_the_owner_as_the_superuser(pi: Pi, tmp_path: Path) -> None:
    only_others = "CHECK (session_user <> 'postgres' OR current_database() ~ '__loading$')"
    content = plain(before=extension("plpgsql")).replace("plots", "parcels")
    pi.load(
        written(tmp_path, "parcels.sql", content.replace("    name text", f"    name text {only_others}")), adds=True
    )
    assert pi.sql("SELECT count(*) FROM parcels") == "3"
    # The constraint tells who calls it.
    with pytest.raises(Exception, match="violates check constraint"):
        pi.sql("INSERT INTO parcels SELECT * FROM parcels LIMIT 1")


def test_an_addition_of_what_can_not_be_read_to_its_end_adds_nothing(pi: Pi) -> None:
    before = pi.fingerprint()
    # The scratch database is not there: pg_dump fails, and psql gets an end without a COMMIT.
    command, login = MODULE.loading.adding_command(pi.served(), PASSWORD)
    assert Engine(None, None).execute(pi.server.container.name, postgres.SUPERUSER, command, [login.encode()]).code != 0
    assert pi.fingerprint() == before
    assert pi.served().loaded == ()


# Spatial files ------------------------------------------------------------------------------------------------------

FEATURES = [(number, name, 650000 + number, 6860000) for number, name in enumerate(("Zoé", "Épine", "Eau"), 1)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a GeoJSON file in Lambert-93, of which GDAL makes the others."""
    path = tmp_path_factory.mktemp("source") / "source.geojson"
    features = [
        {"type": "Feature", "properties": {"num": number, "Nom": name}, "geometry": square(x, y)}
        for number, name, x, y in FEATURES
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    return path


def square(x: int, y: int) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[[x, y], [x + 9, y], [x + 9, y + 9], [x, y + 9], [x, y]]]}


def ogr2ogr(*words: str) -> None:
    subprocess.run(["ogr2ogr", *words], check=True, capture_output=True)


def look_at(pi: Pi, table: str) -> list[str]:
    """Give of a table its owner, coordinate system, key, index, and names as they sort in French."""
    index = f"SELECT count(*) FROM pg_indexes WHERE tablename = '{table}' AND indexdef ~ 'gist'"
    key = f"SELECT count(*) FROM pg_index WHERE indrelid = '{table}'::regclass AND indisprimary"
    owner = f"SELECT tableowner FROM pg_tables WHERE tablename = '{table}'"
    system = f"SELECT DISTINCT ST_SRID(geom) || ' ' || ST_IsValid(geom) FROM {table}"
    names = f"SELECT string_agg(nom, ' ' ORDER BY nom COLLATE \"fr-x-icu\") FROM {table}"
    return [pi.sql(question) for question in (owner, system, key, index, names)]


RIGHT = ["gis", "2154 true", "1", "1", "Eau Épine Zoé"]


def test_a_geopackage_is_added_with_its_key_index_owner_and_coordinate_system(
    pi: Pi, source: Path, tmp_path: Path
) -> None:
    path = tmp_path / "relevés.gpkg"
    ogr2ogr("-f", "GPKG", str(path), str(source), "-nln", "Parcelles d'été")
    tables, _ = pi.load(path, adds=True)
    assert [(table.name, table.rows, table.has_key) for table in tables] == [("parcelles_d_ete", 3, True)]
    assert look_at(pi, "parcelles_d_ete") == RIGHT


@pytest.mark.long
def test_names_are_kept_where_that_is_asked(pi: Pi, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "relevés.gpkg"
    ogr2ogr("-f", "GPKG", str(path), str(source), "-nln", "Parcelles d'été")
    pi.load(path, adds=True, asked=SpatialOptions(keep_names=True))
    assert pi.sql('SELECT count("Nom") FROM "Parcelles d\'été"') == "3"


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=pytest.mark.long)], ids=["files", "zip"])
def test_a_shapefile_is_added(pi: Pi, source: Path, tmp_path: Path, *, packed: bool) -> None:
    ogr2ogr("-f", "ESRI Shapefile", str(tmp_path / "parcelles.shp"), str(source), "-lco", "ENCODING=CP1252")
    path = zipped(tmp_path) if packed else tmp_path / "parcelles.shp"
    pi.load(path, adds=True)
    assert look_at(pi, "parcelles") == RIGHT


def zipped(folder: Path) -> Path:
    path = folder / "parcelles.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for part in folder.glob("parcelles.[!z]*"):
            packed.write(part, f"dossier/{part.name}")
    return path


def test_a_shapefile_without_its_coordinate_system_or_encoding_is_told_and_mended(
    pi: Pi, source: Path, tmp_path: Path
) -> None:
    ogr2ogr("-f", "ESRI Shapefile", str(tmp_path / "parcelles.shp"), str(source), "-lco", "ENCODING=CP1252")
    (tmp_path / "parcelles.prj").unlink()
    path = tmp_path / "parcelles.shp"
    with pytest.raises(load_files.LoadFileError, match=r"does not tell its coordinate system.*add -e srs=EPSG:2154"):
        pi.load(path, adds=True)
    (tmp_path / "parcelles.cpg").unlink()
    # Byte 29 of a dbf names its code page: none.
    table = bytearray((tmp_path / "parcelles.dbf").read_bytes())
    table[29] = 0
    (tmp_path / "parcelles.dbf").write_bytes(table)
    pi.load(path, adds=True, asked=SpatialOptions(srs=LAMBERT, encoding="CP1252"))
    assert look_at(pi, "parcelles") == RIGHT


def test_only_an_index_that_finds_places_counts_as_one(pi: Pi, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "more.sql",
        "".join(
            f"CREATE TABLE {name} (id int PRIMARY KEY, geom geometry(Point, 4326)); {index};\n"
            for name, index in (
                ("a_gist", "CREATE INDEX ON a_gist USING gist (geom)"),
                ("b_brin", "CREATE INDEX ON b_brin USING brin (geom)"),
                ("c_none", "SELECT 1"),
                ("d_btree", "CREATE INDEX ON d_btree (geom)"),
                ("e_part", "CREATE INDEX ON e_part USING gist (geom) WHERE id > 5"),
            )
        ),
    )
    tables, _ = pi.load(path, adds=True)
    indexed = {table.name: has_index for table in tables for _, _, has_index in table.places}
    assert indexed == {"a_gist": True, "b_brin": True, "c_none": False, "d_btree": False, "e_part": False}


def test_csv_with_coordinates_is_added(pi: Pi, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    with path.open("w", encoding="cp1252", newline="") as stream:
        rows = csv.writer(stream, delimiter=";")
        rows.writerow(["num", "nom", "x", "y"])
        rows.writerows(FEATURES)
    with pytest.raises(load_files.LoadFileError, match="add -e encoding=CP1252"):
        pi.load(path, adds=True, asked=SpatialOptions(srs=LAMBERT))
    pi.load(path, adds=True, asked=SpatialOptions(srs=LAMBERT, encoding="CP1252"))
    assert look_at(pi, "points") == RIGHT
    assert pi.sql("SELECT max(ST_X(geom)), pg_typeof(max(num)) FROM points") == "650003|integer"


def test_a_geopackage_alone_can_be_the_database(pi: Pi, source: Path, tmp_path: Path) -> None:
    ogr2ogr("-f", "GPKG", str(tmp_path / "all.gpkg"), str(source), "-nln", "parcels")
    tables, _ = pi.load(tmp_path / "all.gpkg")
    assert [table.name for table in tables] == ["parcels"]
    assert look_at(pi, "parcels") == RIGHT
