"""What the guard of QGIS Server refuses, decided without QGIS: tests/lizmap has its parser, and here is a stand-in."""

from __future__ import annotations

import re
import signal

import pytest
from poppyfield_guard import functions
from poppyfield_guard.judgement import Expression, Refused, judge, shown, spellings

HONEST_STYLE = (
    '<StyledLayerDescriptor xmlns="http://www.opengis.net/sld"><NamedLayer><Rule><Filter><PropertyName>name'
    "</PropertyName></Filter></Rule></NamedLayer></StyledLayerDescriptor>"
)


def parse(text: str) -> Expression | None:
    """Take for an expression what has paired quotation marks and parentheses, and no tag."""
    bare = re.sub(r"'[^']*'|--.*|\"[^\"]*\"", "", text)
    if not bare.strip() or "'" in bare or "<" in bare.replace("< ", "") or bare.count("(") != bare.count(")"):
        return None
    called = set(re.findall(r"([a-z_]+)\(", bare))
    variables = set(re.findall(r"@(\w+)", bare))
    return Expression(frozenset(called | ({"var"} if variables else set())), frozenset(variables))


def refusal(*names: str, **parameters: str) -> str:
    """Give what is said to a request, or nothing when it passes."""
    try:
        judge({name.replace("__", ":"): value for name, value in parameters.items()}, names, parse)
    except Refused as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXP_FILTER", "env('A') = 'b'"),
        ("EXP_FILTER", "eval('a' || 'b')"),
        ("EXP_FILTER", "unheard_of(1)"),
        ("EXP_FILTER", "@project_path = 'a'"),
        ("EXP_FILTER", '"name" = \'a'),
        ("EXP_FILTER", "1 = 1 -- ;env('A')"),
        ("EXP_FILTER", "env%28'A'%29 = '%2525'"),
        ("FILTER", "meadow:env('A')"),
        ("FILTER", "meadow:1 = 1;river:env('A')"),
        ("FILTER", 'meadow:"name" = \'a'),
        ("FILTER", "<Filter><Function name='env'/></Filter>"),
        ("FILTER", "<Filter><ogc:Function name='abs' ogc:name='env'/></Filter>"),
        ("FILTER", "<Filter><Function/></Filter>"),
        ("FILTER", "(<Filter></Filter>)(<Filter><Function name='env'/></Filter>)"),
        ("FILTER", "a(<Filter></Filter>)"),
        ("FILTER", "<Filter>"),
        ("FILTER", "<Filter><![CDATA[a]]></Filter>"),
        ("FILTER", "<Filter><!-- a --></Filter>"),
        ("FILTER", "<ogc:Filter a=';meadow:env();'></ogc:Filter>"),
        ("FILTER", "<!DOCTYPE a [<!ENTITY f 'env'>]><Filter/>"),
        ("FILTER", f"<Filter>{'<And>' * 200}{'</And>' * 200}</Filter>"),
        ("REQUEST_BODY", "<GetFeature>%3CFunction name='env'/></GetFeature>"),
        ("REQUEST_BODY", "<a><SortBy><PropertyName>env('A')</PropertyName></SortBy></a>"),
        ("REQUEST_BODY", "<a><PropertyName>env('A<b/>')</PropertyName></a>"),
        ("SLD_BODY", "<a><ExternalGraphic/></a>"),
        ("SLD_BODY", "<a xlink:href='http://a'/>"),
        ("HIGHLIGHT_SYMBOL", "<a/>;<Function name='env'/>"),
        ("MAP0__HIGHLIGHT_SYMBOL", "<Function name='env'/>"),
        ("SLD", "http://127.0.0.1/a.sld"),
        ("SORTBY", "name,env('A') D"),
        ("FEATUREID", "meadow.1) OR (env('A')"),
        ("SELECTION", "meadow:1' OR 'a"),
        ("ATLAS_PK", "0 OR env('A')"),
        ("FORMAT_OPTIONS", "SCALE:500;LAYERATTRIBUTES:name,env('A')"),
        ("FORMAT_OPTIONS", "LAYERATTRIBUTES:coalesce(1, env('A'))"),
        ("LAYERS", "EXTERNAL_WMS:x"),
        ("LAYERS", "meadow,external%5Fwms:x"),
        ("MAP0__LAYERS", "EXTERNAL_WMS :x"),
        ("X__URL", "http://10.0.0.1"),
        ("X%3AURL", "http://10.0.0.1"),
        ("ANYTHING", "file:///etc/passwd"),
        ("ANYTHING", "FILE%3A/etc/passwd"),
        ("ANYTHING", "a /vsicurl/http://a"),
        ("MAP", "../lizmap/a.qgs"),
        ("MAP", "/srv/projects/a/../b.qgs"),
        ("MAP", "/tmp/a.qgs"),
        ("MAP", "a/b.txt"),
        ("MAP", "postgresql:?service=poppyfield&project=a.qgs"),
        ("MAP", "%2e%2e/a.qgs"),
    ],
)
def test_what_does_more_than_look_is_refused_by_its_name(name: str, value: str) -> None:
    told = refusal(**{name: value})
    assert told.startswith(f"The parameter {name.replace('__', ':')} is refused: ")
    assert len(told) < 250


@pytest.mark.parametrize(
    "parameters",
    [
        {"MAP": "fields/meadow.qgs", "SERVICE": "WMS", "REQUEST": "GetMap", "LAYERS": "meadow", "FILTER": ""},
        {"MAP": "/srv/projects/fields/meadow.qgz", "EXP_FILTER": '"name" = \'x\' AND "n" > 3'},
        {"EXP_FILTER": "\"name\" LIKE '%2%'"},
        {"EXP_FILTER": "1 = 1;2 = 2"},
        {"EXP_FILTER": "@geometry IS NULL"},
        {"FILTER": "meadow:\"name\" = 'a:b';river:1 = 1"},
        {"FILTER": "<Filter><PropertyIsEqualTo><PropertyName>name</PropertyName></PropertyIsEqualTo></Filter>"},
        {"FILTER": "(<Filter><Function name='lower'/></Filter>)()"},
        {"REQUEST_BODY": '<?xml version="1.0" encoding="UTF-8"?>\n<GetFeature/>'},
        {"SLD_BODY": HONEST_STYLE, "MAP0__HIGHLIGHT_SYMBOL": f"{HONEST_STYLE};{HONEST_STYLE}"},
        {"SORTBY": "name D,n ASC", "FEATUREID": "meadow.1,meadow.2@@3", "SELECTION": "meadow:1,2"},
        {"FORMAT": "application/dxf", "FORMAT_OPTIONS": "MODE:NOSYMBOLOGY;LAYERATTRIBUTES:name,n;CODEC:UTF-8"},
        {"REQUEST": "GetPrint", "ATLAS_PK": "1,2"},
        {"REQUEST": "GetPrint", "ATLAS_PK": "*"},
        {"SERVICE": "ATLAS", "REQUEST": "GetPrint", "EXP_FILTER": "$id IN (1,2)"},
        {"REQUEST": "GetPrint", "TITLE": "100 % of <b>profile: x</b>", "MAP0__EXTENT": "1,2,3,4"},
    ],
)
def test_an_honest_request_passes(parameters: dict[str, str]) -> None:
    assert refusal("SERVICE", "Überschrift", **parameters) == ""


@pytest.mark.parametrize("text", ["[% env('A') %]", "%5B% 1 %]", "//10.0.0.1/a", "http://10.0.0.1", "<img src='a'>"])
@pytest.mark.parametrize("request_name", ["GetPrint", "GETPRINTATLAS"])
def test_texts_of_a_print_hold_no_expression_and_fetch_nothing(text: str, request_name: str) -> None:
    assert "TITLE" in refusal(REQUEST=request_name, TITLE=text)
    assert refusal(REQUEST="GetMap", TITLE=text) == ""


def test_a_name_that_only_looks_like_another_is_refused() -> None:
    assert refusal("\u017fervice", SERVICE="EXPRESSION", MAP="a/b.qgs") != ""
    assert refusal("service", SERVICE="EXPRESSION", MAP="a/b.qgs") == ""


ASKED_BY_LIZMAP = {"SERVICE": "EXPRESSION", "MAP": "fields/meadow.qgs", "LAYER": "meadow"}


@pytest.mark.parametrize(
    "parameters",
    [
        {"REQUEST": "Evaluate", "EXPRESSIONS": '{"a": "aggregate(1)"}', "FEATURE": '{"file": "file:///a"}'},
        {"REQUEST": "REPLACEEXPRESSIONTEXT", "STRINGS": '["[% env(1) %]"]'},
        {"REQUEST": "getFeatureWithFormScope", "FILTER": "current_value('a') = 1"},
        {"REQUEST": "VirtualFields", "VIRTUALS": '{"a": "display_expression()"}', "FILTER": "$id IN (1)"},
    ],
)
def test_what_lizmap_has_evaluated_passes(parameters: dict[str, str]) -> None:
    assert refusal(**ASKED_BY_LIZMAP, **parameters) == ""


@pytest.mark.parametrize(
    "parameters",
    [
        {"REQUEST": "VirtualFields", "FILTER": "env('A') = 'b'"},
        {"REQUEST": "VirtualFields", "SORTING_FIELD": "env('A')"},
        {"REQUEST": "VirtualFields", "SAFE_VIRTUALS": '{"a": "env(1)"}'},
        {"REQUEST": "VirtualFields", "SAFE_VIRTUALS": "{"},
        {"REQUEST": "Evaluate", "REQUEST_BODY": "<Evaluate/>"},
        {"REQUEST": "Evaluate", "MAP": "/tmp/a.qgs"},
    ],
)
def test_a_visitors_part_of_what_lizmap_asks_is_judged(parameters: dict[str, str]) -> None:
    assert refusal(**{**ASKED_BY_LIZMAP, **parameters}) != ""


def test_every_spelling_is_seen_but_not_without_end() -> None:
    assert list(spellings("a%2525b+c")) == ["a%2525b+c", "a%25b c", "a%b c"]
    assert len(list(spellings("%" + "25" * 1000))) < 10


@pytest.mark.parametrize(
    "text",
    [
        "(<Filter>)" * 3000 + "x",
        "(<" * 15000,
        "()" * 15000 + "(<",
        "(<Filter></Filter>)" * 1500 + "(",
        "<Filter" * 4000,
    ],
)
def test_no_list_of_filters_takes_time_without_end(text: str) -> None:
    def give_up(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    try:
        assert refusal(FILTER=text) != ""
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


DEEP = {
    "a sum": "1" + "+1" * 2001,
    "functions": "abs(" * 101 + "1" + ")" * 101,
    "parentheses": "(" * 101 + "1" + ")" * 101,
    "minus": "- " * 2001 + "1",
    "not": "NOT " * 2001 + "1",
    "or": "1" + " oR 1" * 2001,
    "indexes": "array(1)" + "[0" * 101,
    "behind a text": "'\\'' = '1' or 1" + "+1" * 2001,
    "behind a comment": "/* ' */ 1" + "+1" * 2001 + " /* ' */",
    "behind a line's comment": "-- '\r 1" + "+1" * 2001 + " -- '",
    "between names": '"it\'s" = 1' + "+1" * 2001 + ' or "it\'s" = 1',
    "without an end": "1" + "+1" * 2001 + "'" + "\\'" * 50_000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_what_qgis_would_go_into_too_deeply_is_refused_before_it_reads_it(text: str) -> None:
    def never(_: str) -> None:
        pytest.fail("QGIS has read it")

    with pytest.raises(Refused, match="operators, or"):
        judge({"EXP_FILTER": text}, ["EXP_FILTER"], never)


@pytest.mark.parametrize(
    "text",
    [
        f'"id" IN ({",".join(map(str, range(20_000)))})',
        "name = 'a' " + "OR name = 'a' " * 900,
        "intersects(geom_from_wkt('POLYGON((" + "1 -1, " * 20_000 + '1 1))\'), "a(b")',
    ],
)
def test_a_long_filter_that_is_flat_passes(text: str) -> None:
    assert refusal(EXP_FILTER=text) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FEATUREID", "meadow.1," * 5001),
        ("SELECTION", "meadow:1;" * 5001),
        ("EXP_FILTER", "1;" * 5001),
        ("FILTER", "a:1;" * 5001),
        ("SORTBY", "a," * 5001),
        ("SORTBY", "(a)" * 5001),
        ("FORMAT_OPTIONS", "a:" + "1," * 5001),
        ("HIGHLIGHT_SYMBOL", "<a/>;" * 5001),
        ("SLD_BODY", HONEST_STYLE.replace("<Rule>", "<Rule>" + "<a/>" * 5001)),
        ("EXP_FILTER", "'" + "a" * 300_000 + "' = 'a'"),
    ],
)
def test_what_is_too_much_is_refused(name: str, value: str) -> None:
    assert re.search("more than 5000|longer than 250000", refusal(**{name: value}))


def test_too_many_parameters_are_refused() -> None:
    assert "more than 1000 parameters" in refusal(**{f"A{number}": "b" for number in range(1001)})


def test_what_is_told_is_one_short_line() -> None:
    assert shown("a\x1b[31m\nb", 20) == "a?[31m?b"
    assert shown("a" * 100, 10) == "aaaaaaa..."


def test_no_function_is_both_allowed_and_refused() -> None:
    listed = [
        name
        for groups in (functions.ALLOWED_FOR, functions.REFUSED_FOR)
        for names in groups.values()
        for name in names.split()
    ]
    assert len(listed) == len(set(listed))
