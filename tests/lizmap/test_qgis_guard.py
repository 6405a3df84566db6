"""The guard in front of QGIS Server: each attack is refused, and does harm on the same image without the guard.

build/reports/functions.json tells of each function of QGIS's expressions whether visitors have it, and why.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from poppyfield_guard import functions

from tests.attack_report import Record
from tests.images.map_server import trusting, wait_until
from tests.images.projects import POPPY
from tests.lizmap.guard.asking import (
    MOUNTED,
    OWN_FILTER,
    PLUGINS,
    UNGUARDED,
    Answer,
    ask,
    done,
    get,
    inside,
    lay_out,
    publish,
)
from tests.lizmap.guard.attacks import (
    ATTACKS,
    FOLDER,
    FORM,
    GET_INFO,
    GET_MAP,
    LEGEND,
    OGC,
    PRINT,
    SPELLINGS,
    WFS,
    get_feature,
    style,
)
from tests.lizmap.lizmap import Lizmap, lizmap

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build" / "reports"
GUARD = ROOT / "images" / "lizmap" / "qgis-plugins" / "poppyfield_guard"
ENVIRONMENT = {"QGIS_SERVER_WORKERS": "2"}
UNWATCHED = {"test": ["NONE"]}
"""Nobody runs the health check, which would end QGIS Server without the guard."""
MEADOW = "Pré d'Été"


@pytest.fixture(scope="module")
def guarded(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    """Return Lizmap with the guard."""
    folder = tmp_path_factory.mktemp("guarded")
    publish(folder)
    with lizmap(lizmap_image, folder, network, mounts=MOUNTED, environment=ENVIRONMENT) as server:
        server.wait_until_healthy()
        lay_out(server)
        yield server


@pytest.fixture(scope="module")
def unguarded(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    """Return Lizmap without the guard, and with a QGIS Server that may write what Lizmap may."""
    folder = tmp_path_factory.mktemp("unguarded")
    publish(folder)
    mounts = {**UNGUARDED, **trusting(folder)}
    with lizmap(lizmap_image, folder, network, mounts=mounts, environment=ENVIRONMENT, healthcheck=UNWATCHED) as server:
        address = f"/?{urlencode({'MAP': 'fields/meadow.qgs', **GET_MAP})}"
        wait_until(lambda: server.run("test", "-S", "/run/qgis-server.sock")[0] == 0, "QGIS Server runs", server.log)
        wait_until(lambda: get(server, address).status == 200, "QGIS Server draws", server.log)
        lay_out(server)
        yield server


def test_each_attack_is_refused_and_does_harm_without_the_guard(
    guarded: Lizmap, unguarded: Lizmap, record_attack: Record
) -> None:
    answers = ask(guarded, [attack.request for attack in ATTACKS])
    ask(unguarded, [attack.request for attack in ATTACKS])
    harmed, harmed_without = done(guarded), done(unguarded)
    not_refused = []
    for attack, answer in zip(ATTACKS, answers, strict=True):
        refused = answer.refused and attack.name not in harmed
        not_refused += [] if refused else [attack.name]
        record_attack(
            attack.name,
            kind=attack.kind,
            on="Lizmap",
            refused=refused,
            proven_able=attack.name in harmed_without,
            request=SPELLINGS.get(attack.name, attack.name),
            harmless_here=not attack.harms,
        )
    assert not_refused == []
    assert harmed == set()
    assert {attack.name for attack in ATTACKS if attack.harms} - harmed_without == set()


HONEST = {
    "map": {**GET_MAP},
    "filtered-map": {**GET_MAP, "FILTER": 'meadow:"hectares" > 3'},
    "login-filtered-map": {**GET_MAP, "FILTER": "meadow:\"name\" IN ( 'all' , 'x' ) AND ( \"hectares\" = 1 )"},
    "information": {**GET_INFO},
    "legend": {**LEGEND},
    "features": {**WFS, "EXP_FILTER": f'"name" = \'{MEADOW.replace(chr(39), chr(39) * 2)}\' AND "hectares" > 3'},
    "no-features": {**WFS, "EXP_FILTER": '"name" = \'x\' AND "hectares" > 3'},
    "by-number": {**WFS, "EXP_FILTER": "$id IN (0, 1) AND (\"name\" ILIKE '%pr%')"},
    "login-filtered": {**WFS, "EXP_FILTER": '( "hectares" > 3 ) AND ( "name" IN (\'all\') OR "name" LIKE \'P%\' )'},
    "by-place": {**WFS, "EXP_FILTER": "intersects($geometry, geom_from_wkt('POINT(2.5 46.5)'))"},
    "by-polygon": {
        **WFS,
        "EXP_FILTER": "contains(geom_from_wkt('POLYGON((0 40, 9 40, 9 50, 0 50, 0 40))'), centroid($geometry)) AND "
        "intersects(transform(geom_from_wkt('POINT(0 0)'), 'EPSG:3857', 'EPSG:4326'), $geometry) = 0",
    },
    "by-date": {**WFS, "EXP_FILTER": "to_date('2026-01-01') < now() AND format_date(now(), 'yyyy') > '2000'"},
    "box": {**WFS, "BBOX": "2,46,3,47"},
    "one": {**WFS, "FEATUREID": "meadow.0"},
    "sorted": {**WFS, "SORTBY": "name DESC,hectares"},
    "ogc-filter": {
        **WFS,
        "FILTER": f'<Filter xmlns="{OGC}"><PropertyIsEqualTo><PropertyName>hectares</PropertyName>'
        "<Literal>12.5</Literal></PropertyIsEqualTo></Filter>",
    },
    "style": {**GET_MAP, "SLD_BODY": style("")},
    "print": {**PRINT, "words": "100 % <b>of</b> 'meadows' [a]"},
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_request_is_answered_as_without_the_guard(guarded: Lizmap, unguarded: Lizmap, name: str) -> None:
    address = f"/?{urlencode({'MAP': 'fields/printed.qgs', **HONEST[name]})}"
    with_guard, without = get(guarded, address), get(unguarded, address)
    assert with_guard.status == 200, with_guard.content
    assert without_time(with_guard) == without_time(without)


def without_time(answer: Answer) -> str:
    """Give an answer without the moment at which it was given, and XML without its order of attributes."""
    if not answer.content.startswith(b"<"):
        return str(answer)
    return re.sub(r'timeStamp="[^"]*"', "", ElementTree.canonicalize(answer.content.decode()))


@pytest.mark.parametrize("form", ["{}", "( {} ) AND ( \"name\" LIKE 'P%' )"])
def test_a_filter_of_a_form_of_the_project_may_use_every_function(guarded: Lizmap, form: str) -> None:
    address = f"/?{urlencode({'MAP': 'fields/printed.qgs', **WFS, 'EXP_FILTER': form.format(OWN_FILTER)})}"
    answer = get(guarded, address)
    assert (answer.status, b"<qgs:hectares>12.5" in answer.content) == (200, True), answer.content


@pytest.mark.parametrize("form", ["{} OR 1 = 1", "{} AND env('A') = 'b'", "NOT ({})", "env('NOTHING') IS NOT NULL"])
def test_what_only_looks_like_a_filter_of_the_project_is_refused(guarded: Lizmap, form: str) -> None:
    address = f"/?{urlencode({'MAP': 'fields/printed.qgs', **WFS, 'EXP_FILTER': form.format(OWN_FILTER)})}"
    assert get(guarded, address).refused


def test_a_posted_document_is_answered(guarded: Lizmap) -> None:
    equal = (
        "<ogc:Filter><ogc:PropertyIsEqualTo><ogc:PropertyName>hectares</ogc:PropertyName><ogc:Literal>12.5</ogc:Literal>"
        "</ogc:PropertyIsEqualTo></ogc:Filter>"
    )
    posted = {"address": "/?MAP=fields/printed.qgs", "body": get_feature(equal), "type": "text/xml"}
    (answer,) = ask(guarded, [posted])
    assert (answer.status, b"<qgs:hectares>12.5" in answer.content) == (200, True), answer.content


TOO_LARGE = {
    "print": ({**PRINT, "DPI": "550"}, "this server has memory for 510 dots per inch"),
    "print, by its width": ({**PRINT, "WIDTH": "6200"}, "this server has memory for prints of"),
    "picture of many layers": (
        {**GET_MAP, "WIDTH": "3300", "HEIGHT": "3300", "LAYERS": ",".join(["meadow"] * 5), "STYLES": ""},
        "for 5 layers this server has memory for",
    ),
    "legend": ({**LEGEND, "SYMBOLWIDTH": "400"}, "it is more than 30 mm"),
    "drawing": (
        {**GET_MAP, "FORMAT": "application/dxf", "FORMAT_OPTIONS": "MODE:FEATURESYMBOLOGY;SCALE:1"},
        "a drawing with symbols needs SCALE",
    ),
}


@pytest.mark.attack(kind="load", on="Lizmap")
def test_what_takes_more_memory_than_there_is_is_refused_with_what_is_possible(
    lizmap_image: str, network: str, tmp_path: Path, unguarded: Lizmap
) -> None:
    publish(tmp_path)
    environment = {"QGIS_SERVER_WORKERS": "1"}
    options: dict[str, Any] = {"mounts": MOUNTED, "environment": environment, "mem_limit": "640m"}
    with lizmap(lizmap_image, tmp_path, network, **options) as server:
        server.wait_until_healthy()
        for name, (parameters, words) in TOO_LARGE.items():
            address = f"/?{urlencode({'MAP': 'fields/printed.qgs', **parameters})}"
            answer = get(server, address)
            assert answer.refused and words.encode() in answer.content, (name, answer.content)
            assert not get(unguarded, address).refused, name
        honest = get(server, f"/?{urlencode({'MAP': 'fields/printed.qgs', **PRINT, 'DPI': '300'})}")
        assert honest.picture.width > 3500


def changed_guard(folder: Path, old: str, new: str) -> dict[str, str]:
    """Give the mount of a guard that judges otherwise."""
    plugin = folder / "plugin"
    shutil.copytree(GUARD, plugin)
    text = (plugin / "judgement.py").read_text("utf-8")
    assert old in text
    (plugin / "judgement.py").write_text(text.replace(old, new), "utf-8")
    return {str(plugin): f"{PLUGINS}/poppyfield_guard"}


ALONE = {"QGIS_SERVER_WORKERS": "1"}
ONE_BY_ONE = """        at = 0
"""
ALL_AT_ONCE = """        if not re.fullmatch(r"(?:\\((?:<.*?Filter>)?\\))+", text, re.DOTALL):
            self.refuse("it is no list.")
        at = 0
"""
ENDLESS = f"/?{urlencode({'MAP': 'fields/meadow.qgs', **GET_MAP, 'FILTER': '(<Filter>)' * 40 + 'x'})}"


@pytest.mark.attack(kind="load", on="Lizmap")
def test_no_filter_keeps_a_worker_busy_without_end(
    guarded: Lizmap, lizmap_image: str, network: str, tmp_path: Path
) -> None:
    assert get(guarded, ENDLESS).refused
    publish(tmp_path)
    mounts = {**MOUNTED, **changed_guard(tmp_path, ONE_BY_ONE, ALL_AT_ONCE)}
    environment = {**ALONE, "QGIS_SERVER_TIMEOUT": "20"}
    with lizmap(
        lizmap_image, tmp_path, network, mounts=mounts, environment=environment, healthcheck=UNWATCHED
    ) as server:
        server.wait_until_healthy()
        assert get(server, ENDLESS).status == 504
        wait_until(lambda: "no answer after 20 s" in server.log(), "the watchdog has ended the worker", server.log)


SHALLOW = """        self.must_be_shallow(text)
"""
DEEP = f"{urlencode({**WFS, 'MAP': 'fields/meadow.qgs'})}&EXP_FILTER=1{'%2B1' * 25_000}"


@pytest.mark.attack(kind="load", on="Lizmap")
def test_no_expression_goes_so_deep_that_a_worker_ends(
    guarded: Lizmap, lizmap_image: str, network: str, tmp_path: Path
) -> None:
    deep = {"address": "/?MAP=fields/meadow.qgs", "body": DEEP, "type": FORM}
    (answer,) = ask(guarded, [deep])
    assert answer.refused and b"operators" in answer.content
    publish(tmp_path)
    mounts = {**MOUNTED, **changed_guard(tmp_path, SHALLOW, "")}
    with lizmap(lizmap_image, tmp_path, network, mounts=mounts, environment=ALONE, healthcheck=UNWATCHED) as server:
        server.wait_until_healthy()
        (answer,) = ask(server, [deep])
        assert answer.status == 502


@pytest.mark.attack(kind="file or project", on="Lizmap", spellings=True)
@pytest.mark.parametrize(
    "path",
    [f"{FOLDER}/outside.qgs", "fields/../../../tmp/attack/outside.qgs", "/srv/projects/../../tmp/attack/outside.qgs"],
)
def test_a_project_elsewhere_is_not_drawn(guarded: Lizmap, unguarded: Lizmap, path: str) -> None:
    address = f"/?{urlencode({'MAP': path, **GET_MAP})}"
    for server in (guarded, unguarded):
        code, said = server.run(
            "sh",
            "-c",
            f"cp /srv/projects/fields/meadow.geojson {FOLDER}; cp /srv/projects/fields/meadow.qgs {FOLDER}/outside.qgs",
        )
        assert code == 0, said
    assert get(guarded, address).refused
    assert get(unguarded, address).picture.getpixel((5, 5)) == POPPY


def test_a_refusal_is_told_shortly_and_logged_in_one_line(guarded: Lizmap) -> None:
    name = "\x1b[31mA\nB" + "x" * 1000
    before = guarded.log()
    answer = get(guarded, f"/?{urlencode({'MAP': 'fields/meadow.qgs', **GET_MAP, f'{name}:url': 'http://x'})}")
    assert answer.refused
    assert len(answer.content) < 600
    assert b"Traceback" not in answer.content
    (line,) = [line for line in guarded.log().removeprefix(before).splitlines() if "maps of other servers" in line]
    assert "?[31MA?BX" in line
    assert len(line) < 500


@pytest.mark.parametrize("broken", ["", "raise RuntimeError('broken')\n"], ids=["without effect", "broken"])
def test_nothing_is_served_without_the_guard(lizmap_image: str, network: str, tmp_path: Path, broken: str) -> None:
    publish(tmp_path)
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    for file, text in {
        "__init__.py": broken,
        "guard.py": "",
        "metadata.txt": "[general]\nname=x\nversion=1\nserver=True\n",
    }.items():
        (plugin / file).write_text(text, "utf-8")
    mounts = {**MOUNTED, str(plugin): f"{PLUGINS}/poppyfield_guard"}
    address = f"/?{urlencode({'MAP': 'fields/meadow.qgs', **GET_MAP})}"
    with lizmap(lizmap_image, tmp_path, network, mounts=mounts) as server:
        _refuses_to_serve(server, address)


def test_nothing_is_served_where_the_guard_is_missing(lizmap_image: str, network: str, tmp_path: Path) -> None:
    publish(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    mounts = {**MOUNTED, str(empty): f"{PLUGINS}/poppyfield_guard"}
    with lizmap(lizmap_image, tmp_path, network, mounts=mounts) as server:
        _refuses_to_serve(server, f"/?{urlencode({'MAP': 'fields/meadow.qgs', **GET_MAP})}")


def _refuses_to_serve(server: Lizmap, address: str) -> None:
    told = "healthcheck: QGIS Server did not load its plugin poppyfield_guard: it is missing or broken.\n"
    wait_until(lambda: server.run("healthcheck") == (3, told), "the health check names the guard", server.log)
    nginx = "true < /dev/tcp/127.0.0.1/8081"
    wait_until(lambda: server.run("bash", "-c", nginx)[0] == 0, "nginx runs", server.log)
    wait_until(lambda: get(server, address).status in {502, 503}, "nothing is served", server.log)
    assert server.run("healthcheck") == (3, told)


def test_a_request_that_cannot_be_judged_is_refused(lizmap_image: str, network: str, tmp_path: Path) -> None:
    publish(tmp_path)
    plugin = tmp_path / "plugin"
    shutil.copytree(GUARD, plugin)
    (plugin / "judgement.py").open("a").write("\ndef judge(*_):\n    raise RuntimeError('a fault')\n")
    mounts = {**MOUNTED, str(plugin): f"{PLUGINS}/poppyfield_guard"}
    with lizmap(lizmap_image, tmp_path, network, mounts=mounts, healthcheck=UNWATCHED) as server:
        wait_until(lambda: server.run("test", "-S", "/run/qgis-server.sock")[0] == 0, "QGIS Server runs", server.log)
        address = f"/?{urlencode({'MAP': 'fields/meadow.qgs', **GET_MAP})}"
        # What stands between nginx and QGIS Server may come after it.
        wait_until(lambda: get(server, address).status not in {502, 503}, "QGIS Server is asked", server.log)
        answer = get(server, address)
        assert (answer.status, b"could not be judged" in answer.content) == (400, True)
        assert b"a fault" not in answer.content
        assert "RuntimeError('a fault')" in server.log()


def test_every_function_of_the_engine_is_judged_with_a_reason(guarded: Lizmap) -> None:
    found = inside(guarded, "names")
    judged = {name: {"allowed": True, "why": why} for name, why in functions.ALLOWED.items()}
    judged |= {name: {"allowed": False, "why": why} for name, why in functions.REFUSED.items()}
    REPORTS.mkdir(parents=True, exist_ok=True)
    told = {name: judged.get(name, {"allowed": False, "why": "is not known"}) for name in found}
    (REPORTS / "functions.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    assert sorted(set(found) - judged.keys()) == []
    assert len(found) > 250


NODES = (
    *("{} = 1", "NOT {}", "- {}", "1 IN (2, {})", "{} IN (1)", "1 BETWEEN {} AND 2", "{} BETWEEN 1 AND 2", "abs({})"),
    *("CASE WHEN {} THEN 1 END", "CASE WHEN 1 THEN {} END", "CASE WHEN 1 THEN 1 ELSE {} END", "array({})[0]"),
    *("array(1)[{}]", "coalesce(1, abs({}))", "round(value:={}, places:=1)", '"name" || {}', "concat('a', {}) ~ 'b'"),
    "/* a */ {} -- b",
)


def test_the_parser_tells_of_functions_and_variables_wherever_they_stand(guarded: Lizmap) -> None:
    texts = [
        node.format(hidden) for node in NODES for hidden in ("ENV('A')", "@project_path", "var('project_' || 'path')")
    ]
    for text, used in zip(texts, inside(guarded, "uses", json.dumps(texts)), strict=True):
        assert used is not None, text
        called, variables = used
        assert "env" in called or ("var" in called and set(variables) & {"project_path", ""}), (text, used)
