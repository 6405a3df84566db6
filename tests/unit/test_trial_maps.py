"""The maps of a backup that is restored for trial: which are tried, and what counts as the backup's fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.backup import trial_maps
from ansible.module_utils.poppyfield.projects.server_checks import QgisServerAnswer

CAPABILITIES = (
    '<WMS_Capabilities xmlns="http://www.opengis.net/wms"><Capability><Layer><Layer><Name>trees</Name></Layer>'
    "</Layer></Capability></WMS_Capabilities>"
)
ASKED = trial_maps.TrialMaps("db-proof", "map", "map-proof", "ours=true", "/mnt/projects", "", "a secret of gis")


class Server:
    """A QGIS Server that lacks layers."""

    def __init__(self, *missing: str, draws: bool = True) -> None:
        self._missing, self._draws = missing, draws

    def ask(self, parameters: Mapping[str, str]) -> QgisServerAnswer:
        return self.ask_alone(parameters)

    def ask_alone(self, parameters: Mapping[str, str], *, leave_out: bool = False) -> QgisServerAnswer:
        if self._missing and not leave_out:
            log = f"10:00:00 CRITICAL Server[9]: Layer(s) {', '.join(self._missing)} not valid in project"
            return QgisServerAnswer(500, "text/xml", "<ServerException>no</ServerException>", log)
        if parameters["REQUEST"] == "GetCapabilities":
            return QgisServerAnswer(200, "text/xml", CAPABILITIES)
        return QgisServerAnswer(200 if self._draws else 500, "image/png", "")


@pytest.mark.parametrize(
    ("restored", "in_use", "words"),
    [
        (Server(), Server(), ""),
        (Server("trees"), Server(), "fields/map.qgs, layer 'trees': "),
        # What the one in use lacks, too, no backup can have.
        (Server("far"), Server("far"), ""),
        (Server("far", "trees"), Server("far"), "fields/map.qgs, layer 'trees': "),
        (Server("far", draws=False), Server("far"), "fields/map.qgs: QGIS Server does not draw it"),
        (Server(draws=False), Server(draws=False), ""),
    ],
)
def test_what_draws_in_use_and_not_from_the_backup_is_its_fault(restored: Server, in_use: Server, words: str) -> None:
    said = trial_maps.fault("fields/map.qgs", restored, in_use)
    assert said.startswith(words) and bool(said) is bool(words) and "\n" not in said


def test_projects_are_found_where_they_are_published(tmp_path: Path) -> None:
    for name in ("fields/b.qgz", "fields/a.qgs", "fields/a.qgs.cfg", "fields/media/c.qgs", ".poppyfield/x", "d.qgs"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "fields" / "link.qgs").symlink_to("/etc/passwd")
    assert trial_maps.projects_in(tmp_path) == ["fields/a.qgs", "fields/b.qgz"]


def test_the_container_is_told_no_password_and_leads_nowhere() -> None:
    command = trial_maps.container_command(ASKED, "sha256:1", "qgis")
    assert "a secret of gis" not in str(command) and "--publish" not in command
    assert command[command.index("--network") + 1] == "container:db-proof"
    assert all("readonly" in word for word in command if word.startswith("type=bind"))
    service = trial_maps.service_file(
        {"POSTGIS_PORT": "5432", "POSTGIS_DATABASE": "gis", "POSTGIS_USER": "gis"}, ASKED.password
    )
    assert service.splitlines()[0] == "[poppyfield]" and "password=a secret of gis" in service
