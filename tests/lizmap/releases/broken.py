"""Releases that must not stay, and what else may be wrong on a Pi or in an inventory when one is deployed."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.poppyfield.containers.container_module import read_meminfo, total_memory

from tests.images.map_server import EMULATED
from tests.images.projects import Layer
from tests.lizmap.releases.pi import Pi, free_port, trees, write_certificate, write_project

REFUSED = "Nothing was changed"
NOT_TOUCHED = "The old container was not touched and serves."
PUT_BACK = "The old container was put back and serves again."
AS_IT_WAS = "The map server was not replaced by this run, so it is as it was."
# The inventory is right, but the database is not as it says.
NOWHERE = {"lizmap_database": "nowhere", "postgis_databases": [{"name": "nowhere", "owner": "gis"}]}
READER = {"lizmap_database_user": "reader", "postgis_roles": [{"name": "gis"}, {"name": "reader"}]}

Variables = dict[str, Any]
SLOWER = 6 if EMULATED else 1
Fault = Callable[[Pi], AbstractContextManager[Variables]]


@contextmanager
def no_fault(_: Pi) -> Iterator[Variables]:
    """Leave the Pi as it is."""
    yield {}


@dataclass(frozen=True)
class Broken:
    """One release, or one fault, and what is said of it."""

    name: str
    says: str
    """What the message names as the cause."""
    then: str
    """What it says of the previous container."""
    image: str = "again"
    variables: Variables = field(default_factory=dict)
    fault: Fault = no_fault
    """Makes the fault, gives further variables, and mends it at the end."""


# Faults --------------------------------------------------------------------------------------------------------------


@contextmanager
def missing_secret(pi: Pi) -> Iterator[Variables]:
    """Take the password of the projects' role away."""
    path = pi.secrets / "postgis_gis"
    path.rename(pi.secrets / "elsewhere")
    yield {}
    (pi.secrets / "elsewhere").rename(path)


@contextmanager
def unreadable_secret(pi: Pi) -> Iterator[Variables]:
    """Let root alone read it."""
    os.chown(pi.secrets / "postgis_gis", 0, 0)
    yield {}
    os.chown(pi.secrets / "postgis_gis", 33, 33)


@contextmanager
def wrong_password(pi: Pi) -> Iterator[Variables]:
    """Write another one than the database has."""
    path = pi.secrets / "postgis_gis"
    right, times = path.read_text("utf-8"), path.stat()
    pi.write_secret("postgis_gis", "not the password")
    yield {}
    pi.write_secret("postgis_gis", right)
    # Its time tells whether it was renewed.
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextmanager
def unreadable_projects(pi: Pi) -> Iterator[Variables]:
    """Give another folder, whose projects an access control list hides from the container's user."""
    projects_folder = pi.folder / "hidden" / "projects"
    projects_folder.mkdir(parents=True)
    projects_folder.chmod(0o755)
    rows = ((1, 7, 2**32 - 1), (2, 0, 33), (4, 5, 2**32 - 1), (16, 5, 2**32 - 1), (32, 5, 2**32 - 1))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
    os.setxattr(projects_folder, "system.posix_acl_access", acl)
    yield {"lizmap_folder": str(pi.folder / "hidden")}
    shutil.rmtree(pi.folder / "hidden")


@contextmanager
def taken_port(_: Pi) -> Iterator[Variables]:
    """Take the port that the map is to have."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        yield {"lizmap_port": server.getsockname()[1]}


@contextmanager
def full_disk(pi: Pi) -> Iterator[Variables]:
    """Fill the disk of Lizmap's state."""
    filler = pi.config / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1024 * 1024, 4096, 1):
            try:
                while stream.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
    yield {}
    filler.unlink()


@contextmanager
def newer_state(pi: Pi) -> Iterator[Variables]:
    """Leave what a newer Lizmap would have left."""
    newer = pi.config / "99.0.0"
    newer.mkdir()
    os.chown(newer, 33, 33)
    yield {}
    for path in (newer, pi.config / ".set-aside-99.0.0"):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def little_memory(_: Pi) -> Iterator[Variables]:
    """Leave too little memory for one worker."""
    share = 48 * 1024 * 1024 / total_memory(read_meminfo())
    yield {"lizmap_memory_limit_share": share, "lizmap_healthy_timeout": 30 * SLOWER}


@contextmanager
def no_table(pi: Pi) -> Iterator[Variables]:
    """Take the table of the trees out of the database."""
    pi.query("ALTER TABLE trees RENAME TO felled")
    yield {}
    pi.query("ALTER TABLE felled RENAME TO trees")


def certificate(**days: int) -> Fault:
    """Give what brings another certificate."""

    @contextmanager
    def fault(pi: Pi) -> Iterator[Variables]:
        yield write_certificate(pi.folder / "other-tls", **days)

    return fault


@contextmanager
def other_key(pi: Pi) -> Iterator[Variables]:
    """Bring the key of another certificate."""
    yield {"lizmap_tls_key": write_certificate(pi.folder / "other-tls")["lizmap_tls_key"]}


def project(*layers: Layer) -> Fault:
    """Give what adds a project."""

    @contextmanager
    def fault(pi: Pi) -> Iterator[Variables]:
        write_project(pi.maps, "other", list(layers))
        yield {}
        for path in pi.maps.glob("other.*"):
            path.unlink()

    return fault


# All of them ---------------------------------------------------------------------------------------------------------

NO_PLUGIN = "QGIS Server did not load its plugin lizmap_server"
FEW_SECONDS: Variables = {"lizmap_healthy_timeout": 20 * SLOWER}
"""For what Poppyfield waits for, as it might still become healthy."""
BROKEN = (
    # Images
    Broken("plugin missing", NO_PLUGIN, NOT_TOUCHED, "no-plugin"),
    Broken("plugin broken", "broken on purpose", NOT_TOUCHED, "broken-plugin"),
    Broken("guard missing", "QGIS Server did not load its plugin poppyfield_guard", NOT_TOUCHED, "no-guard"),
    Broken("plugin too old", "its plugin lizmap_server is missing, or one of both is older", PUT_BACK, "old-plugin"),
    Broken("php-fpm dead", "php-fpm keeps failing", NOT_TOUCHED, "php-fpm-dead"),
    Broken("php-fpm misconfigured", "unknown entry 'no.such.setting'", NOT_TOUCHED, "php-configuration"),
    Broken("PHP: fatal error", "No page of Lizmap came (HTTP/1.1 500", NOT_TOUCHED, "php-fatal-error", FEW_SECONDS),
    Broken("nginx misconfigured", 'unknown directive "no_such_directive"', NOT_TOUCHED, "nginx-configuration"),
    Broken("nginx: pages missing", "HTTP 404", PUT_BACK, "nginx-without-pages"),
    Broken("QGIS Server crashes at start", "qgis-server keeps failing", NOT_TOUCHED, "qgis-server-crashes"),
    Broken(
        "QGIS Server crashes when asked",
        "QGIS Server did not draw the map",
        NOT_TOUCHED,
        "qgis-server-crashes-when-asked",
        FEW_SECONDS,
    ),
    Broken("QGIS Server without PostGIS", "trees", PUT_BACK, "qgis-server-without-postgis"),
    Broken("image of another processor", "for another kind of processor", NOT_TOUCHED, "other-processor"),
    Broken("image not delivered", "deliver it first", "", variables={"lizmap_image": "poppyfield/lizmap:nowhere"}),
    # The Pi
    Broken("secret missing", "cannot be mounted", "", fault=missing_secret),
    Broken("secret unreadable", "postgis_password is missing or not readable", NOT_TOUCHED, fault=unreadable_secret),
    Broken(
        "projects folder unreadable",
        "The folder of the projects cannot be read",
        NOT_TOUCHED,
        fault=unreadable_projects,
    ),
    Broken("port taken", "Another program has this port", PUT_BACK, fault=taken_port),
    Broken("disk full", "A disk of this host is full", PUT_BACK, "upgrade", fault=full_disk),
    Broken("state of a newer Lizmap", "Deploy 99.0.0 again", PUT_BACK, fault=newer_state),
    Broken("too little memory", "ran out of memory", "The old container was", fault=little_memory),
    # The database
    Broken(
        "wrong service password", 'password authentication failed for user "gis"', NOT_TOUCHED, fault=wrong_password
    ),
    Broken("database missing", 'database "nowhere" does not exist', NOT_TOUCHED, variables=NOWHERE),
    Broken("role without rights", "trees", PUT_BACK, variables=READER),
    Broken("layer's table dropped", "public.trees is not in the Pi's database", AS_IT_WAS, "good", fault=no_table),
    # Certificates
    Broken("certificate expired", "the certificate expired on", REFUSED, fault=certificate(starts=-9, ends=-1)),
    Broken("certificate not yet valid", "is not valid before", REFUSED, fault=certificate(starts=2)),
    Broken("key of another certificate", "the key is not that of the certificate", REFUSED, fault=other_key),
)

WITHHELD = "what is served of them is as it was."
BAD_PROJECTS = (
    Broken("empty project", "it has no layer that can be shown", WITHHELD, fault=project()),
    Broken("wrong data path", "cannot read nothing.geojson", WITHHELD, fault=project(Layer("./nothing.geojson"))),
    Broken("layer without a table", "public.nothing is not in", WITHHELD, fault=project(trees("nothing"))),
)
"""Beside good ones, which are served."""
