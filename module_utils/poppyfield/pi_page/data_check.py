"""Reads each page of the database from this Pi's disk, and writes down which are damaged: once a week, by a timer.

It reads the files themselves, so that it sees what is on the disk and not what PostgreSQL has in memory, and also where
PostgreSQL does not start. PostgreSQL is asked only for the names of what is damaged. Nothing of the data is changed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.containers.services import POSTGIS
from ansible.module_utils.poppyfield.containers.spec import name_of
from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.pi_page import program
from ansible.module_utils.poppyfield.pi_page.order_helper import of_service
from ansible.module_utils.poppyfield.postgis import data_pages

Json = dict[str, Any]
Said = Callable[..., str]

DATA = "/var/lib/postgresql/data"
"""Where the container has its data."""
CLUSTER = "cluster"
AT_ONCE = 128
"""Pages, after which it rests for as long as they took: the map comes first."""
AGAIN_SECONDS = 1.0
TIMES = 5
"""So often a page is read again before it is called damaged: PostgreSQL may just be writing it."""


@dataclass
class PageReader:
    """Reads the pages of a cluster."""

    cluster: Path
    rest: Callable[[float], None] = time.sleep
    pages: int = 0
    """So many were read."""

    def damaged(self) -> dict[str, list[int]]:
        """Give the numbers of the damaged pages by file. Raises OSError where there is no cluster."""
        found = {}
        for folder in [self.cluster / "global", *sorted((self.cluster / "base").iterdir())]:
            for path in sorted(folder.iterdir()):
                file = str(path.relative_to(self.cluster))
                first = data_pages.first_block(file)
                blocks = [] if first is None else list(self._damaged_in(path, first))
                if blocks:
                    found[file] = blocks
        return found

    def _damaged_in(self, path: Path, first: int) -> Iterator[int]:
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # it was dropped meanwhile
            return
        try:
            # What is in memory would hide what became of it on the disk.
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            began = time.monotonic()
            for number in range(os.fstat(handle).st_size // data_pages.PAGE):
                self.pages += 1
                if not self._is_whole(handle, number, first + number) and self._stays_damaged(handle, number, first):
                    yield first + number
                if number % AT_ONCE == AT_ONCE - 1:
                    self.rest(time.monotonic() - began)
                    began = time.monotonic()
        finally:
            os.close(handle)

    def _stays_damaged(self, handle: int, number: int, first: int) -> bool:
        for _ in range(TIMES):
            self.rest(AGAIN_SECONDS)
            if self._is_whole(handle, number, first + number):
                return False
        return True

    def _is_whole(self, handle: int, number: int, block: int) -> bool:
        try:
            page = os.pread(handle, data_pages.PAGE, number * data_pages.PAGE)
        except OSError:
            return False
        # One that was cut off meanwhile is gone.
        return len(page) < data_pages.PAGE or data_pages.is_whole(page, block)


def names_of(pages: Mapping[str, Sequence[int]], container: str, said: Said) -> list[Json]:
    """Give what is damaged, by the names that PostgreSQL has for it."""
    places = {data_pages.place_of(file) for file in pages}
    databases = _asked(container, "postgres", "SELECT json_object_agg(oid, datname) FROM pg_database", said)
    names = {}
    for number in {database for database, _ in places}:
        query = data_pages.asked(filenode for database, filenode in places if database == number)
        held = _asked(container, databases.get(number, "postgres"), query, said)
        names.update({(number, filenode): one for filenode, one in held.items()})
    return data_pages.damaged(pages, databases, names)


def _asked(container: str, database: str, query: str, said: Said) -> Json:
    """Ask PostgreSQL for an object; empty where it does not answer, as when the catalogue itself is damaged."""
    command = ["docker", "exec", "--env", "PGOPTIONS=-c search_path=", container, "psql", "--no-psqlrc", "--quiet"]
    options = ["--tuples-only", "--no-align", "--username=postgres", f"--dbname={database}", f"--command={query}"]
    with suppress(ValueError):
        found = json.loads(said(*command, *options))
        return found if isinstance(found, dict) else {}
    return {}


def look(container: Json | None, said: Said, reader: Callable[[Path], PageReader] = PageReader) -> Json:
    """Read all pages of the database in this container; give what is to be written down."""
    folder = program.mounted(container or {}, DATA)
    if container is None or not folder:
        return {"result": data_pages.UNKNOWN, "said": "there is no database.", "pages": 0, "damaged": []}
    reading = reader(Path(folder) / CLUSTER)
    try:
        pages = reading.damaged()
    except OSError as error:
        return {"result": data_pages.UNKNOWN, "said": f"{error}.", "pages": reading.pages, "damaged": []}
    result = data_pages.DAMAGED if pages else data_pages.WHOLE
    damaged = names_of(pages, name_of(container), said) if pages else []
    return {"result": result, "said": "", "pages": reading.pages, "damaged": damaged}


def main(root: Path = Path("/")) -> int:
    """Run the program; what is damaged is an error in the journal, too."""
    state, before = root / data_pages.STATE, data_pages.look(root)
    containers = program.look_at_docker().own_containers if program.docker_runs() else ()
    container = of_service(list(containers), POSTGIS.name)
    at = datetime.now(tz=UTC).isoformat(timespec="seconds")
    found = {"at": at, **look(container, program.said_by)}
    if found["result"] == data_pages.UNKNOWN and before:
        # What was damaged is so until somebody has looked again.
        found["damaged"] = before["damaged"]
    state.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    atomic_file.write(state, json.dumps(found).encode(), mode=0o644)
    if found["result"] != data_pages.WHOLE:
        sys.stderr.write("\n".join(data_pages.summary(found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
