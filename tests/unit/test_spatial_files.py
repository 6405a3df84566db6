"""GeoPackages, shapefiles and CSV: what GDAL is asked, and what is told without it. tests/images has the real one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.postgis import spatial_files
from ansible.module_utils.poppyfield.postgis.spatial_files import Layer, SpatialFileError, SpatialOptions


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Parcelles d'été", "parcelles_d_ete"),
        ("PARCELLES", "parcelles"),
        ("Cœur de forêt (2024)", "coeur_de_foret_2024"),
        ("2024 relevés", "t_2024_releves"),
        ("植生", "layer"),
        ("x" * 80, "x" * 63),
    ],
)
def test_names_become_plain(name: str, plain: str) -> None:
    assert spatial_files.plain_name(name) == plain


def test_layers_get_their_tables() -> None:
    layers = [("f.gpkg", "Été"), ("f.gpkg", "Sites")]
    assert [layer.table for layer in spatial_files.named(layers, SpatialOptions())] == ["ete", "sites"]
    assert [layer.table for layer in spatial_files.named(layers, SpatialOptions(keep_names=True))] == ["Été", "Sites"]
    assert [layer.table for layer in spatial_files.named(layers[:1], SpatialOptions(table="summer"))] == ["summer"]


@pytest.mark.parametrize(
    ("names", "asked", "said"),
    [
        (["Été", "ete"], SpatialOptions(), "two of its layers would become the table ete"),
        (["a", "b"], SpatialOptions(table="x"), "table is for a file with one layer, and it has several: a, b"),
        (["é" * 40], SpatialOptions(keep_names=True), "Leave keep_names out"),
    ],
)
def test_names_that_can_not_be_are_told(names: list[str], asked: SpatialOptions, said: str) -> None:
    with pytest.raises(SpatialFileError, match=said):
        spatial_files.named([("f.gpkg", name) for name in names], asked)


def test_a_coordinate_system_and_an_encoding_are_given_to_gdal() -> None:
    words = spatial_files.command(Layer("a.shp", "a", "a"), Path("/o.sql"), SpatialOptions("EPSG:2154", "CP1252"))
    assert words[words.index("-a_srs") + 1] == "EPSG:2154"
    assert "ENCODING=CP1252" in words
    assert words[-3:] == ["/o.sql", "a.shp", "a"]
    assert "-a_srs" not in spatial_files.command(Layer("a.gpkg", "a", "a"), Path("/o.sql"), SpatialOptions())


def test_what_is_no_file_for_gdal_is_told_without_it(tmp_path: Path) -> None:
    (tmp_path / "parcels.shp").touch()
    with pytest.raises(SpatialFileError, match=r"beside it parcels\.shx is missing"):
        spatial_files.sources(tmp_path / "parcels.shp")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4")
    with pytest.raises(SpatialFileError, match="no zip file, or damaged"):
        spatial_files.sources(tmp_path / "broken.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as packed:
        packed.writestr("readme.txt", "")
    with pytest.raises(SpatialFileError, match="no shapefile"):
        spatial_files.sources(tmp_path / "other.zip")


def test_a_laptop_without_gdal_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpatialFileError, match="sudo apt install gdal-bin"):
        spatial_files.to_sql(tmp_path / "a.gpkg", tmp_path, SpatialOptions())


def test_what_is_no_encoding_is_told() -> None:
    assert spatial_files.encoding_problem("CP1252") == spatial_files.encoding_problem("") == ""
    assert "not latin-9000" in spatial_files.encoding_problem("latin-9000")
