"""Whether PostgreSQL would take a new row of a layer, found out without a trace. Pure.

A row in the table itself leaves one even in a transaction that is rolled back: sequences have gone on, and a trigger
may have written elsewhere. So each part is asked where it does nothing. PostgreSQL plans an INSERT into the table
without executing it (EXPLAIN), which tells whether the map server's role may, and whether a view can take it. A row is
then written into a temporary copy of the table's definition, which has its types, defaults, CHECK and NOT NULL
constraints, but no triggers and no rows. By then the transaction is read-only: PostgreSQL itself refuses all else.
"""

# ruff: noqa: S608 - SQL is put together here on purpose; every name and text goes through identifier() or literal().

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from ansible.module_utils.poppyfield.host.printable import printable
from ansible.module_utils.poppyfield.postgis.postgres import PostgresError, identifier, literal

Json = dict[str, Any]

SCRIPT = r"""
$connection = @pg_connect('service=poppyfield');
if (!$connection) {
    fwrite(STDERR, error_get_last()['message'] ?? 'pg_connect() of the service poppyfield failed');
    exit(1);
}
pg_set_client_encoding($connection, 'UTF8');
function ask($connection, string $sql): array {
    pg_query($connection, 'SAVEPOINT asked');
    pg_send_query($connection, $sql);
    $result = pg_get_result($connection);
    pg_get_result($connection);
    $said = fn (int $field): string => (string) pg_result_error_field($result, $field);
    if ($state = $said(PGSQL_DIAG_SQLSTATE)) {
        pg_query($connection, 'ROLLBACK TO asked');
        return [
            'state' => $state,
            'message' => $said(PGSQL_DIAG_MESSAGE_PRIMARY),
            'detail' => $said(PGSQL_DIAG_MESSAGE_DETAIL),
        ];
    }
    pg_query($connection, 'RELEASE asked');
    return ['rows' => pg_fetch_all($result, PGSQL_NUM), 'written' => pg_affected_rows($result)];
}
$answers = [];
foreach (json_decode(stream_get_contents(STDIN), true) as ['prepared' => $prepared, 'asked' => $asked]) {
    pg_query($connection, 'BEGIN');
    $ask = fn (string $sql): array => ask($connection, $sql);
    $first = array_map($ask, $prepared);
    pg_query($connection, 'SET TRANSACTION READ ONLY');
    $answers[] = $first + array_map($ask, $asked);
    pg_query($connection, 'ROLLBACK');
}
echo json_encode($answers, JSON_FORCE_OBJECT | JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);
"""
"""Reads transactions, and prints what PostgreSQL answered; what was prepared is rolled back, the rest may only read.

It is the container's PHP with the service that Lizmap itself connects by, so the role is never another than Lizmap's.
"""
SETTINGS = {
    # Names that PostgreSQL writes have their schema then.
    "search_path": "''",
    # Nobody waits long for a trial, nor it for anybody.
    "statement_timeout": "'20s'",
    "lock_timeout": "'5s'",
    "client_min_messages": "error",
}
PUBLIC = "public"
COPY_OF = "INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS EXCLUDING COMMENTS"
TABLES = ("r", "p")
MOST_ROWS_ELSEWHERE = 20
LONGEST_TEXT = 255
LEAST_SRID = 1000

CATALOG = """
SELECT json_build_object('role', current_user, 'kind', c.relkind, 'policies', row_security_active(c.oid),
  'primary_key', EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary),
  'filled_in', EXISTS (SELECT FROM pg_trigger
    WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 7 = 7),
  'columns', (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'base', CASE t.typtype WHEN 'd' THEN format_type(t.typbasetype, t.typtypmod)
                             ELSE format_type(a.atttypid, a.atttypmod) END,
      'category', t.typcategory, 'not_null', a.attnotnull OR t.typnotnull,
      'identity', a.attidentity <> '', 'generated', a.attgenerated <> '',
      'default', coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
      'calls', EXISTS (SELECT FROM pg_depend p JOIN pg_proc f ON f.oid = p.refobjid
        JOIN pg_language l ON l.oid = f.prolang WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
        AND p.refclassid = 'pg_proc'::regclass AND f.provolatile = 'v' AND l.lanname NOT IN ('c', 'internal')),
      'closed_sequences', (SELECT coalesce(json_agg(s.oid::regclass::text), '[]') FROM pg_depend p
        JOIN pg_class s ON s.oid = p.refobjid WHERE p.classid = 'pg_attrdef'::regclass
        AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass
        AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE,UPDATE') END),
      'rules', (SELECT coalesce(json_agg(pg_get_expr(conbin, 0)), '[]') FROM pg_constraint
        WHERE contypid = a.atttypid AND contype = 'c')) ORDER BY a.attnum)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'checks', (SELECT coalesce(json_agg(json_build_object('columns', {columns},
      'expression', pg_get_expr(conbin, conrelid))), '[]') FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c'),
  'foreign_keys', (SELECT coalesce(json_agg(json_build_object('name', conname, 'columns', {columns},
      'table', confrelid::regclass, 'references', {references})), '[]')
    FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f'))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
"""
NAMES_OF = (
    "(SELECT coalesce(json_agg(attname ORDER BY number), '[]') FROM unnest({numbers}) WITH ORDINALITY k (key, number)"
    " JOIN pg_attribute ON attrelid = {relation} AND attnum = key)"
)
QUESTION = CATALOG.replace("{columns}", NAMES_OF.format(numbers="conkey", relation="conrelid")).replace(
    "{references}", NAMES_OF.format(numbers="confkey", relation="confrelid")
)


@dataclass(frozen=True)
class EditedLayer:
    """A layer that the settings of a map let people add features to, and the table of its rows."""

    map: str
    layer: str
    layer_id: str
    schema: str = ""
    table: str = ""
    key: str = ""
    """The column that QGIS tells the rows of a view by."""

    @property
    def name(self) -> str:
        """Give the table's name for SQL."""
        return f"{identifier(self.schema or PUBLIC)}.{identifier(self.table)}"


@dataclass(frozen=True)
class RowVerdict:
    """What was found of a layer. It has no secret in it, and nothing of anybody's rows."""

    problem: str = ""
    """Why nobody can add a feature, and what helps."""
    untried: str = ""
    """Why that is not known."""
    needed: tuple[str, ...] = ()
    """Columns that PostgreSQL wants a value of."""
    counting: str = ""
    """The default that Lizmap calls when it opens the form, although that makes a sequence go on."""
    form_fails: str = ""
    """Why Lizmap does not open the form, if it does not."""

    def as_dict(self) -> Json:
        """Give it for a module's result."""
        return asdict(self)


class Column(NamedTuple):
    """A column, as far as a trial needs it."""

    name: str
    type: str
    base: str
    category: str
    not_null: bool
    identity: bool
    generated: bool
    default: str
    calls: bool
    closed_sequences: Sequence[str]
    rules: Sequence[str]

    @property
    def counts(self) -> bool:
        """Tell whether its default may make a sequence go on."""
        return not self.generated and (self.calls or bool(re.search(r"\b(?:next|set)val\(", self.default)))

    @property
    def own(self) -> bool:
        """Tell whether PostgreSQL finds its value by itself, in the copy too."""
        return self.identity or self.generated


# What is asked -------------------------------------------------------------------------------------------------------


def transaction(prepared: Mapping[str, str], asked: Mapping[str, str]) -> Json:
    """Give a transaction for the script."""
    settings = {f"set {name}": f"SET LOCAL {name} TO {value}" for name, value in SETTINGS.items()}
    return {"prepared": {**settings, **prepared}, "asked": dict(asked)}


def catalog_question(layer: EditedLayer) -> Json:
    """Give the transaction that tells what the table of a layer is like."""
    where = f"WHERE n.nspname = {literal(layer.schema or PUBLIC)} AND c.relname = {literal(layer.table)}"
    return transaction({}, {"table": f"{QUESTION} {where}"})


class Table:
    """What PostgreSQL's catalogs say of the table of a layer."""

    def __init__(self, layer: EditedLayer, told: Mapping[str, Any]) -> None:
        self.layer = layer
        self.role: str = told["role"]
        self.kind: str = told["kind"]
        self.policies: bool = told["policies"]
        self.primary_key: bool = told["primary_key"]
        self.filled_in: bool = told["filled_in"]
        self.columns = [Column(**column) for column in told["columns"] or ()]
        self.checks: list[Json] = told["checks"]
        self.foreign_keys: list[Json] = told["foreign_keys"]

    @property
    def needed(self) -> tuple[str, ...]:
        """Name the columns that PostgreSQL wants a value of, and finds none by itself."""
        return tuple(c.name for c in self.columns if c.not_null and not c.default and not c.own)

    def given(self) -> list[Column]:
        """Give the columns of a row that get a value: those that must, and those that a constraint is about.

        A sequence is never asked: its column is given a value instead.
        """
        about = {name for check in self.checks for name in check["columns"]}
        return [
            c
            for c in self.columns
            if not c.own and (c.name in about or c.counts or (c.not_null and (not c.default or bool(c.rules))))
        ]


def trial(table: Table) -> Json:
    """Give the transaction that tries a row."""
    given, real = table.given(), table.layer.name
    names = ", ".join(identifier(column.name) for column in given)
    nothing = ", ".join(f"NULL::{column.base}" for column in given)
    into = f"({names}) SELECT {nothing}" if given else "DEFAULT VALUES"
    asked = {"allowed": f"EXPLAIN INSERT INTO {real} {into}"}
    # Lizmap's own, by which functions of the table's defaults and constraints find others.
    prepared = {"path": f"SET LOCAL search_path TO {identifier(table.layer.schema or PUBLIC)}, {PUBLIC}"}
    if table.kind not in TABLES:
        return transaction(prepared, asked)
    copy = f"pg_temp.{identifier(table.layer.table)}"
    prepared["copy"] = f"CREATE TEMPORARY TABLE {copy} (LIKE {real} {COPY_OF}) ON COMMIT DROP"
    if not given:
        return transaction(prepared, {**asked, "row": f"INSERT INTO {copy} DEFAULT VALUES"})
    insert = f"INSERT INTO {copy} ({names})"
    asked["existing row"] = f"{insert} SELECT {names} FROM {real} LIMIT 1"
    for number, key in enumerate(_keys_of(table, given)):
        asked[f"key {number}"] = f"SELECT EXISTS (SELECT FROM {key['table']})"
    if candidates := _candidates(table, given):
        asked["row"] = f"{insert} {_search(table, given, candidates)}"
        asked["any row"] = f"{insert} {_search(table, given, candidates, anything=True)}"
    return transaction(prepared, asked)


def _keys_of(table: Table, given: Sequence[Column]) -> list[Json]:
    """Give the foreign keys that a row cannot leave empty."""
    must = {column.name for column in given if column.not_null}
    return [key for key in table.foreign_keys if must & set(key["columns"])]


def _candidates(table: Table, given: Sequence[Column]) -> list[str]:
    """Give sets of values for the columns, as items of FROM; none when no value of some type is known."""
    items, left = [], {column.name: column for column in given}
    for number, key in enumerate(_keys_of(table, given)):
        mine = [(name, other) for name, other in zip(key["columns"], key["references"], strict=True) if name in left]
        if not mine:
            continue
        others = ", ".join(identifier(other) for _, other in mine)
        names = ", ".join(identifier(name) for name, _ in mine)
        rows = f"SELECT {others} FROM {key['table']} LIMIT {MOST_ROWS_ELSEWHERE}"
        items.append(f"({rows}) key_{number} ({names})")
        left = {name: column for name, column in left.items() if name not in dict(mine)}
    for number, column in enumerate(left.values()):
        values = _values(table, column)
        if not values:
            return []
        items.append(f"({values}) value_{number} ({identifier(column.name)})")
    return items


def _search(table: Table, given: Sequence[Column], candidates: Sequence[str], *, anything: bool = False) -> str:
    """Give a query for a row that all constraints allow, so that PostgreSQL looks for it."""
    mine = {column.name for column in given}
    conditions = [check["expression"] for check in table.checks if set(check["columns"]) <= mine]
    for column in given:
        # A domain's constraint says VALUE for what it is about.
        name = identifier(column.name).replace("\\", r"\\")
        conditions += [re.sub(r"\bVALUE\b", name, rule) for rule in column.rules]
    where = " AND ".join(f"({condition}) IS NOT FALSE" for condition in conditions) if not anything else ""
    names = ", ".join(identifier(column.name) for column in given)
    return f"SELECT {names} FROM {', '.join(candidates)}{f' WHERE {where}' if where else ''} LIMIT 1"


# Values --------------------------------------------------------------------------------------------------------------

BY_CATEGORY = {"B": ("true", "false"), "A": ("'{}'",), "R": ("'empty'",), "I": ("'127.0.0.1'",)}
BY_TYPE = {
    "uuid": ("'00000000-0000-4000-8000-000000000001'",),
    "json": ("'{}'",),
    "jsonb": ("'{}'",),
    "bytea": ("''",),
    "xml": ("'<a/>'",),
    "interval": ("'1 day'",),
    "date": ("current_date",),
    "time": ("localtime",),
    "timestamp": ("localtimestamp",),
}
SHAPES = {
    "POINT": "({0})",
    "LINESTRING": "({0}, {1})",
    "POLYGON": "(({0}, {1}, {2}, {0}))",
    "MULTIPOINT": "(({0}))",
    "MULTILINESTRING": "(({0}, {1}))",
    "MULTIPOLYGON": "((({0}, {1}, {2}, {0})))",
    "GEOMETRYCOLLECTION": "(POINT{dimensions}({0}))",
}
GEOMETRY = re.compile(
    r"(?:.*\.)?(?:geometry|geography)(?:\((?P<kind>[A-Za-z]+?)(?P<more>ZM|Z|M)?(?:,(?P<srid>\d+))?\))?"
)
CORNERS = ((0, 0), (1, 0), (0, 1))


def _values(table: Table, column: Column) -> str:
    """Give a query for values of a column that its constraints may allow; empty when none is known."""
    about = [*column.rules, *(c["expression"] for c in table.checks if column.name in c["columns"])]
    if column.category == "E":
        return f"SELECT pg_catalog.unnest(pg_catalog.enum_range(NULL::{column.base}))"
    values = [f"({value})::{column.base}" for value in dict.fromkeys(_guesses(column, "\n".join(about)))]
    if column.default and not column.counts:
        values.insert(0, f"({column.default})::{column.base}")
    if not column.not_null:
        values.insert(0, f"NULL::{column.base}")
    return f"VALUES {', '.join(f'({value})' for value in values)}" if values else ""


def _guesses(column: Column, about: str) -> Iterator[str]:
    """Guess values from a type, and from what the constraints' expressions say."""
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", about)]
    texts = [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", about)]
    if found := GEOMETRY.fullmatch(column.base):
        yield from _geometries(found, texts, numbers)
    elif column.category == "N":
        near = [str(number + step).removesuffix(".0") for number in numbers for step in (0, 1, -1)]
        yield from ("1", *near, "0")
    elif column.category == "S":
        lengths = [int(number) for number in numbers if number <= LONGEST_TEXT]
        yield from map(literal, ("a", *texts, "A", "1", "", *("a" * length for length in lengths)))
    elif column.category == "V":
        yield f"pg_catalog.repeat('0', {max(map(int, re.findall(r'[0-9]+', column.base)), default=1)})"
    elif column.category in "DT" or column.base in BY_TYPE:
        kind = re.split(r"[ (]", column.base)[0]
        days = [literal(text) for text in texts if re.match(r"\d{4}-\d\d-\d\d", text)]
        yield from (*BY_TYPE.get(kind, ()), *days)
    else:
        yield from BY_CATEGORY.get(column.category, ())


def _geometries(found: re.Match[str], texts: Iterable[str], numbers: Iterable[float]) -> Iterator[str]:
    kind, more = (found["kind"] or "").upper(), (found["more"] or "").upper()
    named = [kind] if kind in SHAPES else [text.upper() for text in texts if text.upper() in SHAPES]
    systems = (
        [found["srid"]] if found["srid"] else [str(int(number)) for number in numbers if number >= LEAST_SRID] or ["0"]
    )
    for shape, srid in itertools.product(named or SHAPES, systems):
        corners = [" ".join(map(str, (*corner, *[0] * len(more)))) for corner in CORNERS]
        dimensions = f" {more} " if more else ""
        yield literal(f"SRID={srid};{shape}{dimensions}{SHAPES[shape].format(*corners, dimensions=dimensions)}")


# Judging -------------------------------------------------------------------------------------------------------------

REFUSED = "42501"
READ_ONLY = "25006"
NOT_NOW = {"57014": "PostgreSQL took too long", "55P03": "somebody else has locked its table", READ_ONLY: ""}
"""What tells nothing of the layer."""
OF_THE_QUESTION = ("22", "42")
"""Classes of errors that a guess makes which its type does not hold, or another table that may not be read."""
WITH_DETAIL = ("0A000", "42809", "55000")
"""Of errors whose details hold nothing of a row: that a view cannot be written."""
GRANTS = (
    (r"for schema (\S+)", "GRANT USAGE ON SCHEMA {0} TO {role};"),
    (r"for sequence (\S+)", "GRANT USAGE ON SEQUENCE {table} TO {role};"),
    (r"", "GRANT INSERT ON {table} TO {role};"),
)
COULD_BEFORE = "Before this release people could."
NO_KEY = "it has no key that Lizmap can use."
GIVE_KEY = {
    "v": "Choose the column that tells its rows apart: in QGIS Desktop, add the view again with its Feature id, save, "
    "apply the Lizmap plugin, and run again.",
    "": "Give the table a primary key: ALTER TABLE {table} ADD PRIMARY KEY (…);",
}
MEND_VIEW = "Have people edit the table that it shows, or give it an INSTEAD OF INSERT trigger."
MEND_CONSTRAINT = (
    "If there is a value that people can enter, all is well. Otherwise change the constraint, or give the column a "
    "default."
)
GENERATED = (
    "its table has generated columns ({columns}), whose expressions Lizmap takes for defaults and cannot evaluate. "
    "Take them out of what WFS publishes (QGIS Desktop: the layer's Properties, Fields, Do not expose via WFS), or "
    "compute them in a trigger or a view."
)
APOSTROPHE = "Lizmap cannot read a table whose name or schema has an apostrophe ({table}). Rename it."


def without_table(layer: EditedLayer) -> RowVerdict | None:
    """Judge a layer whose rows are in no table that can be asked for."""
    if not layer.table:
        return RowVerdict(untried="its features are not in a table of the Pi's PostGIS")
    if layer.table.startswith("("):
        return RowVerdict(problem="it is a query, and Lizmap can edit tables and views only. Make a view of it.")
    try:
        identifier(layer.table)
        identifier(layer.schema or PUBLIC)
    except PostgresError as error:
        return RowVerdict(problem=str(error))
    return None


def read_table(layer: EditedLayer, answers: Mapping[str, Json]) -> Table | RowVerdict:
    """Read what the catalogs say."""
    answer = answers["table"]
    if "state" in answer:
        return RowVerdict(untried=_words(answer))
    rows = list((answer["rows"] or {}).values())
    if not rows:
        return RowVerdict(problem=f"{layer.name} is not in the Pi's database. Load it, or point the layer to another.")
    return Table(layer, json.loads(rows[0]["0"]))


def judge(table: Table, answers: Mapping[str, Json]) -> RowVerdict:
    """Say what a trial showed."""
    problem, untried = _judge(table, answers)
    names = ", ".join(column.name for column in table.columns if column.generated)
    about = [GENERATED.format(columns=names)] if names else []
    if problem.startswith(NO_KEY):
        about.append(problem)
    if "'" in table.layer.name:
        about.append(APOSTROPHE.format(table=table.layer.name))
    return RowVerdict(
        problem=printable(problem),
        untried=printable(untried),
        # What a trigger fills in, nobody needs to enter.
        needed=() if table.filled_in else table.needed,
        counting=printable(
            next((f"{c.name}: {c.default}" for c in table.columns if c.counts and not _is_serial(c)), "")
        ),
        form_fails=printable(" ".join(about)),
    )


def _is_serial(column: Column) -> bool:
    """Tell what Lizmap takes for a number that goes on, so that it does not ask for it."""
    return not column.calls and bool(re.fullmatch(r"nextval\(.*\)", column.default))


def _judge(table: Table, answers: Mapping[str, Json]) -> tuple[str, str]:
    real = table.layer.name
    if not table.primary_key and not (table.kind == "v" and table.layer.key):
        return f"{NO_KEY} {GIVE_KEY.get(table.kind, GIVE_KEY['']).format(table=real)}", ""
    allowed = answers["allowed"]
    if "state" in allowed:
        return _because(table, allowed)
    for column in table.columns:
        for sequence in column.closed_sequences:
            said = {"state": REFUSED, "message": f"permission denied for sequence {sequence}", "sequence": sequence}
            return _because(table, said)
    if table.kind not in TABLES:
        return "", ""
    if "state" in answers["copy"]:
        return "", _words(answers["copy"])
    return _judge_row(table, answers)


def _judge_row(table: Table, answers: Mapping[str, Json]) -> tuple[str, str]:
    rows = [answers[name] for name in ("existing row", "row", "any row") if name in answers]
    if any(answer.get("written") for answer in rows):
        return "", "its row-level security was not tried" if table.policies else ""
    for number, key in enumerate(_keys_of(table, table.given())):
        if answers[f"key {number}"].get("rows", {}).get("0", {}).get("0") == "f":
            columns = ", ".join(key["columns"])
            return (
                f"PostgreSQL wants a row of {key['table']} in {columns} (foreign key {key['name']}), which has none. "
                f"Add rows to {key['table']} first.",
                "",
            )
    for answer in rows:
        if answer.get("state", "").startswith(OF_THE_QUESTION):
            return "", _words(answer)
        if "state" in answer:
            return _because(table, answer)
    return "", "no value of one of its columns is known, and it has no row yet"


def _because(table: Table, answer: Json) -> tuple[str, str]:
    """Say what PostgreSQL said: as a problem with what helps, or as why nothing is known."""
    state, words = answer["state"], _words(answer)
    if state in NOT_NOW:
        return "", NOT_NOW[state] or f"a default or a constraint of its table writes elsewhere ({words})"
    if state == REFUSED:
        grant = next(grant for pattern, grant in GRANTS if re.search(pattern, answer["message"]))
        found = re.search(GRANTS[0][0], answer["message"])
        about = answer.get("sequence") or table.layer.name
        told = grant.format(found[1] if found else "", table=about, role=identifier(table.role))
        return f"{words}. As its owner: {told}", ""
    return f"{words}. {MEND_VIEW if table.kind not in TABLES else MEND_CONSTRAINT}", ""


def _words(answer: Json) -> str:
    """Give PostgreSQL's own words, without what is in a row."""
    detail = answer.get("detail", "") if answer["state"] in WITH_DETAIL else ""
    return "PostgreSQL says: " + ": ".join(part.rstrip(".") for part in (answer["message"], detail) if part)


def sentence(trial: Mapping[str, Any]) -> str:
    """Tell people of a layer that cannot be edited."""
    return printable(f"{trial['map']}, layer '{trial['layer']}': nobody can add a feature, for {trial['problem']}")


def broken_since(trials: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tell of each layer that nobody can add features to, and people could in trials before."""
    could = {(trial["map"], trial["layer_id"]) for trial in before if not trial["problem"] and not trial["untried"]}
    return [
        f"{sentence(trial)} {COULD_BEFORE}"
        for trial in trials
        if trial["problem"] and (trial["map"], trial["layer_id"]) in could
    ]
