"""What the roles render from a person's variables."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.host import docker_settings
from ansible.module_utils.poppyfield.host.certificates import check_names
from ansible.module_utils.poppyfield.inventory.fleet_authority import names_of
from ansible.module_utils.poppyfield.inventory.problems import Host
from ansible.module_utils.poppyfield.lizmap.accounts import BUILT_IN

Render = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
TWO_ROLES = [{"name": "gis"}, {"name": "reader"}]


@pytest.mark.parametrize("hardened", [True, False])
def test_the_engines_log_files_are_bounded_and_containers_survive_its_restart(render: Render, hardened: bool) -> None:
    chosen = {"docker_engine_log_max_size": "5m", "hardening_engine": hardened}
    configuration = render("docker_engine", "{{ __docker_engine_configuration }}", **chosen)
    assert configuration["log-opts"] == {"max-size": "5m", "max-file": "3"}
    assert configuration["live-restore"] is True
    assert ("icc" in configuration) is hardened
    # The first look asks for the same, before the role.
    assert configuration == docker_settings.of_variables(
        {
            "docker_engine_live_restore": True,
            "docker_engine_log_max_size": "5m",
            "docker_engine_log_max_files": 3,
            "hardening_engine": hardened,
        }
    )


@pytest.mark.parametrize(("told", "differs"), [({}, True), ({"daemon_differs": None}, True)])
@pytest.mark.parametrize("found", [True, False])
def test_the_engine_is_configured_where_the_look_found_a_difference_or_did_not_ask(
    render: Render, told: dict[str, Any], differs: bool, found: bool
) -> None:
    for facts, expected in ((told, differs), ({"daemon_differs": found}, found)):
        given = {"ansible_facts": {"poppyfield_pi": facts}}
        assert render("docker_engine", "{{ __docker_engine_configuration_differs }}", **given) is expected


@pytest.mark.field("A9", "an IPv6 address as ansible_host, also with a zone")
@pytest.mark.parametrize(
    ("host", "url"),
    [
        ({"ansible_host": "fd00::5"}, "http://[fd00::5]:80"),
        ({"ansible_host": "192.0.2.5"}, "http://192.0.2.5:80"),
        ({}, "http://pi-marsh:80"),
    ],
)
def test_a_map_is_looked_for_where_the_pi_is(render: Render, host: dict[str, str], url: str) -> None:
    given = {"inventory_hostname": "pi-marsh", "hostvars": {"pi-marsh": host}}
    assert render("lizmap", "{{ lizmap_url }}", **given) == url


@pytest.mark.parametrize("codename", ["bookworm", "trixie"])
@pytest.mark.parametrize("source", ["distribution", "docker"])
def test_every_release_and_source_has_packages_with_the_python_sdk(render: Render, source: str, codename: str) -> None:
    packages = render(
        "docker_engine", "{{ __docker_engine_packages[source][codename] }}", source=source, codename=codename
    )
    assert "python3-docker" in packages


@pytest.mark.parametrize(
    ("source", "pi", "missing"),
    [
        ("distribution", {}, ["docker.io", "docker-cli", "docker-compose", "python3-docker"]),
        ("distribution", {"packages": ["docker.io"], "docker_command": True}, ["python3-docker"]),
        # Somebody's own docker command, without an engine.
        ("distribution", {"docker_command": True}, ["docker.io", "docker-cli", "docker-compose", "python3-docker"]),
        ("distribution", {"packages": ["docker.io"]}, ["docker-cli", "python3-docker"]),
        ("distribution", {"packages": ["docker-ce"], "adopted": "docker-ce"}, ["python3-docker"]),
        ("distribution", {"packages": ["docker-ce", "python3-docker"], "adopted": "docker-ce"}, []),
        ("distribution", {"adopted": "an unknown package", "docker_command": True}, ["python3-docker"]),
        (
            "docker",
            {"packages": ["docker-ce"], "adopted": "docker-ce"},
            ["docker-ce-cli", "containerd.io", "python3-docker"],
        ),
    ],
)
def test_nothing_is_installed_over_an_engine_from_elsewhere(
    render: Render, source: str, pi: dict[str, Any], missing: list[str]
) -> None:
    looked = {"os_codename": "trixie", "packages": [], "adopted": "", "docker_command": False, **pi}
    given = {"ansible_facts": {"poppyfield_pi": looked}, "docker_engine_source": source}
    assert sorted(render("docker_engine", "{{ __docker_engine_missing_packages }}", **given)) == sorted(missing)


@pytest.mark.parametrize(
    ("wanted", "packages", "source", "missing"),
    [
        ("with_engine", [], "distribution", True),
        ("with_engine", [], "docker", True),
        # A Pi that has been in the field for years is not sent to the internet for it.
        ("with_engine", ["docker.io"], "distribution", False),
        ("always", ["docker.io"], "distribution", True),
        ("always", ["docker.io", "docker-compose"], "distribution", False),
        ("always", ["docker-ce"], "docker", True),
        ("never", [], "distribution", False),
    ],
)
def test_compose_comes_with_the_engine(
    render: Render, wanted: str, packages: list[str], source: str, missing: bool
) -> None:
    looked = {"os_codename": "bookworm", "packages": packages, "adopted": "", "docker_command": True}
    given = {"ansible_facts": {"poppyfield_pi": looked}, "docker_engine_source": source}
    found = render("docker_engine", "{{ __docker_engine_missing_packages }}", **given, docker_engine_compose=wanted)
    package = "docker-compose-plugin" if source == "docker" else "docker-compose"
    assert (package in found) is missing


@pytest.mark.parametrize("role", ["postgis", "lizmap"])
@pytest.mark.parametrize(("wanted", "folder"), [("with_engine", "/srv/poppyfield"), ("never", "")])
def test_each_service_has_its_place_in_the_compose_file(render: Render, role: str, wanted: str, folder: str) -> None:
    assert render(role, f"{{{{ __{role}_compose_folder }}}}", docker_engine_compose=wanted) == folder


INSTALLED = ["docker.io", "docker-cli", "python3-docker", "openssl"]
INSTALLED_OF_DOCKER = ["docker-ce", "docker-ce-cli", "containerd.io", "python3-docker", "openssl"]
MIRROR = "https://docker.example.org/linux/debian"


@pytest.mark.field("B13", "Docker is stopped and there is no internet")
@pytest.mark.parametrize(
    ("source", "packages", "more", "from_the_internet"),
    [
        ("distribution", INSTALLED, {}, []),
        ("distribution", INSTALLED[1:], {}, ["Install the engine and its Python SDK", "Update the package lists"]),
        ("distribution", [*INSTALLED_OF_DOCKER], {"adopted": "docker-ce"}, []),
        ("docker", INSTALLED_OF_DOCKER, {"docker_repository": MIRROR}, []),
        # Installed by hand, from a repository that is not our file.
        ("docker", INSTALLED_OF_DOCKER, {}, []),
        (
            "docker",
            INSTALLED_OF_DOCKER,
            {"docker_repository": "https://old.example.org"},
            ["Add Docker's own repository"],
        ),
        (
            "docker",
            ["openssl"],
            {},
            ["Add Docker's own repository", "Install the engine and its Python SDK", "Update the package lists"],
        ),
    ],
)
def test_a_stopped_engine_is_started_and_only_what_is_missing_needs_the_internet(
    render: Render, source: str, packages: list[str], more: dict[str, Any], from_the_internet: list[str]
) -> None:
    looked = {
        "os_codename": "trixie",
        "packages": packages,
        "adopted": "",
        "docker": False,
        "docker_command": True,
        "services": {"docker": {"active": False, "enabled": True}},
        **more,
    }
    given = {
        "ansible_facts": {"poppyfield_pi": looked},
        "docker_engine_source": source,
        "docker_engine_repository": MIRROR,
        "ansible_check_mode": False,
    }

    def played(role: str, task: dict[str, Any]) -> bool:
        conditions = task.get("when", True)
        return all(
            render(role, f"{{{{ {condition} }}}}", **given)
            for condition in (conditions if isinstance(conditions, list) else [conditions])
        )

    tasks = [
        (role, task)
        for role, name in (("docker_engine", "install"), ("raspberry_pi", "system"))
        for task in yaml.safe_load((ROOT / "roles" / role / "tasks" / f"{name}.yml").read_text("utf-8"))
    ]
    needing = [
        task["name"]
        for role, task in tasks
        if {"ansible.builtin.apt", "ansible.builtin.deb822_repository"} & set(task) and played(role, task)
    ]
    assert sorted(needing) == from_the_internet
    (start,) = [(role, task) for role, task in tasks if task["name"] == "Start the engine now and at every boot"]
    assert played(*start)


@pytest.mark.parametrize("role", ["docker_engine", "hardening", "raspberry_pi"])
def test_no_installation_removes_what_is_somebody_elses(role: str) -> None:
    tasks = [
        task for path in (ROOT / "roles" / role / "tasks").glob("*.yml") for task in yaml.safe_load(path.read_text())
    ]
    installing = [task["ansible.builtin.apt"] for task in tasks if "name" in task.get("ansible.builtin.apt", {})]
    assert installing
    assert all(one["fail_on_autoremove"] is True for one in installing)


@pytest.mark.parametrize("role", ["docker_engine", "hardening", "raspberry_pi"])
def test_apt_is_waited_for_before_it_is_used_and_while_it_is(render: Render, role: str) -> None:
    tasks = [
        task for path in (ROOT / "roles" / role / "tasks").glob("*.yml") for task in yaml.safe_load(path.read_text())
    ]
    using = [number for number, task in enumerate(tasks) if "ansible.builtin.apt" in task]
    (waiting,) = [number for number, task in enumerate(tasks) if "apt_ready" in task]
    assert waiting < min(using)
    assert all(tasks[number]["when"] == tasks[waiting]["when"] for number in using)
    for number in using:
        assert render(role, tasks[number]["ansible.builtin.apt"]["lock_timeout"]) == 600
    assert render(role, tasks[waiting]["apt_ready"]["timeout"], raspberry_pi_apt_timeout=5) == 5


def test_only_a_given_password_is_handed_over_and_the_map_server_owns_the_files(render: Render) -> None:
    secrets = render(
        "postgis", "{{ __postgis_secrets }}", postgis_roles=TWO_ROLES, postgis_passwords={"reader": "s" * 20}
    )
    assert [secret["path"] for secret in secrets] == [
        "/etc/poppyfield/secrets/postgis_gis",
        "/etc/poppyfield/secrets/postgis_reader",
    ]
    assert "value" not in secrets[0]
    assert secrets[1]["value"] == "s" * 20
    assert {secret["owner"] for secret in secrets} == {"33"}


def test_a_databases_initial_sql_is_read_where_it_was_brought_on_the_pi(render: Render) -> None:
    databases = render(
        "postgis",
        "{{ __postgis_container_databases }}",
        postgis_databases=[
            {"name": "a", "owner": "gis", "initial_sql": "/laptop/a.sql"},
            {"name": "b", "owner": "gis", "extensions": ["postgis"]},
        ],
        postgis_data_folder="/data/postgis/data",
    )
    assert databases[0]["initial_sql"] == "/data/postgis/initial/a.sql"
    assert databases[1] == {"name": "b", "owner": "gis", "extensions": ["postgis"], "initial_sql": None}


def files_to_bring(render: Render, files: dict[str, Any], **given: Any) -> list[tuple[str, str]]:
    """Give source and target of each file that is brought to a Pi where the first look found these files."""
    pi = {"ansible_facts": {"poppyfield_pi": {"files": files}}, "postgis_data_folder": "/data/postgis/data"}
    found = render("postgis", "{{ __postgis_files_to_bring }}", **pi, **given)
    return [(file["source"], file["target"]) for file in found]


def test_files_of_the_first_start_are_brought_by_their_names_until_there_is_a_cluster(render: Render) -> None:
    wanted: dict[str, Any] = {"postgis_first_start_files": ["/laptop/10-gis.dump", "maps/20-gis.sql"]}
    brought = files_to_bring(render, {}, **wanted)
    assert brought == [
        ("/laptop/10-gis.dump", "/data/postgis/first-start/10-gis.dump"),
        ("maps/20-gis.sql", "/data/postgis/first-start/20-gis.sql"),
    ]
    marker = "/data/postgis/data/cluster/PG_VERSION"
    assert files_to_bring(render, {marker: {}}, **wanted) == brought
    assert files_to_bring(render, {marker: {"sha256": "1"}}, **wanted) == []


def test_initial_sql_is_brought_once_and_again_when_it_changed(render: Render, tmp_path: Path) -> None:
    sql = tmp_path / "a file's name.sql"
    sql.write_text("SELECT 1;\n")
    wanted = {"postgis_databases": [{"name": "gis", "owner": "gis", "initial_sql": str(sql)}]}
    target = "/data/postgis/initial/gis.sql"
    assert files_to_bring(render, {}, **wanted) == [(str(sql), target)]
    there = {target: {"sha256": hashlib.sha256(sql.read_bytes()).hexdigest(), "owner": "root"}}
    assert files_to_bring(render, there, **wanted) == []
    sql.write_text("SELECT 2;\n")
    assert files_to_bring(render, there, **wanted) == [(str(sql), target)]


@pytest.mark.parametrize("folder", ["fields", "fields [2026]", "what?", "all*", "a, b", "été", "{a,b}"])
def test_the_projects_to_verify_are_those_in_the_folders(render: Render, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    for name in ("b.qgs", "a.qgz", "notes.txt", "b.qgs.cfg", ".c.qgs", "d.qgs~"):
        (tmp_path / folder / name).touch()
    published = [{"repository": "fields", "folder": str(tmp_path / folder)}]
    projects = render("lizmap", "{{ __lizmap_expected_projects }}", lizmap_projects=published)
    assert projects == ["fields/a", "fields/b"]
    withheld = {"project_check": {"withheld": ["fields/a.qgz", "other/b.qgs"]}}
    given = {"lizmap_projects": published, **withheld}
    assert render("lizmap", "{{ __lizmap_expected_projects }}", **given) == ["fields/b"]
    assert render("lizmap", "{{ __lizmap_published_repositories[0].withheld }}", **given) == ["a.qgz"]
    refused = {"lizmap_published": {"withheld": ["fields/b.qgs"]}}
    assert render("lizmap", "{{ __lizmap_expected_projects }}", **given, **refused) == []


def test_the_build_tools_have_a_name_of_their_own_for_each_release_architecture_and_mirror(render: Render) -> None:
    folder = str(Path(__file__).resolve().parents[2] / "roles" / "arm_images")
    given = {"role_path": folder, "arm_images_cache_folder": "/cache", "__arm_images_builder_architecture": "amd64"}
    kinds: list[dict[str, str]] = [
        {"__arm_images_architecture": "armhf", "arm_images_profile": "bookworm"},
        {"__arm_images_architecture": "arm64", "arm_images_profile": "bookworm"},
        {"__arm_images_architecture": "arm64", "arm_images_profile": "trixie"},
        {"__arm_images_architecture": "arm64", "arm_images_profile": "trixie", "arm_images_mirror": "file:///mirror"},
    ]
    paths = [render("arm_images", "{{ __arm_images_tools_archive }}", **given, **kind) for kind in kinds]
    assert len(set(paths)) == len(kinds)
    assert paths[0].startswith("/cache/tools/bookworm-armhf-on-amd64-")
    assert render("arm_images", "{{ __arm_images_platform }}", **given, **kinds[0]) == "linux/arm/v7"


def labels_of_context(render: Render, sources: Path) -> tuple[str, str]:
    given = {"role_path": str(sources), "__arm_images_source": str(sources), "__arm_images_context": "postgis"}
    labels = render("arm_images", "{{ __arm_images_labels }}", **given)
    return labels["org.opencontainers.image.revision"], labels["org.opencontainers.image.created"]


def test_an_image_is_labelled_with_the_newest_commit_of_its_own_sources(render: Render, tmp_path: Path) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]

    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "postgis").mkdir()
    (tmp_path / "postgis" / "Dockerfile").write_text("FROM scratch\n")
    assert labels_of_context(render, tmp_path) == ("", "")
    git("init", "--quiet")
    assert labels_of_context(render, tmp_path) == ("", "")
    git("add", ".")
    git("commit", "--quiet", "-m", "x", "--date", "2020-01-01T00:00:00+00:00")
    expected = git("rev-parse", "HEAD"), git("log", "-1", "--format=%cI")
    assert labels_of_context(render, tmp_path) == expected
    git("commit", "--quiet", "--allow-empty", "-m", "elsewhere")
    assert labels_of_context(render, tmp_path) == expected
    (tmp_path / "postgis" / "Dockerfile").write_text("FROM debian\n")
    assert labels_of_context(render, tmp_path) == ("", "")


def test_accounts_in_postgis_have_a_role_and_a_database_of_their_own(render: Render) -> None:
    databases = [{"name": "gis", "owner": "gis", "extensions": ["postgis"]}]
    given = {"postgis_roles": [{"name": "gis"}], "postgis_databases": databases}
    wanted = "{{ [__postgis_container_roles, __postgis_secrets, __postgis_container_databases] }}"
    for elsewhere in ({"lizmap_accounts": "sqlite"}, {"lizmap_accounts": "postgis", "lizmap_web_client": "none"}, {}):
        assert [len(part) for part in render("postgis", wanted, **given, **elsewhere)] == [1, 1, 1]
    roles, secrets, made = render("postgis", wanted, **given, lizmap_accounts="postgis")
    secret = "/etc/poppyfield/secrets/postgis_lizmap"
    assert roles[1] == {"name": "lizmap", "password_file": secret}
    assert secrets[1]["path"] == secret
    assert (made[1]["name"], made[1]["owner"], made[1]["extensions"]) == ("lizmap", "lizmap", [])
    handed_over = render("lizmap", "{{ __lizmap_secrets }}", lizmap_accounts="postgis")
    assert handed_over["lizmap_accounts_password"] == secret
    assert "lizmap_accounts_password" not in render("lizmap", "{{ __lizmap_secrets }}")


def test_an_account_gets_what_its_entry_says_and_nothing_else(render: Render) -> None:
    given: dict[str, Any] = {
        "lizmap_users": [{"login": "anna", "groups": ["mappers"]}, {"login": "b@example.org", "state": "absent"}]
    }
    admin, anna, other = render("lizmap", "{{ __lizmap_wanted_users }}", **given)
    assert admin == {
        "login": "admin",
        "email": "admin@localhost.localdomain",
        "groups": ["admins"],
        "password_file": "/etc/poppyfield/secrets/lizmap_admin_password",
    }
    assert anna == {
        "login": "anna",
        "state": "present",
        "email": "anna@localhost.localdomain",
        "groups": ["mappers"],
        "rights": [],
        "password_file": "/etc/poppyfield/secrets/lizmap_user_anna",
        "update_password": "always",
    }
    assert (other["email"], other["state"]) == ("b@example.org", "absent")


def test_only_passwords_that_were_given_are_handed_over_and_those_who_leave_have_none(render: Render) -> None:
    users = [{"login": "anna"}, {"login": "bruno", "password": "s" * 12}, {"login": "chris", "state": "absent"}]
    assert render("lizmap", "{{ __lizmap_user_secrets }}", lizmap_users=users) == [
        {"path": "/etc/poppyfield/secrets/lizmap_user_anna"},
        {"path": "/etc/poppyfield/secrets/lizmap_user_bruno", "value": "s" * 12},
    ]
    assert "value" not in render("lizmap", "{{ __lizmap_admin_secret }}")
    assert render("lizmap", "{{ __lizmap_admin_secret }}", lizmap_admin_password="s" * 12)["value"] == "s" * 12


def test_a_repository_is_for_everyone_to_see_and_nobody_to_change_unless_its_entry_says_so(render: Render) -> None:
    projects = [{"repository": "fields", "folder": "/x"}, {"repository": "nests", "folder": "/y", "view": ["wardens"]}]
    fields, nests = render("lizmap", "{{ __lizmap_wanted_repositories }}", lizmap_projects=projects)
    assert fields == {
        "key": "fields",
        "label": "fields",
        "themes": False,
        "allowed_origins": [],
        "embedding_origins": [],
        "view": "everyone",
        "edit": [],
        "export": [],
        "links": [],
        "unfiltered": [],
    }
    assert nests["view"] == ["wardens"]


def test_a_group_loses_what_its_entry_no_longer_says_unless_it_is_lizmaps_own(render: Render) -> None:
    groups = [{"name": "mappers"}, {"name": "users"}, {"name": "admins", "label": "We"}]
    assert render("lizmap", "{{ __lizmap_wanted_groups }}", lizmap_groups=groups) == [
        {"name": "mappers", "state": "present", "label": "mappers", "rights": []},
        {"name": "users", "state": "present", "label": None, "rights": None},
        {"name": "admins", "state": "present", "label": "We", "rights": None},
    ]
    assert set(render("lizmap", "{{ __lizmap_built_in_groups }}")) == BUILT_IN


@pytest.mark.parametrize(("tls", "secure"), [("none", "off"), ("self_signed", "on"), ("fleet", "on"), ("files", "on")])
def test_the_cookie_of_the_session_goes_by_https_only_where_there_is_https(
    render: Render, tls: str, secure: str
) -> None:
    sessions = render("lizmap", "{{ __lizmap_settings_texts.localconfig.sessions }}", lizmap_tls=tls)
    assert sessions == {"cookieSecure": secure, "cookieSameSite": "Lax"}
    chosen = {"localconfig": {"sessions": {"cookieSecure": True}}}
    sessions = render(
        "lizmap", "{{ __lizmap_settings_texts.localconfig.sessions }}", lizmap_tls=tls, lizmap_settings=chosen
    )
    assert sessions == {"cookieSecure": "on", "cookieSameSite": "Lax"}


def of_pi(address: str = "") -> dict[str, Any]:
    """Give what Ansible says of a Pi within a task that is delegated to the laptop."""
    own = {"ansible_host": address} if address else {}
    return {"inventory_hostname": "pi-marsh", "ansible_host": "localhost", "hostvars": {"pi-marsh": own}}


@pytest.mark.parametrize(
    ("tls", "url", "secrets"),
    [("none", "http://10.0.0.5:80", set()), ("self_signed", "https://10.0.0.5:443", {"tls_certificate", "tls_key"})],
)
def test_where_the_map_is_asked_for(render: Render, tls: str, url: str, secrets: set[str]) -> None:
    given = {"lizmap_tls": tls, **of_pi("10.0.0.5"), "lizmap_web_client": "none"}
    assert render("lizmap", "{{ lizmap_url }}", **given) == url
    assert set(render("lizmap", "{{ __lizmap_secrets }}", **given)) == {"postgis_password", *secrets}


def test_a_certificate_of_the_pi_is_for_all_that_people_may_type(render: Render) -> None:
    given: dict[str, Any] = {"lizmap_server_name": "maps.example.org"}
    names = "{{ __lizmap_tls_names }}"
    assert render("lizmap", names, **given, **of_pi()) == ["maps.example.org", "pi-marsh"]
    assert render("lizmap", names, **given, **of_pi("10.0.0.5")) == ["maps.example.org", "pi-marsh", "10.0.0.5"]
    given["lizmap_server_names"] = ["marsh.lan"]
    assert render("lizmap", names, **given, **of_pi()) == ["maps.example.org", "pi-marsh", "marsh.lan"]


@pytest.mark.parametrize(
    ("given", "served"),
    [
        ({}, ["pi-marsh", "pi-marsh.local", "10.0.0.5"]),
        (
            {"lizmap_server_name": "maps.example.org", "lizmap_server_names": ["marsh.lan"]},
            ["maps.example.org", "pi-marsh", "pi-marsh.local", "10.0.0.5", "marsh.lan"],
        ),
        ({"lizmap_url": "https://proxy:8443"}, ["pi-marsh", "pi-marsh.local", "10.0.0.5", "proxy"]),
        ({"lizmap_address": "pi é"}, ["pi-marsh", "pi-marsh.local"]),
        ({"hotspot_enabled": True}, ["pi-marsh", "pi-marsh.local", "10.0.0.5", "map.internal", "10.77.77.1"]),
    ],
)
def test_the_names_of_a_pi_are_served(render: Render, given: dict[str, Any], served: list[str]) -> None:
    assert render("lizmap", "{{ __lizmap_served_names }}", **{**of_pi("10.0.0.5"), **given}) == served


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"lizmap_server_name": "Maps.example.org", "lizmap_server_names": ["marsh.lan", "fd00::5"]},
        {"lizmap_url": "https://[fd00::7]:8443"},
        {"lizmap_address": "pi é"},
        {"hotspot_enabled": True, "hotspot_network": "10.78.78.0/24"},
    ],
)
def test_the_authority_is_for_the_names_of_the_certificates_that_it_signs(
    render: Render, given: dict[str, Any]
) -> None:
    told = {"lizmap_tls": "fleet", **of_pi("10.0.0.5"), **given}
    names = ("lizmap_tls", "lizmap_server_name", "lizmap_address", "lizmap_url", "lizmap_server_names")
    values = {name: render("lizmap", f"{{{{ {name} }}}}", **told) for name in names}
    values = {"hotspot_enabled": False, "hotspot_network": "", **given, **values}
    assert check_names(render("lizmap", "{{ __lizmap_tls_names }}", **told)) == names_of(Host("pi-marsh", {}, values))


def test_the_authority_is_sent_to_be_handed_out(render: Render, tmp_path: Path) -> None:
    (tmp_path / "fleet-ca.crt").write_text("AUTHORITY\n", "ascii")
    given = {"lizmap_tls": "fleet", "lizmap_authority_folder": str(tmp_path), "lizmap_web_client": "none", **of_pi()}
    (file,) = render("lizmap", "{{ __lizmap_host_files.files }}", pi_page_enabled=False, **given)
    assert file["content"] == "AUTHORITY\n"
    assert render("lizmap", "{{ __lizmap_secrets }}", **given)["tls_authority"] == file["path"]


def test_a_given_key_is_sent_with_its_certificate(render: Render, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    certificate.write_text("CERTIFICATE\n", "ascii")
    key.write_text("KEY\n", "ascii")
    given = {"lizmap_tls": "files", "lizmap_tls_certificate": str(certificate), "lizmap_tls_key": str(key)}
    files = render("lizmap", "{{ __lizmap_host_files.files }}", **given, **of_pi())
    content = {Path(file["path"]).name: file["content"] for file in files}
    assert content["lizmap_tls_key"] == "KEY\nCERTIFICATE\n"
    assert content["lizmap_tls_certificate"] == "CERTIFICATE\n"


@pytest.mark.parametrize("written", ["/srv/p/data", "/srv/p/data/", "/srv/p//data/.", "/srv/p/x/../data//"])
@pytest.mark.parametrize(
    ("variable", "folder"), [("__postgis_initial_folder", "initial"), ("__postgis_first_start_folder", "first-start")]
)
def test_what_lies_beside_the_data_folder_is_never_in_it(
    render: Render, written: str, variable: str, folder: str
) -> None:
    assert render("postgis", f"{{{{ {variable} }}}}", postgis_data_folder=written) == f"/srv/p/{folder}"


def test_the_folder_of_the_pis_page_is_there_before_docker(render: Render) -> None:
    given = {"lizmap_web_client": "none", **of_pi()}
    files = render("lizmap", "{{ __lizmap_host_files }}", **given)
    (file,) = files["files"]
    assert file["path"].startswith("/etc/tmpfiles.d/")
    assert file["content"] == "# Managed by Poppyfield.\nd /run/poppyfield-page 0755 root root\n"
    assert "/run/poppyfield-page" in [folder["path"] for folder in files["folders"]]
    without = render("lizmap", "{{ __lizmap_host_files }}", pi_page_enabled=False, **given)
    assert "page" not in str(without)
    # The position is in it, too.
    assert render("lizmap", "{{ __lizmap_host_files }}", pi_page_enabled=False, position_enabled=True, **given) == files


def test_the_settings_of_lizmap_are_written_as_json_that_ends_with_its_line(render: Render) -> None:
    given = {"lizmap_settings": {"localconfig": {"global": {"timeZone": "Europe/Paris"}}}, **of_pi()}
    (file,) = render("lizmap", "{{ __lizmap_host_files.files }}", pi_page_enabled=False, **given)
    assert file["path"].endswith("/lizmap_settings")
    assert json.loads(file["content"])["localconfig"]["global"] == {"timeZone": "Europe/Paris"}
    assert file["content"].endswith("}\n")
