"""Whether the pages of a database are on the disk what PostgreSQL wrote, and what is damaged. Pure, but for `look`.

PostgreSQL puts a checksum into each page, and looks at it only when it reads that page from the disk: what rots in a
table that nobody opens, or in an index, would be seen when the last good backup is gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

STATE = "var/lib/poppyfield/data-check/state.json"
"""Where it is written down what the last look found."""
PAGE = 8192
SEGMENT_PAGES = 131072
"""A table of more than 1 GB is in several files."""
CHECKSUM = slice(8, 10)
"""Where a page has its checksum, which is not part of what is summed."""
UPPER = slice(14, 16)
"""Where it says how far its rows reach: 0 in one that was never used."""
FILE = re.compile(r"(?:base/(?P<database>\d+)|global)/(?P<filenode>\d+)(?:\.(?P<segment>\d+))?")
"""What holds rows or keys. What tells of free room PostgreSQL makes again where it is damaged."""
MOST_TOLD = 20
WHOLE, DAMAGED, UNKNOWN = "whole", "damaged", "not checked"

# The rest is PostgreSQL's own way to sum a page (checksum_impl.h): 32 sums of 32 bits side by side, here 16 in each of
# two integers with 64 bits for each, so that all of them are multiplied at once, and none runs into the next.
LANES = 16
ROW = 128
PRIME = 16777619
BEGINNINGS = (
    *(0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C),
    *(0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB),
    *(0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4),
    *(0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756),
)
LOW = sum(0xFFFFFFFF << 64 * lane for lane in range(LANES))
EVEN, ODD = (sum(one << 64 * lane for lane, one in enumerate(BEGINNINGS[first::2])) for first in (0, 1))


def checksum(page: bytes, block: int) -> int:
    """Give the checksum that PostgreSQL puts into this page of a table, whatever it has there."""
    summed = page[: CHECKSUM.start] + b"\0\0" + page[CHECKSUM.stop :]
    even, odd = EVEN, ODD
    for start in range(0, PAGE, ROW):
        row = int.from_bytes(summed[start : start + ROW], "little")
        even, odd = _step(even ^ (row & LOW)), _step(odd ^ (row >> 32 & LOW))
    for _ in range(2):
        even, odd = _step(even), _step(odd)
    both = even ^ odd
    folded = block
    for lane in range(LANES):
        folded ^= both >> 64 * lane & 0xFFFFFFFF
    return folded % 65535 + 1


def _step(mixed: int) -> int:
    return (mixed * PRIME & LOW) ^ (mixed >> 17 & LOW)


def is_whole(page: bytes, block: int) -> bool:
    """Tell whether a page is what was written: one that was never used is empty altogether."""
    if page[UPPER] == b"\0\0":
        return not any(page)
    return int.from_bytes(page[CHECKSUM], "little") == checksum(page, block)


def first_block(file: str) -> int | None:
    """Give the number of the first page in a file of a cluster; None for one that holds neither rows nor keys."""
    found = FILE.fullmatch(file)
    return int(found["segment"] or 0) * SEGMENT_PAGES if found else None


def place_of(file: str) -> tuple[str, str]:
    """Give the numbers of database, empty for what all of them share, and file, by which PostgreSQL names its table."""
    found = FILE.fullmatch(file)
    return (found["database"] or "", found["filenode"]) if found else ("", "")


def asked(filenodes: Iterable[str]) -> str:
    """Give the query for what these files of a database hold: by number the table, and the index where it is of one."""
    numbers = ", ".join(sorted({*filenodes}))
    return f"""
        SELECT coalesce(json_object_agg(pg_relation_filenode(c.oid), json_build_object(
            'table', coalesce(o.oid, i.indrelid, c.oid)::regclass::text,
            'index', CASE WHEN c.relkind = 'i' THEN c.oid::regclass::text END)), '{{}}')
        FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
        LEFT JOIN pg_class o ON o.reltoastrelid = coalesce(i.indrelid, c.oid) AND o.reltoastrelid <> 0
        WHERE pg_relation_filenode(c.oid) IN ({numbers})"""  # noqa: S608 - numbers alone


def damaged(
    pages: Mapping[str, Sequence[int]], databases: Mapping[str, str], names: Mapping[tuple[str, str], Json]
) -> list[Json]:
    """Give what is damaged, from damaged pages by file, the databases' names, and what their files hold.

    Where PostgreSQL can't tell it is named by its file.
    """
    found = []
    for file, blocks in sorted(pages.items()):
        place = place_of(file)
        known = names.get(place, {})
        found.append(
            {
                "database": databases.get(place[0]) if place[0] else None,
                "table": known.get("table"),
                "index": known.get("index"),
                "file": file,
                "pages": len(blocks),
            }
        )
    return found[:MOST_TOLD]


def name_of(one: Mapping[str, Any]) -> str:
    """Name what is damaged."""
    if not (one.get("index") or one.get("table")):
        return str(one.get("file"))
    return f"{one.get('index') or one['table']}{' (' + one['database'] + ')' if one.get('database') else ''}"


def look(root: Path = Path("/")) -> Json | None:
    """Give what the last look at the pages of this host found; None where there was none."""
    try:
        found = json.loads((root / STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"at", "result", "damaged"} <= found.keys() else None


def summary(found: Mapping[str, Any] | None) -> list[str]:
    """Tell of the last look in a sentence."""
    if found is None:
        return []
    when = f"{found['at'][:16].replace('T', ' ')} UTC"
    if found["result"] == DAMAGED:
        return [f"Data: on {when} damaged on the disk: {', '.join(name_of(one) for one in found['damaged'])}."]
    if found["result"] == WHOLE:
        return [f"Data: on {when} all {found['pages']} pages of the databases were read, and whole."]
    return [f"Data: on {when} the pages of the databases could not be read: {found['said']}"]
