#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the database container with its data folder, roles, databases and extensions."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: postgis_container
short_description: The PostGIS container, with its roles and databases
version_added: "0.1.0"
description:
  - Keeps one PostgreSQL server with PostGIS in a container, its data in a plain folder on the host.
  - The container is replaced when something that was asked for changed, was removed, or differs from what runs. The
    old one is stopped cleanly and kept until the new one is healthy, and serves again if the new one is not.
  - Makes and corrects the roles, databases and extensions in the running server. What is not named is left alone,
    and no database or data folder is ever removed.
  - A container or network of the same name that Poppyfield did not make is never touched.
  - A data folder of another major version of PostgreSQL or another architecture, or one that another container writes
    to, is refused before anything is stopped. With O(upgrade) one of an earlier major version is upgraded.
  - PostgreSQL's port is not published, unless O(desktop_networks) names networks. Other containers reach it inside
    O(network), and the host's firewall lets it reach nothing else.
extends_documentation_fragment:
  - poppyfield_container
  - poppyfield_host_files
  - poppyfield_run
options:
  name:
    default: websig-postgis
  network_alias:
    default: postgis
  data_folder:
    description: Folder on the host that holds the data. It must exist and belong to the user 5432.
    type: path
    default: /srv/poppyfield/postgis/data
  memory_share:
    description:
      - Part of the container's memory that PostgreSQL may count on; the image makes its memory settings from it.
      - The container's memory is its limit, or all that the host has where there is none.
    type: float
    default: 0.25
  settings:
    description:
      - PostgreSQL settings that take precedence over the image's own and over those that follow from O(memory_share).
      - The image refuses to start with fsync, full_page_writes or synchronous_commit switched off.
    type: dict
    default: {}
  first_start_folder:
    description:
      - Folder on the host with files that are loaded once, in the order of their names, when the data folder is still
        empty. With a cluster in the data folder they are never looked at.
      - A name is C([NUMBER-]DATABASE[.NOTE]) with C(.sql), C(.sql.gz) or C(.dump) (pg_dump -Fc) at its end. The
        database is made when it does not exist.
      - They are loaded by the superuser, so what is in them can do everything. Take files that you trust.
      - Roles that a file names and the server lacks are made for the time of loading, and what they own goes to the
        superuser. Collations of a country, such as fr_FR.utf8, are ICU's under the same name.
      - At an error the first start leaves nothing half made, and the container waits for the next start, which begins
        again. Its health check names the file and the error.
    type: path
  roles:
    description:
      - Roles for applications. They can log in and have no further rights of their own; memberships that would let them
        become superuser are taken from them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      password_file:
        description:
          - File on the host with the password. The server only sees a SCRAM verifier made from it. To load
            O(databases[].initial_sql), psql in the container is given the password itself, through its standard input.
        type: path
        required: true
  databases:
    description:
      - Databases. Only their owner may connect unless something is granted; C(postgres) and C(template1) are closed to
        other roles, too, but that owners of databases may ask in C(postgres) which tables were written.
      - A database that exists is adopted. With a new owner goes what the old one owned in it, but for extensions.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      owner:
        description: Role that owns it, one of O(roles).
        type: str
        required: true
      extensions:
        description:
          - Extensions that it has. Where PostgreSQL does not trust one to every owner, as PostGIS, it is only added to
            a database that exists when no other role has functions or operators in the extension's schema, which its
            script, run by the superuser, could call. The sessions of that database end meanwhile.
        type: list
        elements: str
        default: []
      initial_sql:
        description:
          - File on the host with SQL that is loaded by the owner when the database is made, and never again; not in a
            database that O(first_start_folder) made. Whatever is in it can do what the owner can, and no more.
          - The database appears under its name only when all of it was loaded.
        type: path
  desktop_networks:
    description:
      - Networks from which O(people) may come in, by IPv4 and TLS, with a password by SCRAM. Where there are none,
        PostgreSQL's port is not published.
      - The host's firewall, and PostgreSQL itself, refuse everybody else there. Other roles come in from O(network)
        alone, and the superuser from nowhere.
    type: list
    elements: str
    default: []
  desktop_port:
    description: The port of the host on which it is published to O(desktop_networks).
    type: int
    default: 5432
  desktop_key:
    description: File on the host with key and certificate, in PEM, of the user 5432. O(desktop_networks) need it.
    type: path
  people:
    description:
      - People who edit from O(desktop_networks), as with QGIS Desktop. Each has a role, which may do what is named here
        and nothing else, and open ten connections.
      - A role of somebody who is not named any more is removed, with its sessions; what it owned goes to the owner of
        the database.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      password_file:
        description: File on the host with the password. The server only sees a SCRAM verifier made from it.
        type: path
        required: true
      rights:
        description: What the person may do. New tables are among it at the next run.
        type: list
        elements: dict
        default: []
        suboptions:
          database:
            description: Name of one of O(databases).
            type: str
            required: true
          schemas:
            description: Schemas of it.
            type: list
            elements: str
            default: [public]
          edit:
            description: Whether rows may be added, changed and removed; otherwise they can be read.
            type: bool
            default: false
  upgrade:
    description:
      - Whether a data folder that an earlier major version of PostgreSQL made is brought to that of O(image), by a dump
        into a cluster beside that is compared by content. The old cluster is kept. M(database_upgrade) must have
        installed its program.
    type: bool
    default: false
  map_server:
    description: Container that is stopped while the database is upgraded.
    type: str
    default: websig-lizmap
  stop_timeout:
    description: Seconds that PostgreSQL has for a clean shutdown.
    default: 120
attributes:
  check_mode:
    description: >-
      Works on a bare host too. What changes in the server is told when it runs, and for an empty data folder.
  diff_mode:
    description: Shows the settings of the container before and after, and what changes in the server, never a password.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Run the database
  postgis_container:
    image: "{{ postgis.image }}"
    memory_share: 0.4
    roles:
      - name: lizmap
        password_file: /etc/poppyfield/secrets/postgis_password
    databases:
      - name: gis
        owner: lizmap
        extensions: [postgis]

- name: Let Anna edit with QGIS Desktop from the office's network
  postgis_container:
    image: "{{ postgis.image }}"
    roles:
      - name: lizmap
        password_file: /etc/poppyfield/secrets/postgis_password
    databases:
      - name: gis
        owner: lizmap
        extensions: [postgis]
    desktop_networks: [192.168.1.0/24]
    desktop_key: /etc/poppyfield/secrets/postgis_tls_key
    people:
      - name: anna
        password_file: /etc/poppyfield/secrets/desktop_anna
        rights:
          - {database: gis, edit: true}

- name: Stop the database for maintenance, also over a reboot
  postgis_container:
    image: "{{ postgis.image }}"
    state: stopped
"""

RETURN = r"""
container:
  description: The container after the run, empty when there is none.
  returned: always
  type: dict
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
    image:
      description: Reference of its image.
      type: str
    running:
      description: Whether it runs.
      type: bool
    health:
      description: What its health check says.
      type: str
settings:
  description: PostgreSQL settings on the command line of the container, as O(settings) gives them.
  returned: always
  type: dict
steps:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: str
reasons:
  description: Why something changed.
  returned: always
  type: list
  elements: str
  sample: ["image: poppyfield/postgis:trixie-arm64-3f1c0a9be2d4 -> poppyfield/postgis:trixie-arm64-0b1de4fa7721"]
database_changes:
  description: What changed in the server.
  returned: always
  type: list
  elements: str
seconds_without_service:
  description: How long nobody was served while the container was replaced.
  returned: always
  type: float
"""

import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import container_module, services
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, Result, last_lines
from ansible.module_utils.poppyfield.containers.plan import PlanError
from ansible.module_utils.poppyfield.containers.services import LIZMAP, POSTGIS
from ansible.module_utils.poppyfield.containers.spec import ANY_ADDRESS, ContainerSpec, Json, Mount, Port
from ansible.module_utils.poppyfield.host import firewall, host_files, password_file
from ansible.module_utils.poppyfield.host.password_file import PasswordFileError
from ansible.module_utils.poppyfield.postgis import people, postgres, written_tables
from ansible.module_utils.poppyfield.postgis.upgrade_service import UpgradeService, UpgradeServiceError

DATA_TARGET = "/var/lib/postgresql/data"
FIRST_START_TARGET = "/etc/poppyfield/first-start"
KEY_TARGET = "/run/secrets/postgis_tls_key"
"""Where the image's entrypoint looks for it."""
PORT = 5432
CHUNK = 256 * 1024
LEAST_SHARE = 0.05
MOST_SHARE = 0.9

LOGS_IN: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "password_file": {"type": "path", "required": True, "no_log": False},
}
"""What each role has that logs in by a password."""

ARGUMENTS: dict[str, Any] = {
    **container_module.CONTAINER_OPTIONS,
    **services.options_of(POSTGIS),
    "data_folder": {"type": "path", "default": POSTGIS.data_folders["postgis_data_folder"]},
    "memory_share": {"type": "float", "default": POSTGIS.memory_share},
    "settings": {"type": "dict", "default": {}},
    "first_start_folder": {"type": "path"},
    "roles": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": LOGS_IN,
    },
    "databases": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "extensions": {"type": "list", "elements": "str", "default": []},
            "initial_sql": {"type": "path"},
        },
    },
    "desktop_networks": {"type": "list", "elements": "str", "default": []},
    "desktop_port": {"type": "int", "default": POSTGIS.ports[0].default},
    "desktop_key": {"type": "path", "no_log": False},
    "people": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            **LOGS_IN,
            "rights": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "database": {"type": "str", "required": True},
                    "schemas": {"type": "list", "elements": "str", "default": ["public"]},
                    "edit": {"type": "bool", "default": False},
                },
            },
        },
    },
    "upgrade": {"type": "bool", "default": False},
    "map_server": {"type": "str", "default": LIZMAP.container},
    "stop_timeout": {"type": "int", "default": 120},
}


class Cluster:
    """The roles and databases of the server, its people, and the folder that its data lies in."""

    def __init__(
        self,
        folder: postgres.DataFolder,
        roles: list[postgres.Role],
        databases: list[postgres.Database],
        persons: Sequence[people.Person] = (),
    ) -> None:
        self.folder = folder
        self.services = [role.name for role in roles]
        self.roles = [*roles, *(person.role for person in persons)]
        self.databases = databases
        self.persons = persons
        self.has_people = bool(persons)

    def refuse(self, image: Json) -> None:
        """Raise PlanError where a server of this image must not work on the folder."""
        if problem := postgres.data_problem(self.folder, image):
            raise PlanError(problem)

    def predict_first(self) -> list[str]:
        """Say what would change in a server that begins with an empty folder; of another one nothing is known."""
        if self.folder.version or not (self.roles or self.databases):
            return []
        changes = self._changes(postgres.NEW_CLUSTER)
        return [words for change in changes for words in change.words]

    def predict(self, engine: Engine, container: str) -> list[str]:
        """Say what would change."""
        changes = [*self._plan(engine, container), *self._plan_people(engine, container)]
        return [words for change in changes for words in change.words]

    def apply(self, engine: Engine, container: str) -> list[str]:
        """Change what differs, then look again, so that a change that did not hold is not reported as done."""
        done = []
        # People have rights in what is there by then.
        for look in (self._plan, self._plan_people):
            changes = look(engine, container)
            for change in changes:
                self._change(engine, container, change)
            if changes and (left := [words for change in look(engine, container) for words in change.words]):
                raise EngineError(f"PostgreSQL accepted these changes, but they did not hold: {'; '.join(left)}.")
            done += [words for change in changes for words in change.words]
        return done

    def _plan(self, engine: Engine, container: str) -> list[postgres.ClusterChange]:
        if not self.roles and not self.databases:
            return []
        script = postgres.state_script([*self.roles, people.GROUP_ROLE], self.databases) + written_tables.state_query()
        output = self._as_superuser(engine, container, "read roles and databases", script)
        state = postgres.parse_state(output)
        # A call less where there never were any.
        self.has_people = bool(self.persons) or people.GROUP in state.roles
        return self._changes(state)

    def _changes(self, state: postgres.ClusterState) -> list[postgres.ClusterChange]:
        changes: list[postgres.ClusterChange] = postgres.plan_changes(self.roles, self.databases, state, self._salts())
        return [*changes, *written_tables.plan_changes(self.databases, state.written)]

    def _plan_people(self, engine: Engine, container: str) -> list[postgres.ClusterChange]:
        if not self.has_people:
            return []
        script = people.state_script(self.persons, self.services, [db.name for db in self.databases])
        output = self._as_superuser(engine, container, "read the rights of people", script)
        changes: list[postgres.ClusterChange] = people.plan_changes(
            self.persons, self.services, people.parse_state(output)
        )
        return changes

    def _salts(self) -> dict[str, bytes]:
        return {role.name: os.urandom(16) for role in self.roles}

    def _change(self, engine: Engine, container: str, change: postgres.ClusterChange) -> None:
        doing = "; ".join(change.words)
        self._as_superuser(engine, container, doing, change.script)
        if change.load:
            user, argv, beginning = postgres.loading_command(change.load)
            _output(doing, engine.execute(container, user, argv, _with_file(beginning, change.load.path)))
            self._as_superuser(engine, container, doing, change.load.after)

    @staticmethod
    def _as_superuser(engine: Engine, container: str, doing: str, script: str) -> str:
        return _output(doing, engine.execute(container, postgres.SUPERUSER, postgres.SUPERUSER_PSQL, [script.encode()]))


def _output(doing: str, result: Result) -> str:
    if result.code:
        raise EngineError(f"PostgreSQL refused ({doing}): {last_lines(result.errors, 5)}")
    return str(result.output)


def _with_file(beginning: str, path: str) -> Iterator[bytes]:
    yield beginning.encode()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def data_folder(path: str) -> postgres.DataFolder:
    """Read what a data folder says of itself."""
    return postgres.DataFolder(
        path,
        version=_line_of(Path(path) / "cluster" / "PG_VERSION"),
        architecture=_line_of(Path(path) / "cluster.architecture"),
    )


def _line_of(path: Path) -> str:
    return path.read_text("ascii", "replace").strip() if path.is_file() else ""


def settings_of(params: dict[str, Any]) -> dict[str, str]:
    """Give the PostgreSQL settings that were given, as the command line wants them."""
    return {name: _setting(value) for name, value in params["settings"].items()}


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def check_desktop(params: dict[str, Any]) -> None:
    """Refuse networks that are none, and a way in without a certificate."""
    for network in params["desktop_networks"]:
        if problem := firewall.address_problem(network) or firewall.wide_problem(network):
            raise PlanError(f"desktop_networks: {problem}.")
    if params["desktop_networks"] and not params["desktop_key"]:
        raise PlanError("desktop_networks needs desktop_key, since people come in by TLS alone.")


def only_from(params: dict[str, Any]) -> Json | None:
    """Give from where the host's firewall lets people come in; None where the port is not published."""
    if not params["desktop_networks"]:
        return None
    return {"port": params["desktop_port"], "container_port": PORT, "networks": list(params["desktop_networks"])}


def spec_of(params: dict[str, Any], memory: int, renewed: Container[Path] = ()) -> ContainerSpec:
    """Give the canonical specification of what the parameters ask for on a host with this memory in bytes."""
    share = params["memory_share"]
    if not LEAST_SHARE <= share <= MOST_SHARE:
        raise postgres.PostgresError(f"memory_share must be between {LEAST_SHARE} and {MOST_SHARE}, not {share}.")
    mounts = [Mount(params["data_folder"], DATA_TARGET, read_only=False)]
    if params["first_start_folder"]:
        mounts.append(Mount(params["first_start_folder"], FIRST_START_TARGET, read_only=True))
    environment = {"POSTGIS_MEMORY_PERCENT": str(round(share * 100))}
    networks, keys = params["desktop_networks"], {}
    if networks:
        environment["POSTGIS_DESKTOP_NETWORKS"] = " ".join(networks)
        keys = {"tls_key": params["desktop_key"]}
        mounts.append(Mount(params["desktop_key"], KEY_TARGET, read_only=True))
    return ContainerSpec(
        name=params["name"],
        resource=POSTGIS.name,
        image=params["image"],
        network=params["network"],
        network_aliases=(params["network_alias"],),
        command=postgres.server_command(settings_of(params)),
        environment=environment,
        mounts=tuple(mounts),
        tmpfs={**container_module.TMPFS, "/run/postgresql": "uid=5432,gid=5432,mode=0755,size=4m"},
        ports=(Port(ANY_ADDRESS, params["desktop_port"], PORT),) if networks else (),
        secret_stamps=container_module.stamps_of(keys, renewed),
        health=container_module.health_timing(params),
        shm_size=postgres.shared_memory_size(memory, share),
        stop_timeout=params["stop_timeout"],
        memory_limit=container_module.memory_limit(params, memory),
        exclusive_folders=(params["data_folder"],),
    )


def cluster_of(params: dict[str, Any], *, files_may_be_missing: bool) -> Cluster:
    """Give the roles and databases that the parameters ask for, the passwords read from their files."""
    roles = [_role(role, files_may_be_missing=files_may_be_missing) for role in params["roles"]]
    persons = [
        people.Person(
            _role(person, files_may_be_missing=files_may_be_missing),
            tuple(
                people.Right(right["database"], schema, right["edit"])
                for right in person["rights"]
                for schema in right["schemas"]
            ),
        )
        for person in params["people"]
    ]
    databases = [
        postgres.Database(db["name"], db["owner"], tuple(db["extensions"]), db["initial_sql"] or "")
        for db in params["databases"]
    ]
    postgres.check_wanted([*roles, *(person.role for person in persons)], databases)
    for db in databases:
        if db.initial_sql and not files_may_be_missing and not Path(db.initial_sql).is_file():
            raise postgres.PostgresError(f"The SQL file {db.initial_sql} for the database {db.name} does not exist.")
    return Cluster(data_folder(params["data_folder"]), roles, databases, persons)


def _role(given: dict[str, Any], *, files_may_be_missing: bool) -> postgres.Role:
    path = Path(given["password_file"])
    if files_may_be_missing and not path.exists():
        # An earlier task of a real run would have made it; as nothing matches it, a new password is predicted.
        return postgres.Role(given["name"], "")
    try:
        password = password_file.read(path).removesuffix("\n")
    except PasswordFileError as error:
        raise postgres.PostgresError(str(error)) from error
    return postgres.Role(given["name"], postgres.check_password(password, str(path)))


def upgrade(module: AnsibleModule, spec: ContainerSpec) -> list[str]:
    """Bring the data to the major version of the image where that is wanted; say what is done, or would be."""
    service = UpgradeService()
    if module.params["state"] != "started" or not (module.params["upgrade"] or service.is_pending()):
        return []
    settled = "" if module.check_mode else service.settle()
    found, engine = data_folder(module.params["data_folder"]).version, Engine.connect()
    wanted = postgres.version_of(engine.image(spec.image) or {})
    if not (module.params["upgrade"] and found and wanted and int(found) < int(wanted)):
        return [settled] if settled else []
    if module.check_mode:
        return [f"upgrade the database from PostgreSQL {found} to {wanted}"]
    order = {
        "what": "upgrade",
        "data_folder": module.params["data_folder"],
        "postgis": spec.name,
        "lizmap": module.params["map_server"],
        "image": spec.image,
        "body": container_module.body_of(engine, spec, module.params["compose_folder"]),
        "old_body": container_module.body_without_compose(engine, spec, spec.name),
        "healthy_timeout": module.params["healthy_timeout"],
    }
    said = service.give(order)["said"]
    container_module.note_upgrade(module, spec, said)
    return [said]


def with_upgrade(result: dict[str, Any], said: list[str]) -> dict[str, Any]:
    """Give a result with what was done before the container was looked at."""
    steps, reasons = ([*said, *result.get(name, [])] for name in ("steps", "reasons"))
    return {**result, "changed": bool(said) or result["changed"], "steps": steps, "reasons": reasons}


NOTHING_MORE: dict[str, Any] = {
    "changed": False,
    "content_changes": [],
    "container": {},
    "previous": "",
    "seconds_without_service": 0.0,
    "diff": {"before": {}, "after": {}},
}
"""What is told in check mode besides an upgrade: what follows it is not known yet."""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        check_desktop(module.params)
        memory = container_module.total_memory(container_module.read_meminfo())
        files = container_module.bring_about(module)
        renewed = {change.path for change in files if change.is_new} if module.check_mode else set()
        spec = container_module.bound_to_data(module, spec_of(module.params, memory, renewed))
        files += container_module.keep_to_network(module, spec, only_from=only_from(module.params))
        # Only what is started needs its passwords.
        lenient = module.check_mode or module.params["state"] != "started"
        upgraded = upgrade(module, spec)
        if upgraded and module.check_mode:
            result = dict(NOTHING_MORE)
        else:
            result = container_module.run(module, spec, cluster_of(module.params, files_may_be_missing=lenient))
        result = with_upgrade(result, upgraded)
    except (postgres.PostgresError, EngineError, PlanError, UpgradeServiceError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    result["settings"] = settings_of(module.params)
    result["database_changes"] = result.pop("content_changes")
    result.pop("previous")
    module.exit_json(**host_files.with_changes(result, files))


if __name__ == "__main__":
    main()
