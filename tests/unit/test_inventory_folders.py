"""Folders on the Pi are whole paths, and none lies inside another one."""

from __future__ import annotations

import pytest

from tests.unit.inventory_of import problems, told


@pytest.mark.parametrize("path", ["data", "~/data", "./x", "/", "//", "/srv/..", "/srv/a\nb", ""])
@pytest.mark.parametrize("variable", ["postgis_data_folder", "lizmap_folder"])
def test_a_folder_is_a_whole_path(variable: str, path: str) -> None:
    (found,) = problems(**{variable: path})
    assert found.finding.variable == variable
    assert "the whole path of a folder on the Pi" in found.finding.wrong


@pytest.mark.parametrize(
    ("postgis", "lizmap", "apart"),
    [
        ("/srv/a", "/srv/b", True),
        ("/srv/data", "/srv/data2", True),
        ("/srv/a", "/srv/a", False),
        ("/srv/a", "//srv/x/../a/", False),
        ("/srv/a/data", "/srv/a", False),
        ("/srv/a", "/srv/a/lizmap", False),
        ("/srv/a/data", "/srv/a/initial", False),
        ("/srv/a/data", "/srv/a/first-start/x", False),
        ("/srv/a/data", "/srv/a/lizmap", True),
    ],
)
def test_no_folder_lies_inside_another_one(postgis: str, lizmap: str, apart: bool) -> None:
    found = told(postgis_data_folder=postgis, lizmap_folder=lizmap)
    assert len(found) == (not apart)
    assert all("in one another" in one for one in found)


def test_passwords_do_not_lie_among_the_data() -> None:
    assert told(lizmap_secrets_folder="/etc/x", postgis_secrets_folder="/etc/x") == []
    assert len(told(lizmap_secrets_folder="/srv/poppyfield/lizmap/secrets")) == 1
