"""editing_trial against PostgreSQL, from Lizmap's container: it leaves no trace, and says what PostgreSQL says."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.lizmap import write_trial
from ansible.module_utils.poppyfield.lizmap.write_trial import EditedLayer, RowVerdict

from tests.gallery import report
from tests.images.map_server import PREFIX, wait_until
from tests.lizmap.conftest import Query
from tests.lizmap.lizmap import Lizmap, lizmap

ROOT = Path(__file__).resolve().parents[2]
# What an INSERT sets off: a sequence of its own, one of a trigger's table, a notification, a look at another table.
WATCHED = """
    DROP SCHEMA IF EXISTS trial CASCADE; CREATE SCHEMA trial AUTHORIZATION gis;
    SET ROLE gis; SET search_path = trial, public;
    CREATE TABLE kind (code text PRIMARY KEY); INSERT INTO kind VALUES ('oak');
    CREATE TABLE audit (id bigserial PRIMARY KEY, what text);
    CREATE TABLE tree (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number serial,
        kind text NOT NULL REFERENCES kind, height numeric NOT NULL CHECK (height > 3),
        geom geometry(Point, 4326) NOT NULL);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO trial.audit (what) VALUES (TG_OP); PERFORM pg_notify('changed', TG_OP); RETURN NEW; END $$;
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON tree FOR EACH ROW EXECUTE FUNCTION note();
"""
INSERT = "INSERT INTO trial.tree (kind, height, geom) VALUES ('oak', 5, 'SRID=4326;POINT(0 0)')"
TREE = EditedLayer("survey/points", "trees", "tree_1", "trial", "tree", "id")
SEQUENCES = (
    "SELECT string_agg(format('SELECT %L AS name, last_value::text, is_called::text FROM %s', c.oid::regclass,"
    " c.oid::regclass), ' UNION ALL ') FROM pg_class c WHERE relkind = 'S' AND relnamespace = 'trial'::regnamespace"
)
# Every relation of the schema and of temporary ones, by name, with what PostgreSQL has counted of its rows.
RELATIONS = (
    "SELECT count(*) FROM pg_class WHERE relnamespace::regnamespace::text ~ '^(trial|pg_temp)';"
    "SELECT (SELECT count(*) FROM trial.tree), (SELECT count(*) FROM trial.audit), (SELECT count(*) FROM trial.kind)"
)
PSQL = ("docker", "exec", "-i", f"{PREFIX}postgis", "psql", "-q", "-U", "postgres", "-d", "gis")


def load(name: str) -> ModuleType:
    """Import a module of library/ by its name."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "library" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TRIAL = load("editing_trial")


@pytest.fixture(scope="module")
def server(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    with lizmap(lizmap_image, tmp_path_factory.mktemp("trial"), network) as started:
        ready = ("test", "-e", "/run/poppyfield/lizmap_service.conf")
        wait_until(lambda: started.run(*ready)[0] == 0, "the container has written its services", started.log)
        yield started


@pytest.fixture
def database(server: Lizmap) -> Any:
    return TRIAL.LizmapDatabase(server.container.name)


@pytest.fixture
def watched(query: Query) -> None:
    query(WATCHED, "gis")


def state(query: Query) -> str:
    """Tell all that a trial could have changed."""
    return query(query(SEQUENCES, "gis") + f" ORDER BY name; {RELATIONS}", "gis")


class Listener:
    """Somebody who is notified of changes."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(PSQL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.say("LISTEN changed;\n\\echo listening")
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "listening\n"

    def say(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        """Give what was said since; it listens no more."""
        return self.process.communicate("SELECT 1;\n", timeout=60)[0]


@pytest.mark.usefixtures("watched")
def test_ten_trials_leave_no_trace(database: Any, query: Query, on: str) -> None:
    before, listener = state(query), Listener()
    for _ in range(10):
        assert TRIAL.try_layers([TREE], database) == {TREE: RowVerdict(needed=("kind", "height", "geom"))}
    heard, after = listener.heard(), state(query)
    traces = "no trace" if after == before and "Asynchronous notification" not in heard else f"{heard} {after}"
    report.record("edited table: audit, identity, NOTIFY, foreign key", "project", on, "no trace", traces)
    assert traces == "no trace"


@pytest.mark.usefixtures("watched")
def test_a_row_in_the_table_itself_leaves_one_also_when_it_is_rolled_back(query: Query) -> None:
    """What this looks at would tell: that is why no trial writes into the table."""
    before = state(query)
    query(f"BEGIN; {INSERT}; ROLLBACK", "gis")
    rolled_back, listener = state(query), Listener()
    assert rolled_back != before
    query(INSERT, "gis")
    assert 'Asynchronous notification "changed" with payload "INSERT"' in listener.heard()


@pytest.mark.usefixtures("watched")
def test_a_trial_that_is_cut_off_at_any_step_leaves_no_trace(database: Any, query: Query) -> None:
    (told,) = database.ask([write_trial.catalog_question(TREE)])
    table = write_trial.read_table(TREE, told)
    assert isinstance(table, write_trial.Table)
    whole = write_trial.trial(table)
    steps = [(part, name) for part in ("prepared", "asked") for name in whole[part]]
    before = state(query)
    for cut in range(len(write_trial.SETTINGS), len(steps) + 1):
        parts: dict[str, dict[str, str]] = {"prepared": {}, "asked": {}}
        for part, name in steps[:cut]:
            parts[part][name] = whole[part][name]
        parts[steps[cut - 1][0]]["cut"] = "SET statement_timeout TO 0; SELECT pg_sleep(600)"
        cut_off(database, query, parts)
        assert state(query) == before, steps[:cut]


def cut_off(database: Any, query: Query, transaction: dict[str, Any]) -> None:
    """End PostgreSQL's side of a transaction when it has come to its last step, and wait until it is gone."""
    command = ["docker", "exec", "-i", "--user", LIZMAP.user, database.container, "php", "-r", write_trial.SCRIPT]
    sleeping = "FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND pid <> pg_backend_pid()"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as php:
        feeding = threading.Thread(target=php.communicate, args=(json.dumps([transaction]).encode(),))
        feeding.start()
        wait_until(lambda: query(f"SELECT count(*) {sleeping}", "gis") == "1", "the trial has come to its end")
        assert query(f"SELECT pg_terminate_backend(pid, 10000) {sleeping}", "gis") == "t"
        feeding.join()


def test_the_transaction_lets_nothing_else_write(database: Any, query: Query) -> None:
    query(WATCHED, "gis")
    asked = {"row": INSERT, "number": "SELECT nextval('trial.tree_number_seq')", "table": "CREATE TABLE trial.x ()"}
    (answers,) = database.ask([write_trial.transaction({}, asked)])
    assert {name: answers[name]["state"] for name in asked} == dict.fromkeys(asked, write_trial.READ_ONLY)


class Case(NamedTuple):
    """A table, and what is to be said of it."""

    sql: str
    problem: str = ""
    key: str = "id"
    untried: str = ""
    needed: tuple[str, ...] = ()
    counting: str = ""
    form_fails: str = ""


ID = "id serial PRIMARY KEY"
EVERY_TYPE = (
    *("geometry(MultiPolygonZ, 2154)", "geometry(LineStringM, 4326)", "geometry(GeometryCollection, 4326)"),
    *("geometry(PointZM, 4326)", "geometry", "geography(Point, 4326)", "uuid", "jsonb", "json", "date", "timestamptz"),
    *("timestamp", "time", "timetz", "interval", "bytea", "boolean", "varchar(2)", "char(3)", "text", "integer[]"),
    *("inet", "bit(3)", "bit varying(4)", "int4range", "smallint", "bigint", "real", "xml", "numeric(5,2)", "money"),
)
TYPES = ", ".join(f"c{number} {name} NOT NULL" for number, name in enumerate(EVERY_TYPE))
CASES = {
    # D1, D2: Lizmap's form fails, and PostgreSQL would take the row.
    "generated": Case(
        f"({ID}, a int, twice int GENERATED ALWAYS AS (a * 2) STORED)", form_fails="generated columns (twice)"
    ),
    "o'brien": Case(f"({ID})", form_fails='apostrophe ("trial"."o\'brien")'),
    # D3: constraints that people can meet, and that nobody can.
    "not_null": Case(f"({ID}, species text NOT NULL)", needed=("species",)),
    "checked": Case(
        f"({ID}, low int NOT NULL, high int NOT NULL CHECK (high > 300), CHECK (high - low = 1 AND low > 299))",
        needed=("low", "high"),
    ),
    "short": Case(f"({ID}, code text NOT NULL CHECK (length(code) = 5 AND code <> ''))", needed=("code",)),
    "listed": Case(f"({ID}, state text NOT NULL CHECK (state IN ('good', 'bad')))", needed=("state",)),
    "old_style": Case(
        f"({ID}, geom geometry NOT NULL CHECK (st_srid(geom) = 2154), CHECK (geometrytype(geom) = 'LINESTRING'))",
        needed=("geom",),
    ),
    "enum": Case(f"({ID}, colour colour NOT NULL)", needed=("colour",)),
    "domain": Case(f"({ID}, part percent NOT NULL)", needed=("part",)),
    "every_type": Case(f"({ID}, {TYPES})", needed=tuple(f"c{number}" for number in range(len(EVERY_TYPE)))),
    "unique_default": Case(f"({ID}, name text NOT NULL UNIQUE DEFAULT 'x')"),
    "pattern": Case(
        f"({ID}, code text NOT NULL CHECK (code ~ '^[A-Z]{{3}}-[0-9]+$'))",
        'PostgreSQL says: new row for relation "pattern" violates check constraint "pattern_code_check". If there is',
        needed=("code",),
    ),
    # What is guessed from the constraint is more than the type holds.
    "narrow": Case(
        f"({ID}, height numeric(4,1) NOT NULL CHECK (height < 1000))",
        untried="PostgreSQL says: numeric field overflow",
        needed=("height",),
    ),
    "by_function": Case(f"({ID}, code text NOT NULL CHECK (trial.valid(code)))", needed=("code",)),
    "pattern_met": Case(
        f"({ID}, code text NOT NULL CHECK (code ~ '^[A-Z]{{3}}-[0-9]+$'));"
        " INSERT INTO trial.pattern_met (code) VALUES ('OAK-1')",
        needed=("code",),
    ),
    "never": Case(
        f"({ID}, a int, CHECK (coalesce(a, 0) > 5 AND coalesce(a, 0) < 4))",
        'PostgreSQL says: new row for relation "never" violates check constraint "never_a_check"',
    ),
    "needs_row": Case(
        f"({ID}, kind text NOT NULL CONSTRAINT of_kind REFERENCES trial.empty)",
        "PostgreSQL wants a row of trial.empty in kind (foreign key of_kind), which has none. Add rows to trial.empty",
        needed=("kind",),
    ),
    "may_need_row": Case(f"({ID}, kind text REFERENCES trial.empty)"),
    # D4: views, and keys.
    "view_with_key": Case("AS SELECT id, species FROM trial.not_null"),
    "view_without_key": Case(
        "AS SELECT id FROM trial.not_null", write_trial.NO_KEY, key="", form_fails=write_trial.NO_KEY
    ),
    "view_of_groups": Case(
        "AS SELECT min(id) AS id FROM trial.not_null GROUP BY species",
        'PostgreSQL says: cannot insert into view "view_of_groups": Views containing GROUP BY are not automatically',
    ),
    "without_key": Case("(a int)", f"{write_trial.NO_KEY} Give the table a primary key", form_fails=write_trial.NO_KEY),
    # Rights.
    "closed": Case(
        f"({ID}); REVOKE INSERT ON trial.closed FROM gis",
        'PostgreSQL says: permission denied for table closed. As its owner: GRANT INSERT ON "trial"."closed" TO "gis";',
    ),
    "closed_sequence": Case(
        f"({ID}); REVOKE ALL ON SEQUENCE trial.closed_sequence_id_seq FROM gis",
        "PostgreSQL says: permission denied for sequence trial.closed_sequence_id_seq. As its owner: GRANT USAGE ON",
    ),
    "with_policies": Case(
        f"({ID}); ALTER TABLE trial.with_policies ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        untried="its row-level security was not tried",
    ),
    # Defaults and triggers.
    "numbered": Case(
        f"({ID}, code text NOT NULL DEFAULT 'F-' || nextval('trial.numbers'))",
        counting="code: ('F-'::text || nextval(",
    ),
    "numbered_by_function": Case(f"({ID}, code text DEFAULT trial.number())", counting="code: trial.number()"),
    "filled_in": Case(
        f"({ID}, code text NOT NULL); CREATE TRIGGER fill BEFORE INSERT ON trial.filled_in FOR EACH ROW"
        " EXECUTE FUNCTION trial.fill()"
    ),
    "writing": Case(
        f"({ID}, a int NOT NULL CHECK (trial.writes(a)))",
        untried="a default or a constraint of its table writes elsewhere",
        needed=("a",),
    ),
}
SURROUNDINGS = """
    SET ROLE gis; CREATE TYPE trial.colour AS ENUM ('red', 'blue');
    CREATE DOMAIN trial.percent AS int CHECK (VALUE BETWEEN 10 AND 20);
    CREATE TABLE trial.empty (code text PRIMARY KEY); CREATE SEQUENCE trial.numbers;
    CREATE FUNCTION trial.number() RETURNS text LANGUAGE sql AS $$ SELECT 'F-' || nextval('trial.numbers') $$;
    CREATE FUNCTION trial.fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.code = 'x'; RETURN NEW; END $$;
    CREATE FUNCTION trial.writes(a int) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO trial.audit (what) VALUES ('checked'); RETURN true; END $$;
    CREATE FUNCTION trial.helper(code text) RETURNS boolean LANGUAGE sql AS $$ SELECT code <> '' $$;
    CREATE FUNCTION trial.valid(code text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN helper(code); END $$;
"""


@pytest.fixture(scope="module")
def verdicts(server: Lizmap, query: Query) -> dict[str, RowVerdict]:
    """Try all cases in one run, which leaves no trace either."""
    kinds = {name: "VIEW" if case.sql.startswith("AS ") else "TABLE" for name, case in CASES.items()}
    made = [f'CREATE {kinds[name]} trial."{name}" {case.sql}' for name, case in CASES.items()]
    query("; ".join([WATCHED, SURROUNDINGS, *made]), "gis")
    layers = {name: EditedLayer("survey/points", name, name, "trial", name, case.key) for name, case in CASES.items()}
    before = state(query)
    found = TRIAL.try_layers(list(layers.values()), TRIAL.LizmapDatabase(server.container.name))
    assert state(query) == before
    return {name: found[layer] for name, layer in layers.items()}


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_a_table(verdicts: dict[str, RowVerdict], name: str, on: str) -> None:
    found, case = verdicts[name], CASES[name]
    parts = ("problem", "untried", "counting", "form_fails")
    wanted = {part: words for part in parts if (words := getattr(case, part))}
    # Of what is said the beginning and the end may be more than what is wanted.
    said = {
        part: wanted.get(part, words) if wanted.get(part, "") in words else words
        for part in parts
        if (words := getattr(found, part))
    }
    told = [". ".join(f"{part}: {words}" for part, words in one.items()) or "a row is taken" for one in (wanted, said)]
    report.record(f"edited table: {name}", "project", on, *told)
    assert said == wanted, found
    assert found.needed == case.needed


def test_what_cannot_be_asked_for(server: Lizmap, query: Query) -> None:
    query(WATCHED, "gis")
    gone, file = replace(TREE, table="gone"), replace(TREE, table="")
    query_layer, long = replace(TREE, table="(SELECT 1 AS id)"), replace(TREE, table="x" * 64)
    found = TRIAL.try_layers([gone, file, query_layer, long], TRIAL.LizmapDatabase(server.container.name))
    assert found[gone].problem.startswith('"trial"."gone" is not in the Pi\'s database.')
    assert found[file].untried == "its features are not in a table of the Pi's PostGIS"
    assert "it is a query" in found[query_layer].problem
    assert "cannot be a name in PostgreSQL" in found[long].problem


def test_a_database_without_temporary_tables_is_asked_what_it_tells(server: Lizmap, query: Query) -> None:
    """Rights are told, values are not tried."""
    closed = "ALTER DATABASE gis OWNER TO postgres; REVOKE TEMPORARY ON DATABASE gis FROM PUBLIC"
    query(f"{WATCHED} RESET ROLE; {closed}", "gis")
    try:
        (verdict,) = TRIAL.try_layers([TREE], TRIAL.LizmapDatabase(server.container.name)).values()
    finally:
        query("ALTER DATABASE gis OWNER TO gis; GRANT TEMPORARY ON DATABASE gis TO PUBLIC", "gis")
    assert verdict.untried == 'PostgreSQL says: permission denied to create temporary tables in database "gis"'
