"""People come in from a network that is named, by TLS, with the rights that they have, and nobody else comes in.

The server's port is published as on a Pi. Who asks are containers with nothing but a link to this machine, each in a
network of its own, so that PostgreSQL sees from where they come.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.host import certificates
from ansible.module_utils.poppyfield.postgis import people, postgres
from ansible.module_utils.poppyfield.postgis.people import Person, Right
from ansible.module_utils.poppyfield.postgis.postgres import Database, Role

from tests.images.postgis_server import PASSWORD, UID, Server, Start, owned_folder
from tests.images.test_postgis_attacks import CLUSTER

OFFICE, GUESTS = "10.98.1", "10.98.2"
NETWORKS = f"{OFFICE}.0/24"
GIS = Role("gis", PASSWORD)
ANNA_SAYS, BEN_SAYS = "anna's own password", "ben's own password"
ANNA = Person(Role("anna", ANNA_SAYS), (Right("map", "public", edit=True),))
BEN = Person(Role("ben", BEN_SAYS), (Right("map", "survey", edit=False),))
DATABASES = [Database("map", "gis"), Database("other", "gis")]
TABLES = """
CREATE TABLE plots (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
CREATE TABLE old (id serial PRIMARY KEY, what text);
CREATE VIEW seen AS SELECT * FROM plots;
CREATE SCHEMA survey;
CREATE TABLE survey."Bäume" (id int PRIMARY KEY);
"""
NUMBERS = itertools.count()


def key_with_certificate(path: Path) -> None:
    """Make the file that tls_certificate makes."""
    key, certificate = path.with_suffix(".key"), path.with_suffix(".crt")
    names = certificates.request_arguments(["pi.local", f"{OFFICE}.1"], 30)
    subprocess.run(["openssl", *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    path.write_bytes(key.read_bytes() + certificate.read_bytes())
    os.chown(path, UID, UID)
    path.chmod(0o400)


@dataclass(frozen=True)
class Pi:
    """A server that is published, and what the module does in it."""

    server: Server
    port: int

    def run(self, *persons: Person, roles: tuple[Role, ...] = (GIS,)) -> list[str]:
        """Do what a run of the playbook does; give what it changed."""
        cluster = CLUSTER(postgres.DataFolder("/", "17"), list(roles), DATABASES, persons)
        return list(cluster.apply(Engine(None, None), self.server.container.name))

    def check(self, *persons: Person) -> list[str]:
        """Do what a run in check mode does; give what it would change."""
        cluster = CLUSTER(postgres.DataFolder("/", "17"), [GIS], DATABASES, persons)
        return list(cluster.predict(Engine(None, None), self.server.container.name))


@dataclass(frozen=True)
class Client:
    """A computer in a network with the Pi."""

    container: Any
    pi: str
    """The Pi's address there."""
    port: int

    def psql(
        self,
        sql: str,
        user: str = "anna",
        password: str = ANNA_SAYS,
        database: str = "map",
        how: str = "sslmode=require",
    ) -> tuple[int, str]:
        connection = f"host={self.pi} port={self.port} user={user} dbname={database} connect_timeout=10 {how}"
        argv = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", sql, connection]
        code, output = self.container.exec_run(argv, environment={"PGPASSWORD": password})
        return code, output.decode().strip()

    def does(self, sql: str, **options: str) -> str:
        code, output = self.psql(sql, **options)
        assert code == 0, output
        return output

    def refused(self, sql: str = "SELECT 1", **options: str) -> str:
        code, output = self.psql(sql, **options)
        assert code != 0, output
        return output


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "postgis_tls_key"
    key_with_certificate(path)
    return path


@pytest.fixture(scope="module")
def pi(starter: Start, certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Pi:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    data = owned_folder(tmp_path_factory.mktemp("people") / "data")
    started = starter(
        data,
        environment={"POSTGIS_DESKTOP_NETWORKS": f"10.97.0.0/16 {NETWORKS}"},
        ports={"5432/tcp": ("0.0.0.0", port)},  # as on a Pi
        mounts=[
            {"Type": "bind", "Source": str(certificate), "Target": "/run/secrets/postgis_tls_key", "ReadOnly": True}
        ],
    ).ready()
    pi = Pi(started, port)
    pi.run()
    code, output = started.over_network(TABLES, "gis", PASSWORD, "map")
    assert code == 0, output
    pi.run(ANNA, BEN)
    return pi


@pytest.fixture(scope="module")
def clients(pi: Pi, docker_client: Any, postgis_image: str) -> Iterator[dict[str, Client]]:
    with ExitStack() as stack:
        found = {}
        for name, network in (("office", OFFICE), ("guests", GUESTS)):
            container = docker_client.containers.run(
                postgis_image,
                ["sleep", "infinity"],
                name=f"pf-images-test-client-{os.getpid()}-{next(NUMBERS)}",
                network_mode="none",
                detach=True,
                tmpfs={"/tmp": "mode=1777"},
            )
            stack.callback(container.remove, force=True)
            container.reload()
            link_to(container.attrs["State"]["Pid"], f"pf{os.getpid() % 100000}{name[0]}", network)
            found[name] = Client(container, f"{network}.1", pi.port)
        yield found


def link_to(process: int, link: str, network: str) -> None:
    """Lay a cable between this machine and a container; it goes with the container."""
    inside = ["nsenter", "--target", str(process), "--net", "ip"]
    for command in (
        ["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(process)],
        ["ip", "address", "add", f"{network}.1/24", "dev", link],
        ["ip", "link", "set", link, "up"],
        [*inside, "address", "add", f"{network}.2/24", "dev", "eth0"],
        [*inside, "link", "set", "eth0", "up"],
    ):
        subprocess.run(command, check=True)


@pytest.fixture
def office(clients: dict[str, Client]) -> Client:
    return clients["office"]


@pytest.fixture
def guests(clients: dict[str, Client]) -> Client:
    return clients["guests"]


def test_she_edits_from_the_office(office: Client) -> None:
    office.does("INSERT INTO plots (what) VALUES ('a'), ('b'); UPDATE plots SET what = 'c' WHERE what = 'a'")
    office.does("DELETE FROM plots WHERE what = 'b'; INSERT INTO old (what) VALUES ('with a sequence')")
    assert office.does("SELECT what FROM plots") == office.does("SELECT what FROM seen") == "c"
    assert office.does("SELECT inet_client_addr() FROM pg_catalog.generate_series(1, 1)") == f"{OFFICE}.2"
    told = office.does("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert told == "t|TLSv1.3"


def test_the_certificate_says_who_the_pi_is(office: Client, certificate: Path) -> None:
    # As QGIS Desktop is given it: a file with the certificate alone.
    text = certificate.with_suffix(".crt").read_text()
    code, output = office.container.exec_run(
        ["bash", "-c", 'echo "$CERTIFICATE" > /tmp/pi.crt'], environment={"CERTIFICATE": text}
    )
    assert code == 0, output
    verified = "sslmode=verify-full sslrootcert=/tmp/pi.crt"
    assert office.does("SELECT 1", how=verified) == "1"
    wrong = office.refused(how=f"{verified} hostaddr={office.pi} host=other.local")
    assert 'does not match host name "other.local"' in wrong


def test_a_reader_reads_her_schema_alone(office: Client) -> None:
    ben = {"user": "ben", "password": BEN_SAYS}
    assert office.does('SELECT count(*) FROM survey."Bäume"', **ben) == "0"
    assert "permission denied" in office.refused('INSERT INTO survey."Bäume" VALUES (1)', **ben)
    assert "permission denied" in office.refused("SELECT * FROM plots", **ben)
    assert "permission denied for schema survey" in office.refused('SELECT * FROM survey."Bäume"')


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE mine (id int)",
        "TRUNCATE plots",
        "ALTER TABLE plots ADD COLUMN more int",
        "DROP TABLE plots",
        "CREATE ROLE other",
        "SELECT * FROM pg_authid",
        "COPY plots TO PROGRAM 'id'",
        "SET ROLE gis",
        "GRANT poppyfield_desktop TO gis",
    ],
)
def test_she_does_no_more_than_edit(office: Client, sql: str) -> None:
    assert "permission denied" in (said := office.refused(sql)) or "must be owner" in said


def test_she_reaches_no_other_database(office: Client) -> None:
    for database in ("other", "postgres", "template1"):
        assert "permission denied for database" in office.refused(database=database)


def test_nobody_comes_in_without_tls(office: Client) -> None:
    said = office.refused(how="sslmode=disable")
    assert 'pg_hba.conf rejects connection for host "10.98.1.2", user "anna"' in said and "no encryption" in said


def test_nobody_comes_in_from_another_network(guests: Client) -> None:
    assert 'pg_hba.conf rejects connection for host "10.98.2.2", user "anna"' in guests.refused()


@pytest.mark.parametrize("user", ["gis", "postgres", "nobody"])
def test_no_other_role_comes_in_whatever_its_password(office: Client, guests: Client, pi: Pi, user: str) -> None:
    pi.server.sql(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
    for client in (office, guests):
        for how in ("sslmode=require", "sslmode=disable"):
            assert "pg_hba.conf rejects connection" in client.refused(user=user, password=PASSWORD, how=how)


def test_a_wrong_password_is_none(office: Client) -> None:
    assert 'password authentication failed for user "anna"' in office.refused(password=BEN_SAYS)


def test_what_docker_passes_on_itself_comes_from_nowhere(pi: Pi, docker_client: Any, postgis_image: str) -> None:
    """Docker's own program answers at 127.0.0.1, and hides from where somebody comes."""
    for user, password in (("anna", ANNA_SAYS), ("gis", PASSWORD)):
        connection = f"host=127.0.0.1 port={pi.port} user={user} dbname=map"
        asking = docker_client.containers.create(
            postgis_image,
            ["psql", connection, "--command=SELECT 1"],
            network_mode="host",
            environment={"PGPASSWORD": password},
        )
        asking.start()
        ended = asking.wait(timeout=60)["StatusCode"]
        said = asking.logs().decode()
        asking.remove()
        assert ended != 0 and "pg_hba.conf rejects connection" in said, said


def test_the_map_server_comes_in_as_always(pi: Pi) -> None:
    assert pi.server.over_network("SELECT 1", "gis", PASSWORD, "map") == (0, "1")
    assert "pg_hba.conf rejects" in pi.server.over_network("SELECT 1", "anna", ANNA_SAYS, "map")[1]


def test_a_second_run_changes_nothing(pi: Pi) -> None:
    assert pi.check(ANNA, BEN) == pi.run(ANNA, BEN) == []


def test_rights_follow_the_inventory(pi: Pi, office: Client) -> None:
    pi.server.sql("CREATE TABLE later (id int); ALTER TABLE later OWNER TO gis; GRANT ALL ON old TO anna", "map")
    assert "permission denied" in office.refused("SELECT * FROM later")
    assert pi.check(ANNA, BEN) == pi.run(ANNA, BEN) != []
    office.does("INSERT INTO later VALUES (1)")
    assert "permission denied" in office.refused("TRUNCATE old")
    reader = replace(ANNA, rights=(Right("map", "public", edit=False),))
    pi.run(reader, BEN)
    assert office.does("SELECT * FROM later") == "1"
    assert "permission denied" in office.refused("INSERT INTO later VALUES (2)")
    pi.run(ANNA, BEN)
    assert pi.check(ANNA, BEN) == []


def test_a_new_password_takes_the_old_ones_place(pi: Pi, office: Client) -> None:
    renewed = replace(ANNA, role=Role("anna", "another password of hers"))
    assert pi.run(renewed, BEN) == ["role anna: password renewed"]
    assert "password authentication failed" in office.refused()
    office.does("SELECT 1", password="another password of hers")
    pi.run(ANNA, BEN)


def test_whoever_is_not_named_any_more_is_gone(pi: Pi, office: Client) -> None:
    clara = Person(Role("Clara O'Hara", "clara's own password"), (Right("map", "public", edit=True),))
    pi.run(ANNA, BEN, clara)
    pi.server.sql('CREATE TABLE hers (id int); ALTER TABLE hers OWNER TO "Clara O\'Hara"', "map")
    pi.server.sql("CREATE DATABASE before TEMPLATE map")
    pi.server.sql('GRANT CONNECT ON DATABASE before TO "Clara O\'Hara"')
    pi.server.sql("ALTER DATABASE before ALLOW_CONNECTIONS false")
    as_clara = {"user": "'Clara O\\'Hara'", "password": "clara's own password"}
    assert office.does("SELECT current_user", **as_clara) == "Clara O'Hara"
    asleep = office.container.client.api.exec_create(
        office.container.id,
        [
            "psql",
            f"host={office.pi} port={office.port} user='Clara O\\'Hara' dbname=map",
            "--command=SELECT pg_sleep(600)",
        ],
        environment={"PGPASSWORD": "clara's own password"},
    )
    office.container.client.api.exec_start(asleep["Id"], detach=True)
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'Clara%'"
    pi.server.until(lambda: pi.server.sql(sessions) == "1", "session of hers")
    assert pi.run(ANNA, BEN)[-1] == "role Clara O'Hara: present -> absent"
    assert pi.check(ANNA, BEN) == []
    assert pi.server.sql(sessions) == "0"
    assert pi.server.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'Clara%'") == "0"
    assert pi.server.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'hers'", "map") == "gis"
    assert pi.server.sql("SELECT datallowconn FROM pg_database WHERE datname = 'before'") == "f"
    assert "pg_hba.conf rejects connection" in office.refused(**as_clara)
    pi.server.sql("DROP DATABASE before")
    office.does("SELECT 1")


def test_a_role_of_a_program_is_no_person(pi: Pi, office: Client) -> None:
    pi.server.sql(f"GRANT {people.GROUP} TO gis")
    assert office.psql("SELECT 1", user="gis", password=PASSWORD) == (0, "1")
    assert pi.run(ANNA, BEN) == [f"role gis: no longer a member of {people.GROUP}"]
    assert "pg_hba.conf rejects connection" in office.refused(user="gis", password=PASSWORD)


def test_a_schema_that_is_not_there_is_named(pi: Pi) -> None:
    wrong = replace(BEN, rights=(Right("map", "surveys", edit=False),))
    with pytest.raises(postgres.PostgresError, match="The database map has no schema surveys, in which ben is to have"):
        pi.run(ANNA, wrong)


def test_without_a_key_the_server_does_not_start(starter: Start, tmp_path: Path) -> None:
    server = starter(owned_folder(tmp_path / "data"), environment={"POSTGIS_DESKTOP_NETWORKS": NETWORKS})
    assert "postgis_tls_key cannot be read" in server.ended()
