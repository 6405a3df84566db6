"""The files of the laptop that variables name: what goes into a bundle, and what a Pi alone cannot have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.inventory import bundled_files

from tests.unit.inventory_of import host


def test_files_that_variables_name_go_in_once_and_keep_their_place_in_the_variables(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "lizmap_archive": "https://example.org/lizmap-web-client-3.9.9.zip",
        "lizmap_server_plugin": f"{tmp_path}/plugin.zip",
        "lizmap_server_extra_plugins": [{"source": f"{tmp_path}/atlas.zip"}, {"source": "https://example.org/x.zip"}],
        "lizmap_projects": [{"repository": "fields", "folder": f"{tmp_path}/fields", "view": ["everyone"]}],
        "lizmap_basemaps": [{"file": f"{tmp_path}/a.mbtiles", "name": "a"}],
        "postgis_first_start_files": [f"{tmp_path}/10-gis.sql"],
        "postgis_databases": [{"name": "gis", "owner": "gis"}],
    }
    found = bundled_files.collected([host(**given), host(**given)])
    of_host = found.hosts["pi"]
    keys = {path.rpartition("/")[2]: f"bundle:{key}" for key, path in found.sources.items()}
    assert sorted(keys) == ["10-gis.sql", "a.mbtiles", "atlas.zip", "fields", "plugin.zip"]
    assert "lizmap_archive" not in of_host and "postgis_databases" not in of_host
    assert of_host["lizmap_server_plugin"] == keys["plugin.zip"]
    assert of_host["lizmap_server_extra_plugins"][1]["source"] == "https://example.org/x.zip"
    assert of_host["lizmap_projects"][0]["folder"] == keys["fields"]
    assert of_host["lizmap_projects"][0]["repository"] == "fields"
    # Given back as they are, they mean the same.
    assert host(**of_host).values["lizmap_projects"] == host(**{**given, **of_host}).values["lizmap_projects"]
    assert of_host["lizmap_basemaps"][0]["file"] == keys["a.mbtiles"] and of_host["postgis_first_start_files"]
    assert list(bundled_files.findings(host(**given), found, ["short"])) == []
    (told,) = bundled_files.findings(host(**given), found, ["everyone"])
    assert told.variable == "lizmap_projects" and "in the clear" in told.wrong and "everyone" not in told.wrong


def test_without_lizmap_its_archives_do_not_go_in() -> None:
    found = bundled_files.collected([host(lizmap_web_client="none")])
    assert found.hosts == {"pi": {}} and found.sources == {}


def test_a_log_in_by_key_from_a_laptop_is_not_for_a_pi_alone() -> None:
    pi = host(hardening_ssh_keys_only=True)
    (told,) = bundled_files.findings(pi, bundled_files.collected([pi]), [])
    assert told.variable == "hardening_ssh_keys_only" and "bundle_alone" in told.remedy


@pytest.mark.parametrize("how", ["files", "fleet"])
def test_keys_of_certificates_are_not_for_a_pi_alone(how: str) -> None:
    pi = host(lizmap_tls=how, lizmap_web_client="none")
    (told,) = bundled_files.findings(pi, bundled_files.collected([pi]), [])
    assert told.variable == "lizmap_tls" and "bundle_alone" in told.remedy
