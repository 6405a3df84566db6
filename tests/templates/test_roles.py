"""What the roles render from a person's variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Render = Callable[..., Any]
TWO_ROLES = [{"name": "gis"}, {"name": "reader"}]


def test_the_engines_log_files_are_bounded_and_containers_survive_its_restart(render: Render) -> None:
    configuration = render("docker_engine", "{{ __docker_engine_configuration }}", docker_engine_log_max_size="5m")
    assert configuration["log-opts"] == {"max-size": "5m", "max-file": "3"}
    assert configuration["live-restore"] is True


@pytest.mark.parametrize("codename", ["bookworm", "trixie"])
@pytest.mark.parametrize("source", ["distribution", "docker"])
def test_every_release_and_source_has_packages_with_the_python_sdk(render: Render, source: str, codename: str) -> None:
    packages = render(
        "docker_engine", "{{ __docker_engine_packages[source][codename] }}", source=source, codename=codename
    )
    assert "python3-docker" in packages


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


def test_the_projects_to_verify_are_those_in_the_folders(render: Render, tmp_path: Path) -> None:
    for name in ("b.qgs", "a.qgz", "notes.txt", "b.qgs.cfg"):
        (tmp_path / name).touch()
    published = [{"repository": "fields", "folder": str(tmp_path)}]
    projects = render("lizmap", "{{ __lizmap_expected_projects }}", lizmap_projects=published)
    assert projects == ["fields/a", "fields/b"]


def test_the_base_system_has_a_name_of_its_own_for_each_release_and_architecture(render: Render) -> None:
    folder = str(Path(__file__).resolve().parents[2] / "roles" / "arm_images")
    given = {"role_path": folder, "__arm_images_architecture": "armhf", "arm_images_cache_folder": "/cache"}
    path = render("arm_images", "{{ __arm_images_rootfs }}", **given)
    assert path.startswith("/cache/base/trixie-armhf-")
    assert render("arm_images", "{{ __arm_images_platform }}", **given) == "linux/arm/v7"
