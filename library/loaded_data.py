#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: files of the controller in a database that exists."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: loaded_data
short_description: Load dumps, GeoPackages, shapefiles and CSV into a database that exists
version_added: "0.1.0"
description:
  - Loads files of the controller into a scratch database beside the one that is served, compares what came with what
    the files hold, and only then lets it take the served one's place, or adds its tables there, in one transaction.
  - Whatever ends it before leaves the database as it was. What is replaced is kept under another name,
    C(NAME__before_TIME), closed, which O(mode=undo) puts in place again.
  - Files are judged on the controller before anything is sent, and the room on the host before anything is written.
  - SQL and archives of pg_dump are loaded by the superuser, as at the first start, so take files that you trust. What
    they hold goes to the owner of the database; roles that they name and the server lacks are made for the time of
    loading.
  - GeoPackages (C(.gpkg)), shapefiles (C(.shp), or a C(.zip) with some) and C(.csv) are made SQL on the controller by
    GDAL's C(ogr2ogr), and loaded by the owner of the database.
  - Rights that other roles have in the database, they have in what replaces it, too.
options:
  container:
    description: Name of the database's container.
    type: str
    default: websig-postgis
  database:
    description: The database, which exists.
    type: str
    required: true
  files:
    description:
      - Files on the controller, loaded in this order. Their names end with C(.sql), C(.sql.gz), C(.dump), C(.gpkg),
        C(.shp), C(.zip) or C(.csv).
      - Needed unless O(mode=undo).
    type: list
    elements: path
    default: []
  mode:
    description:
      - With V(replace) the database holds what the files hold, and nothing else. With V(add) their tables come to those
        that are there, of which none is changed; one that is there already is refused.
      - With V(undo) the newest copy that a V(replace) has kept takes its place again, and what was there is kept
        instead.
    type: str
    choices: [replace, add, undo]
    default: replace
  again:
    description: Whether to load files that were loaded already.
    type: bool
    default: false
  prune:
    description: Whether to remove the copies of what was there before, but for the newest one.
    type: bool
    default: false
  srs:
    description: The coordinate system, as C(EPSG:2154), of layers that do not tell theirs.
    type: str
    default: ""
  encoding:
    description:
      - The encoding, as C(CP1252), of shapefiles that do not tell theirs, and of CSV files that are not in UTF-8.
    type: str
    default: ""
  table:
    description: The table that a layer becomes, where a file has one layer. The layer's name unless it is given.
    type: str
    default: ""
  keep_names:
    description:
      - Whether layers and columns keep capitals, accents and blanks in their names. Otherwise tables get small letters
        without accents, digits and C(_).
    type: bool
    default: false
  secrets_folder:
    description: Folder of the host with the password of the database's owner, which loads what GDAL has written.
    type: path
    default: /etc/poppyfield/secrets
attributes:
  check_mode:
    support: full
    description: Judges the files, looks at the host, and tells which tables would come. Sends nothing.
  diff_mode:
    support: none
    description: RV(tables) has what comes.
  idempotent:
    support: partial
    description: Files that were loaded already are not loaded again. O(mode=undo) undoes the newest replacement.
  action:
    support: full
    description: The action plugin of the same name does what is done on the controller.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Replace the database by what the office has now
  loaded_data:
    database: gis
    files: [~/maps/gis.dump]

- name: Add the tables of another file
  loaded_data:
    database: gis
    files: [~/maps/parcels.sql]
    mode: add
"""

RETURN = r"""
msg:
  description: What was done, or would be done in check mode, in a sentence.
  returned: always
  type: str
  sample: "gis holds 1 tables now: public.parcels (1204 rows). What was there is kept as gis__before_20261129101500."
tables:
  description: The tables that came, or would come, with their rows.
  returned: success
  type: list
  elements: str
kept:
  description: The database that has what was there before, empty when nothing was replaced.
  returned: success
  type: str
"""

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import own_container
from ansible.module_utils.poppyfield.containers.apply import ApplyError, container_lock
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, Result, last_lines
from ansible.module_utils.poppyfield.containers.plan import PlanError, is_running
from ansible.module_utils.poppyfield.containers.services import POSTGIS, SECRETS_FOLDER
from ansible.module_utils.poppyfield.host import password_file
from ansible.module_utils.poppyfield.host.password_file import PasswordFileError
from ansible.module_utils.poppyfield.postgis import loading, postgres
from ansible.module_utils.poppyfield.postgis.contents import FileTable
from ansible.module_utils.poppyfield.postgis.loading import LoadedTable, LoadError, Served
from ansible.module_utils.poppyfield.postgis.postgres import LOADING_SUFFIX

Json = dict[str, Any]
CHUNK = 256 * 1024
DATA_TARGET = "/var/lib/postgresql/data"
ARGUMENTS: Json = {
    "container": {"type": "str", "default": POSTGIS.container},
    "database": {"type": "str", "required": True},
    "files": {"type": "list", "elements": "path", "default": []},
    "mode": {"type": "str", "choices": ["replace", "add", "undo"], "default": "replace"},
    "again": {"type": "bool", "default": False},
    "prune": {"type": "bool", "default": False},
    **{name: {"type": "str", "default": ""} for name in ("srs", "encoding", "table")},
    "keep_names": {"type": "bool", "default": False},
    "secrets_folder": {"type": "path", "default": SECRETS_FOLDER},
}
OF_PLUGIN: Json = {
    # What the action plugin knows of the files, where it has sent them, and the digest of all.
    "_files": {"type": "raw", "default": []},
    "_tables": {"type": "raw", "default": []},
    "_digest": {"type": "str", "default": ""},
    "_folder": {"type": "path"},
    "_look": {"type": "bool", "default": False},
}


@dataclass(frozen=True)
class SentFile:
    """A file on its way into the database."""

    name: str
    kind: str
    size: int
    room: int
    """Bytes that what is in it takes in the database."""
    path: str = ""
    kept: tuple[int, ...] = ()
    sorting: str = ""
    makes_extensions: bool = False

    @property
    def is_spatial(self) -> bool:
        """Tell whether GDAL wrote it."""
        return self.kind == "spatial"


@dataclass(frozen=True)
class Wanted:
    """What is to be loaded."""

    database: str
    files: tuple[SentFile, ...] = ()
    tables: tuple[FileTable, ...] = ()
    digest: str = ""
    adds: bool = False

    @classmethod
    def of(cls, params: Json) -> Wanted:
        """Read it from the module's parameters."""
        files = tuple(SentFile(**{**file, "kept": tuple(file["kept"])}) for file in params["_files"])
        tables = tuple(FileTable.of_plain(table) for table in params["_tables"])
        return cls(params["database"], files, tables, params["_digest"], params["mode"] == "add")


class Loader:
    """Loads into the server of one container, a step at a time."""

    def __init__(self, engine: Engine, container: str, owner_password: str = "") -> None:
        self.engine = engine
        self.container = container
        self.owner_password = owner_password
        self.warnings: list[str] = []
        """What did not succeed after the data were in place."""

    def look(self, database: str) -> Served | None:
        """Look at a database."""
        found: Served | None = loading.read_look(self._own(loading.look_script(database)))
        return found

    def load(self, wanted: Wanted, served: Served, stamp: str) -> tuple[list[LoadedTable], str]:
        """Load; give the tables that came, and the name of what was replaced. Raises LoadError."""
        aside = "" if wanted.adds else loading.before_name(served.name, stamp)
        scratch = served.name + LOADING_SUFFIX
        self._own(loading.clear_script(served.name))
        try:
            self._make(wanted, served)
            for file in wanted.files:
                self._load_file(file, scratch, served.owner)
            trial = self.look(scratch) or served
            if wanted.adds and (problem := loading.addition_problem(served, trial)):
                raise LoadError(problem)
            self._own(loading.settle_script(served, trial, as_served=not wanted.adds))
            tables = loading.read_tables(self._own(loading.tables_script(scratch)))
            if told := loading.differences(wanted.tables, tables):
                raise LoadError(f"not all that the files have came: {'; '.join(told)}")
            self._finish(wanted, served, aside)
        except (EngineError, LoadError) as error:
            with suppress(EngineError):
                self._own(loading.clear_script(served.name))
            raise LoadError(str(error).rstrip(".")) from error
        if wanted.adds:
            self._afterwards(loading.mark_script(served.name, [*served.loaded, wanted.digest]))
            self._afterwards(loading.clear_script(served.name))
        return tables, aside

    def _afterwards(self, script: str) -> None:
        """Do what comes after the data are in place, whose failure takes nothing back."""
        try:
            self._own(script)
        except EngineError as error:
            self.warnings.append(f"The data are in place, but what comes after failed: {error}")

    def undo(self, served: Served, stamp: str) -> str:
        """Put the newest copy in place; give the name of what was there."""
        if not served.copies:
            raise LoadError(f"there is no copy of {served.name} from an earlier load")
        aside: str = loading.before_name(served.name, stamp)
        self._own(loading.swap_script(served.name, served.copies[-1], aside))
        return aside

    def prune(self, copies: Sequence[str]) -> None:
        """Remove copies."""
        self._afterwards(loading.prune_script(copies))

    def _make(self, wanted: Wanted, served: Served) -> None:
        sorting = "" if wanted.adds else next((file.sorting for file in wanted.files if file.sorting), "")
        bring_own = any(file.makes_extensions for file in wanted.files)
        extensions = () if bring_own else served.extensions - {"plpgsql"}
        self._own(loading.make_script(served, sorting, extensions))

    def _load_file(self, file: SentFile, scratch: str, owner: str) -> None:
        user, beginning = postgres.SUPERUSER, b""
        if file.is_spatial:
            role = None if owner == postgres.SUPERUSER else postgres.Role(owner, self.owner_password)
            user, argv, first = postgres.loading_command(postgres.FirstContent("", scratch, role, ""))
            beginning = first.encode()
        elif file.kind == "dump":
            argv = loading.restoring_command(scratch, chosen=bool(file.kept))
            beginning = f"{' '.join(map(str, file.kept))}\n".encode() if file.kept else b""
        else:
            argv = loading.sql_command(scratch)
        result = self.engine.execute(self.container, user, argv, _content(beginning, file))
        if result.code:
            said = loading.last_error(result.errors).replace("<stdin>", file.name)
            raise LoadError(f"{file.name} could not be loaded: {said}. Correct it, then load again")

    def _finish(self, wanted: Wanted, served: Served, aside: str) -> None:
        scratch = served.name + LOADING_SUFFIX
        if not wanted.adds:
            self._own(loading.swap_script(served.name, scratch, aside, [wanted.digest]))
            return
        command, login = loading.adding_command(served, self.owner_password)
        _output(self.engine.execute(self.container, postgres.SUPERUSER, command, [login.encode()]))

    def _own(self, script: str) -> str:
        return _output(
            self.engine.execute(self.container, postgres.SUPERUSER, postgres.SUPERUSER_PSQL, [script.encode()])
        )


def _output(result: Result) -> str:
    if result.code:
        said = last_lines(result.errors, 5)
        if "lock timeout" in said:
            said = "a backup or another long transaction holds the databases. Load again when it has ended"
        raise EngineError(f"PostgreSQL refused: {said}")
    return str(result.output)


def _content(beginning: bytes, file: SentFile) -> Iterator[bytes]:
    if beginning:
        yield beginning
    unpack: Any = gzip.open if file.kind == "sql.gz" else Path.open
    with unpack(Path(file.path), "rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


# What is done -------------------------------------------------------------------------------------------------------


def data_folder(container: Json) -> str:
    """Give the folder of the host that the server's data lie in."""
    mounts = {mount["Destination"]: mount["Source"] for mount in container.get("Mounts") or []}
    return str(mounts.get(DATA_TARGET, "/"))


def check_room(wanted: Wanted, served: Served, container: Json, upload: str | None) -> None:
    """Raise LoadError where the disk has no room for the files, and for what is in them beside what is there."""
    needs = []
    for folder, needed in (
        (upload or "/", sum(file.size for file in wanted.files)),
        # An addition is there twice while it is copied.
        (data_folder(container), sum(file.room for file in wanted.files) * (2 if wanted.adds else 1)),
    ):
        disk = os.statvfs(folder)
        needs.append((folder, Path(folder).stat().st_dev, needed, disk.f_bavail * disk.f_frsize))
    if problem := loading.room_problem(needs):
        raise LoadError(problem)


def converge(engine: Engine, params: Json, *, check_mode: bool) -> Json:
    """Look, and do what is wanted."""
    container = own_container.require(engine, POSTGIS.name, params["container"])
    if not is_running(container):
        raise PlanError(f"{params['container']} does not run: -e state=started of playbooks/service.yml starts it.")
    changes = not (check_mode or params["_look"])
    with container_lock(params["container"]) if changes else nullcontext():
        loader = Loader(engine, container["Id"])
        served = loader.look(params["database"])
        if served is None:
            raise LoadError(
                f"there is no database {params['database']} on this Pi. Add it to postgis_databases, and run site.yml"
            )
        if params["mode"] == "undo":
            return _undo(loader, served, changes=changes)
        return _load(loader, served, Wanted.of(params), params, container, changes=changes)


def _undo(loader: Loader, served: Served, *, changes: bool) -> Json:
    copy = served.copies[-1] if served.copies else ""
    if not changes and copy:
        return {"changed": True, "msg": f"{copy} would take the place of {served.name}.", "tables": [], "kept": ""}
    kept = loader.undo(served, loading.stamp_after(served.copies, _now()))
    said = f"{copy} is in place again. What was there is kept as {kept}."
    return {"changed": True, "msg": said, "tables": [], "kept": kept}


def _load(loader: Loader, served: Served, wanted: Wanted, params: Json, container: Json, *, changes: bool) -> Json:
    # The newest copy stays until a new one is there; older ones may be what fills the disk.
    older = list(served.copies[:-1]) if params["prune"] else []
    if wanted.digest in served.loaded and not params["again"]:
        if changes and older:
            loader.prune(older)
        said = f"These files were loaded into {served.name} already. To load them once more, add -e again=true."
        return {"changed": bool(older), "msg": said, "tables": [], "kept": "", "postgresql": served.postgresql}
    if wanted.adds:
        loading.refuse_clashes(served, wanted.tables)
    if changes and older:
        loader.prune(older)
    if changes or not older:
        check_room(wanted, served, container, params["_folder"])
    if not changes:
        tables = [table.said() for table in wanted.tables]
        said = f"{served.name} would {'get' if wanted.adds else 'hold'} {_listed(tables)}."
        return {"changed": True, "msg": said, "tables": tables, "kept": "", "postgresql": served.postgresql}
    logs_in = wanted.adds or any(file.is_spatial for file in wanted.files)
    if logs_in and served.owner != postgres.SUPERUSER:
        loader.owner_password = password_file.read(Path(params["secrets_folder"]) / f"postgis_{served.owner}").strip(
            "\n"
        )
    found, kept = loader.load(wanted, served, loading.stamp_after(served.copies, _now()))
    # Of a load that replaced something the copy is the newest.
    if params["prune"] and kept and served.copies:
        loader.prune(served.copies[-1:])
    tables = [f"{table.schema}.{table.name} ({table.rows} rows)" for table in found]
    said = f"{served.name} {'got' if wanted.adds else 'holds now'} {_listed(tables)}."
    if kept:
        said += f" What was there is kept as {kept}; -e mode=undo puts it in place again."
    result = {"changed": True, "msg": said, "tables": tables, "kept": kept, "postgresql": served.postgresql}
    return {**result, "warnings": [*loading.warnings(found), *loader.warnings]}


def _listed(tables: Sequence[str]) -> str:
    return f"{len(tables)} tables: {', '.join(tables)}" if tables else "no table that the files tell of"


def _now() -> str:
    return f"{datetime.now(UTC):{loading.STAMP}}"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**ARGUMENTS, **OF_PLUGIN}, supports_check_mode=True)
    try:
        result = converge(Engine.connect(), module.params, check_mode=module.check_mode)
    except LoadError as error:
        name = module.params["database"]
        module.fail_json(msg=f"Nothing was changed: {error}. The database {name} is as it was.")
    except (ApplyError, EngineError, PasswordFileError, PlanError, json.JSONDecodeError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    for words in result.pop("warnings", []):
        module.warn(words)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
