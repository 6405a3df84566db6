"""How large a visitor may have things drawn: what the memory of a worker holds, told with what is possible."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from poppyfield_guard import project
from poppyfield_guard.judgement import Refused
from poppyfield_guard.sizes import judge_sizes

WORKER_MB = 768
"""One on a machine with 1 GB."""
LAYOUTS = {"A4": [(297.0, 210.0)], "poster": [(1189.0, 841.0)], "none": []}
MAP = {"SERVICE": "WMS", "REQUEST": "GetMap", "LAYERS": "a,b"}
PRINT = {"SERVICE": "WMS", "REQUEST": "GetPrint", "TEMPLATE": "A4", "FORMAT": "pdf"}
DXF = {**MAP, "FORMAT": "application/dxf; charset=utf-8"}


def refusal(parameters: dict[str, str], worker_mb: int = WORKER_MB) -> str:
    """Give what is said to a request, or nothing when it passes."""
    try:
        judge_sizes(parameters, lambda: LAYOUTS, worker_mb)
    except Refused as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    "parameters",
    [
        {**MAP, "WIDTH": "5000", "HEIGHT": "5000", "LAYERS": ",".join("abcde")},
        {**MAP, "WIDTH": "1000", "HEIGHT": "1000", "LAYERS": ",".join(["a"] * 101)},
        {**MAP, "WIDTH": "-9000", "HEIGHT": "9000"},
        {**MAP, "WIDTH": "%39000", "HEIGHT": "9000"},
        {**MAP, "WIDTH": "9000", "HEIGHT": "9000", "LAYERS": "a%2Cb"},
        {**MAP, "REQUEST": "GetLegendGraphic", "LAYER": "a", "WIDTH": "1e6", "HEIGHT": "1e6"},
        {**MAP, "REQUEST": "GetLegendGraphic", "SYMBOLWIDTH": "31"},
        {**MAP, "REQUEST": "GetLegendGraphics", "DPI": "nan"},
        {**MAP, "REQUEST": "GetLegendGraphics", "ITEMFONTSIZE": "1000"},
        {**MAP, "MAP_RESOLUTION": "601"},
        {**PRINT, "DPI": "1200"},
        {**PRINT, "REQUEST": "getprintatlas", "DPI": "1200"},
        {"SERVICE": "atlas", "REQUEST": "GetPrint", "TEMPLATE": "A4", "DPI": "%31200"},
        {**PRINT, "DPI": "inf"},
        {**PRINT, "TEMPLATE": "poster", "DPI": "200"},
        {**PRINT, "TEMPLATE": "unheard of", "DPI": "200"},
        {**PRINT, "WIDTH": "20000"},
        {**PRINT, "WIDTH": "8000", "HEIGHT": "8000"},
        {**DXF, "FORMAT_OPTIONS": "MODE:FEATURESYMBOLOGY;SCALE:499"},
        {**DXF, "FORMAT_OPTIONS": "mode:symbollayersymbology"},
        {**DXF, "FORMAT_OPTIONS": "SCALE:1;MODE:FEATURESYMBOLOGY;SCALE:1000"},
    ],
)
def test_what_does_not_fit_into_the_memory_is_refused(parameters: dict[str, str]) -> None:
    told = refusal(parameters)
    assert told.startswith("The parameter "), parameters
    assert len(told) < 250


@pytest.mark.parametrize(
    "parameters",
    [
        {**MAP, "WIDTH": "3840", "HEIGHT": "2160", "LAYERS": ",".join("abcdefghij"), "DPI": "192"},
        {**MAP, "WIDTH": "1920", "HEIGHT": "1080", "LAYERS": ",".join(["a"] * 40)},
        {**MAP, "WIDTH": "", "HEIGHT": "many", "DPI": ""},
        {**MAP, "REQUEST": "GetLegendGraphic", "SYMBOLWIDTH": "7", "BOXSPACE": "2.5", "ITEMFONTSIZE": "12"},
        {**PRINT, "DPI": "300"},
        {**PRINT, "DPI": "600"},
        {**PRINT, "TEMPLATE": "poster", "DPI": "150"},
        {**PRINT, "TEMPLATE": "none", "DPI": "1200"},
        {**PRINT, "WIDTH": "3508"},
        {**DXF},
        {**DXF, "FORMAT_OPTIONS": "MODE:NOSYMBOLOGY;SCALE:1"},
        {**DXF, "FORMAT_OPTIONS": "MODE:FEATURESYMBOLOGY;SCALE:500"},
        {"SERVICE": "WFS", "REQUEST": "GetFeature", "TYPENAME": "a", "MAXFEATURES": "1000"},
    ],
)
def test_what_people_ask_for_passes(parameters: dict[str, str]) -> None:
    assert refusal(parameters) == ""


def test_a_refusal_tells_what_is_possible() -> None:
    told = refusal({**PRINT, "TEMPLATE": "poster", "DPI": "400"})
    assert told.startswith("The parameter DPI is refused: for a page of 1189 x 841 mm this server has memory for 180")
    assert refusal({**PRINT, "TEMPLATE": "poster", "DPI": "180"}) == ""
    assert "for 2 layers this server has memory for 50331648 pixels" in refusal({**MAP, "WIDTH": "9e9", "HEIGHT": "1"})


def test_more_memory_allows_more() -> None:
    assert refusal({**PRINT, "DPI": "1200"}, 8 * WORKER_MB) == ""


def test_the_pages_of_a_project_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "PROJECTS", tmp_path)
    text = """<qgis><Layouts>
        <Layout name="A4"><PageCollection><LayoutItem type="65638" size="297,210,mm"/></PageCollection>
            <LayoutItem type="65639" size="2000,1000,mm"/></Layout>
        <Layout name="inches"><LayoutItem type="65638" size="10,20,in"/><LayoutItem type="65638" size="1,2"/></Layout>
        <Layout name="odd"><LayoutItem type="65638" size="0,210,mm"/><LayoutItem type="65638" size="x,1,mm"/>
            <LayoutItem type="65638"/><LayoutItem type="65638" size="1,1,ell"/></Layout>
        </Layouts><Option name="FilterExpression" value="a = 1"/></qgis>"""
    (tmp_path / "a.qgs").write_text(text)
    with zipfile.ZipFile(tmp_path / "b.qgz", "w") as archive:
        archive.writestr("b.qgs", text)
    for name in ("a.qgs", "b.qgz"):
        found = project.layouts_of(str(tmp_path / name))
        assert found == {"A4": {(297, 210)}, "inches": {(254, 508), (1, 2)}, "odd": set()}
        assert project.filters_of(str(tmp_path / name)) == {"a = 1"}
    (tmp_path / "a.qgs").write_text("<qgis>")
    assert project.layouts_of(str(tmp_path / "a.qgs")) == {}
    assert project.layouts_of("/elsewhere/a.qgs") == {}
