"""What the stock playbook is told, read from a Pi on which Poppyfield has deployed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workshop.bench.contenders import Contender, Json, twin

STOCK = Contender("stock", "stock modules")
INITIAL_SQL = "/srv/poppyfield/postgis/initial/gis.sql"
PASSWORD_FILE = "/etc/poppyfield/secrets/postgis_gis"  # noqa: S105 - a path
PROJECTS = "/srv/poppyfield/lizmap/projects/sample"


def container(inspected: Json) -> Json:
    """Give the options of docker_container for a container that is equal to this one."""
    asked = twin(inspected, STOCK, "", ("\x00", ""), 0).arguments
    ports = [
        f"{binding['HostIp']}:{binding['HostPort']}:{inside}"
        for inside, bindings in (inspected["HostConfig"]["PortBindings"] or {}).items()
        for binding in bindings
    ]
    options = {name: value for name, value in asked.items() if name != "labels"}
    user = inspected["Config"]["User"]
    return {
        **options,
        **({"user": user} if user else {}),
        "name": inspected["Name"].lstrip("/"),
        "published_ports": ports,
    }


def variables(containers: Mapping[str, Json], files: Mapping[str, str], folder: Path, sample: Path) -> Json:
    """Give the variables: `containers` as inspected, by service; `files` of the Pi that are settings, by path."""
    return {
        "stock_docker_settings": files["/etc/docker/daemon.json"],
        "stock_journal_settings": files["/etc/systemd/journald.conf.d/poppyfield.conf"],
        "stock_packages": ["docker.io", "docker-cli", "python3-docker", "openssl"],
        "stock_images": [
            {"name": found["Config"]["Image"], "archive": str(folder / f"{service}.tar")}
            for service, found in containers.items()
        ],
        "stock_postgis_folders": [
            {"path": "/etc/poppyfield/secrets", "owner": "root", "mode": "0700"},
            {"path": "/srv/poppyfield/postgis/initial", "owner": "root", "mode": "0700"},
            {"path": "/srv/poppyfield/postgis/first-start", "owner": "5432", "mode": "0700"},
            {"path": "/srv/poppyfield/postgis/data", "owner": "5432", "mode": "0700"},
        ],
        "stock_postgis_password": password(folder / "stock_password"),
        "stock_postgis_password_file": PASSWORD_FILE,
        "stock_postgis_initial_sql": {"source": str(sample / "sample.sql"), "target": INITIAL_SQL},
        "stock_postgis_container": container(containers["postgis"]),
        "stock_postgis_make_database": MAKE_DATABASE,
        "stock_postgis_before_data": BEFORE_DATA,
        "stock_lizmap_folders": [
            {"path": "/srv/poppyfield/lizmap", "owner": "root", "mode": "0755"},
            {"path": "/srv/poppyfield/lizmap/projects", "owner": "root", "mode": "0755"},
            {"path": PROJECTS, "owner": "root", "mode": "0755"},
            {"path": "/srv/poppyfield/lizmap/config", "owner": "www-data", "mode": "0700"},
        ],
        "stock_lizmap_projects": {"source": str(sample / "projects" / "sample"), "target": PROJECTS},
        "stock_lizmap_container": container(containers["lizmap"]),
    }


def password(path: Path) -> str:
    """Give what Ansible makes a password of, once, kept in a file of the laptop."""
    return "{{ lookup('ansible.builtin.password', '" + str(path) + "', length=32, chars=['ascii_letters', 'digits']) }}"


MAKE_DATABASE = """
SELECT 'CREATE ROLE gis LOGIN PASSWORD ' || quote_literal('{{ stock_postgis_password }}'), 'SELECT ''made'''
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gis') \\gexec
SELECT 'CREATE DATABASE gis OWNER gis', 'REVOKE CONNECT, TEMPORARY ON DATABASE gis FROM PUBLIC', 'SELECT ''made'''
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'gis') \\gexec
"""
BEFORE_DATA = "CREATE EXTENSION IF NOT EXISTS postgis;\nSET SESSION AUTHORIZATION gis;"
