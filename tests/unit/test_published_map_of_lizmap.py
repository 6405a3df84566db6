"""published_map against a double of Lizmap Web Client: each check, and that nothing is sent but a login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.lizmap_server import LizmapServer, running_lizmap_server
from tests.doubles.map_server import png

Run = Callable[..., dict[str, Any]]
MAP = "/index.php/view/map?repository=sample&project=france"


@pytest.fixture
def server() -> Iterator[LizmapServer]:
    with running_lizmap_server() as running:
        yield running


@pytest.fixture
def check(server: LizmapServer, run_module: Run, library: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(library("published_map"), "PAUSE", 0.01)

    def run(check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"url": server.url, "web_client": "lizmap", "project": "sample/france", "timeout": 1, **arguments}
        return run_module("published_map", check_mode=check_mode, **given)

    return run


def detail(result: dict[str, Any], name: str) -> str:
    return next(str(entry["detail"]) for entry in result["checks"] if entry["check"] == name)


def test_a_map_that_works(server: LizmapServer, check: Run, tmp_path: Path) -> None:
    result = check(picture=str(tmp_path / "map.png"))
    assert result["verified"] and not result["changed"]
    assert [entry["check"] for entry in result["checks"]] == [
        "page",
        "configuration",
        "capabilities",
        "picture",
        "features",
        "layers",
        "print",
        "editing",
    ]
    assert result["features"] == {"observations": 1, "towns": 2}
    assert result["drawn"] == {"observations": "drawn", "towns": "drawn"}
    assert detail(result, "editing") == "observations: its form opens; a row was not tried"
    assert not [question for question in server.asked if question.startswith("POST")]
    assert (tmp_path / "map.png").read_bytes() == server.canvas


def test_the_picture_leaves_out_base_layers(server: LizmapServer, check: Run) -> None:
    check()
    asked = next(question for question in server.asked if "REQUEST=GetMap" in question)
    assert "LAYERS=towns%2Cobservations&" in asked


def test_a_project_with_only_base_layers_shows_them(server: LizmapServer, check: Run) -> None:
    for layer in server.config["layers"].values():
        layer.pop("geometryType", None)
    assert check()["verified"]
    asked = next(question for question in server.asked if "REQUEST=GetMap" in question)
    assert "LAYERS=ground%2Ctowns%2Cobservations&" in asked


def test_a_layer_that_the_cfg_does_not_list_is_named_and_not_asked_for(
    server: LizmapServer, check: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.config["layers"]["towns"]
    result = check()
    assert result["verified"] and result["not_checked"] == ["towns"]
    assert result["features"] == {"observations": 1}
    assert not any("LAYERS=towns" in question or "LAYERS=observations%2Ctowns" in question for question in server.asked)
    said = " ".join(capsys.readouterr().err.split())
    assert "sample/france, layer 'towns': it is not checked, because Lizmap's configuration of the project" in said
    server.config["layers"] = {}
    assert "'observations', 'towns' and 'ground'" in check()["msg"]


def test_without_a_project_the_list_of_projects_is_read(server: LizmapServer, check: Run) -> None:
    result = check(project=None)
    assert result["verified"]
    assert result["projects"] == [{"id": "sample/france", "title": "france"}]
    assert server.asked == ["GET /index.php/view/"]


def test_who_logs_in_sees_and_edits_what_others_may_not(server: LizmapServer, check: Run, tmp_path: Path) -> None:
    server.anonymous_may_view = server.anonymous_may_edit = False
    (tmp_path / "password").write_text("correct horse\n")
    result = check(user="admin", password_file=str(tmp_path / "password"), editing="required")
    assert result["verified"]
    assert detail(result, "login") == "logged in as admin"
    assert "observations: its form opens" in detail(result, "editing")
    assert check(user="admin", password="correct horse")["verified"]


def test_the_password_stays_at_home_when_anybody_may_see_the_map(server: LizmapServer, check: Run) -> None:
    login = {"user": "admin", "password": "correct horse", "login": "if_needed"}
    assert "opens to anybody" in detail(check(**login), "page")
    assert not [question for question in server.asked if "/auth/" in question]
    server.anonymous_may_view = False
    assert "opens to admin" in detail(check(**login), "page")
    result = check(**{**login, "password": "battery"})
    assert "Check of the page: Lizmap does not let admin in with this password." in result["msg"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"password": "battery"}, "does not let admin in with this password. Check the user's name and password."),
        ({"password_file": "/nowhere/x"}, "The password file /nowhere/x cannot be read: No such file or directory."),
        ({"password_file": "/bin/true"}, "The password file /bin/true is not text in UTF-8: write the password into"),
    ],
)
def test_a_login_that_fails(check: Run, given: dict[str, str], said: str) -> None:
    result = check(user="admin", **given)
    assert result["failed"] and said in result["msg"]
    assert "battery" not in str(result)


def test_too_many_logins_are_said_to_be_that(server: LizmapServer, check: Run) -> None:
    server.logins_left = 0
    assert "too many attempts to log in. Wait a minute" in check(user="admin", password="correct horse")["msg"]


def test_a_page_without_the_form_to_log_in(
    server: LizmapServer, check: Run, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("published_map")
    monkeypatch.setattr(module.answers, "login_url", lambda url: f"{url}/index.php/view/")
    assert "has no form to log in" in check(user="admin", password="x")["msg"]
    monkeypatch.setattr(module.answers, "login_url", lambda url: f"{url}/none")
    assert "answered HTTP 404 instead of a page" in check(user="admin", password="x")["msg"]


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        (
            "This map cannot be displayed. Please contact the server administrator.",
            "its plugin lizmap_server is missing",
        ),
        ("You cannot access this repository.", "lizmap.repositories.view"),
        ("The project needs an update from the GIS administrator.", "current Lizmap plugin"),
        ("Access denied for this project.", "unset “hide project”"),
        ("Something else.", "QGIS Server, the plugin lizmap_server or the right"),
    ],
)
def test_a_map_that_lizmap_does_not_show(server: LizmapServer, check: Run, refusal: str, remedy: str) -> None:
    server.refusal = refusal
    result = check()
    assert "Check of the page: Lizmap does not show the map, but sends the browser to the list of proj" in result["msg"]
    assert f"saying: {refusal}" in result["msg"]
    assert remedy in result["msg"]


def test_a_map_that_anonymous_may_not_see(server: LizmapServer, check: Run) -> None:
    server.anonymous_may_view = False
    result = check()
    assert "Check of the page" in result["msg"] and "to the page to log in" in result["msg"]
    assert "lizmap.repositories.view" in result["msg"] and "is_in_errors_log" not in result


def test_a_project_that_is_not_there(check: Run) -> None:
    result = check(project="sample/none")
    assert "The lizmap project NONE does not exist" in result["msg"]
    # Lizmap says so of one that it fails to read, too.
    assert ".qgs.cfg" in result["msg"] and result["is_in_errors_log"]
    assert "must be given as repository/project" in check(project="france")["msg"]


def test_php_that_does_not_run_is_named(server: LizmapServer, check: Run) -> None:
    server.php_is_down = True
    result = check()
    assert "Check of the page" in result["msg"] and "HTTP 502" in result["msg"]
    assert "not PHP behind it" in result["msg"]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"layers": []}',
        b'{"layers": null}',
        b'{"layers": {"a": null}}',
        b'{"layers": {}, "options": "x"}',
        b'{"layers": {}, "editionLayers": {"a": null}}',
    ],
)
def test_a_configuration_that_is_none(server: LizmapServer, check: Run, body: bytes) -> None:
    server.config_body = body
    assert "Check of the configuration: The project's configuration is not JSON with layers" in check()["msg"]


def test_an_empty_picture_of_layers_that_have_features(server: LizmapServer, check: Run) -> None:
    server.canvas = png(1)
    server.invisible = {"observations", "towns"}
    assert "The layer observations has features, but nothing is drawn where they are" in check()["msg"]


def test_a_survey_that_starts_empty_is_right_and_can_be_edited(
    server: LizmapServer, check: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    server.canvas = png(1)
    server.rows = {"observations": {}, "towns": {}}
    result = check()
    assert result["verified"], result
    assert result["features"] == {"observations": 0, "towns": 0}
    assert "observations: its form opens" in detail(result, "editing")
    said = " ".join(capsys.readouterr().err.split())
    assert "sample/france: its map shows nothing yet, for there are no features: 'observations' and 'towns'." in said


def test_a_layer_that_draws_nothing_is_named_although_the_picture_has_colours(server: LizmapServer, check: Run) -> None:
    server.invisible = {"towns"}
    result = check()
    assert "Check of the layers: The layer towns has features, but nothing is drawn where they are" in result["msg"]
    assert result["drawn"] == {"observations": "drawn"}


def test_a_layer_that_is_seen_only_close_by_is_no_failure(server: LizmapServer, check: Run) -> None:
    server.widest_view = 1.0
    assert check()["drawn"] == {"observations": "drawn", "towns": "drawn when zoomed in"}


def test_a_layer_with_limits_of_scale_is_looked_at_there(server: LizmapServer, check: Run) -> None:
    server.limits = "<MinScaleDenominator>1</MinScaleDenominator><MaxScaleDenominator>100</MaxScaleDenominator>"
    server.invisible = {"observations"}
    assert check()["drawn"]["observations"] == "not drawn at this scale"


def test_a_layer_whose_features_cannot_be_read_is_named(server: LizmapServer, check: Run) -> None:
    server.refusing_wfs = {"towns"}
    result = check()
    assert "Check of the features: WFS does not give the features of the layer towns: Lizmap refused" in result["msg"]
    assert "TYPENAME 'towns' is not available" in result["msg"]


TRIAL = {
    **{"map": "sample/france", "layer": "observations", "layer_id": "observations_1", "problem": "", "untried": ""},
    **{"needed": [], "counting": "", "form_fails": ""},
}


def warned(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_check_mode_opens_no_form(server: LizmapServer, check: Run) -> None:
    assert check(check_mode=True)["verified"]
    assert check(editing="never")["verified"]
    assert not [question for question in server.asked if "edition" in question]


def test_a_project_that_nobody_may_edit(server: LizmapServer, check: Run) -> None:
    server.anonymous_may_edit = False
    assert detail(check(), "editing") == "no layer to edit"
    result = check(editing="required")
    assert "There is no layer that anybody without logging in may edit" in result["msg"]
    assert "lizmap.tools.edition.use" in result["msg"]


def test_a_layer_that_who_asks_may_not_edit_was_not_tried(
    server: LizmapServer, check: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    server.anonymous_may_edit = False
    other = {**TRIAL, "map": "sample/other", "layer": "elsewhere"}
    assert check(trials=[TRIAL, other])["verified"]
    said = warned(capsys)
    assert "editing was not tried in Lizmap, for anybody without logging in may not edit 'observations'." in said
    assert "lizmap_verify_login: always" in said and "elsewhere" not in said
    server.anonymous_may_edit = True
    assert check(trials=[TRIAL])["verified"]
    assert "not tried in Lizmap" not in warned(capsys)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "PostgreSQL takes a row"),
        ({"problem": "it has no key."}, "nobody can add a feature, for it has no key."),
        ({"untried": "its row-level security"}, "a row was not tried: its row-level security"),
    ],
)
def test_what_postgresql_says_of_the_layer_is_told(check: Run, found: dict[str, str], said: str) -> None:
    assert detail(check(trials=[{**TRIAL, **found}]), "editing") == f"observations: its form opens; {said}"


def test_a_form_that_makes_a_sequence_go_on_is_not_opened(server: LizmapServer, check: Run) -> None:
    told = detail(check(trials=[{**TRIAL, "counting": "code: 'F-' || nextval('n')"}]), "editing")
    assert "its form was not opened" in told and "code: 'F-' || nextval('n')" in told
    assert not [question for question in server.asked if "edition" in question]


@pytest.mark.parametrize("known", ["", "its table has generated columns (twice)."])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"form_refusal": "You have not the right."}, ("You have not the right.", "lizmap.tools.edition.use")),
        ({"form_refusal": "It has no primary keys."}, ("It has no primary keys.", "Publish the layer in WFS")),
        ({"form_fails": True}, ("the server failed with HTTP 500: ", "/tmp/log/errors.log")),
        (
            {"form_leads_elsewhere": True},
            ("Lizmap leads to /index.php/view/, a page with neither the form nor a message.", "/tmp/log/errors.log"),
        ),
    ],
)
def test_a_form_that_does_not_open(
    server: LizmapServer, check: Run, known: str, fault: dict[str, Any], said: tuple[str, str]
) -> None:
    cause, remedy = said
    vars(server).update(fault)
    told = check(trials=[{**TRIAL, "form_fails": known}], editing="required")["msg"]
    assert "Check of the editing: The form for a new feature of the layer observations does not open: " in told
    # Without the right, the table is not what stops people.
    explained = bool(known) and "right" not in cause
    assert (known if explained else cause) in told
    assert (remedy in told) is not explained


def test_a_form_that_does_not_open_is_warned_of_unless_more_is_asked_for(
    server: LizmapServer, check: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    server.form_refusal = "This is only warned of."
    assert check()["verified"]
    assert "sample/france: The form for a new feature of the layer observations does not open: This" in warned(capsys)
    assert check(editing="required")["failed"]


def test_a_server_that_ends_meanwhile_is_no_fault_of_a_form(server: LizmapServer, check: Run) -> None:
    def ends(url: str) -> None:
        server.php_is_down = "edition" in url

    server.before_each = ends
    assert "Check of the editing" in check(timeout=0)["msg"]


@pytest.mark.parametrize(
    ("needed", "missing"),
    [
        (["species", "remark", "kind", "sure", "photo", "seen", "geom", "author"], ""),
        (["species", "hidden"], "hidden"),
        (["unpublished", "hidden"], "unpublished, hidden"),
    ],
)
def test_a_form_without_a_field_for_what_must_be_given(
    check: Run, capsys: pytest.CaptureFixture[str], needed: list[str], missing: str
) -> None:
    assert check(trials=[{**TRIAL, "needed": needed}])["verified"]
    said = warned(capsys)
    assert (f"has no field for what PostgreSQL wants a value of: {missing}." in said) is bool(missing)


def test_redirects_without_end(server: LizmapServer, check: Run, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = library("published_map")
    answer = module.MapServerAnswer(303, b"", "/x")
    monkeypatch.setattr(module.Server, "answer", lambda self, url: answer)
    assert "redirects without end" in check()["msg"]


def test_a_redirect_to_what_is_no_address(
    server: LizmapServer, check: Run, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("published_map")
    monkeypatch.setattr(module.Server, "answer", lambda self, url: module.MapServerAnswer(303, b"", "http://[x"))
    assert "it leads to 'http://[x', which is no address." in check()["msg"]


def test_a_link_that_is_no_address_is_none_of_a_project(library: Any) -> None:
    page = library("published_map").read_page(
        b'<a href="http://[x">x</a><a href="/index.php/view/map?repository=a&amp;project=b">b</a>'
    )
    assert library("published_map").answers.projects_of(page) == [{"id": "a/b", "title": "b"}]


def test_names_of_layers_in_wms(library: Any) -> None:
    answers = library("published_map").answers
    layer = (
        b'{"a b": {"id": "a1", "geometryType": "line", "shortname": "ab"}, "c": {"id": "c1", "geometryType": "line"}}'
    )
    assert answers.read_config(b'{"layers": ' + layer + b"}").vector_layers == ("ab", "c")
    by_id = b'{"options": {"useLayerIDs": "True"}, "editionLayers": {"d": {}}, "layers": ' + layer + b"}"
    assert answers.read_config(by_id).vector_layers == ("a1", "c1")
    assert answers.read_config(by_id).listed == {"a1", "c1", "a b", "c"}


# Printing ------------------------------------------------------------------------------------------------------------

# lizmap/modules/lizmap/lib/Project/QgisProject.php, getPrintTemplates.
A4 = {"title": "A4 field", "maps": [{"id": "map0", "width": 200, "height": 100}], "labels": []}
OF_FEATURES = {**A4, "title": "Atlas", "atlas": {"enabled": "1"}}


def prints(server: LizmapServer) -> list[str]:
    return [question for question in server.asked if "REQUEST=GetPrint" in question]


def test_one_page_is_printed_where_there_is_a_layout(server: LizmapServer, check: Run) -> None:
    server.config["printTemplates"] = [OF_FEATURES, A4, {**A4, "title": "A3"}]
    result = check()
    assert result["verified"] and detail(result, "print") == "A4 field: 15 bytes"
    (asked,) = prints(server)
    assert "TEMPLATE=A4+field&" in asked and "map0%3ALAYERS=towns%2Cobservations&" in asked
    assert "map0%3AEXTENT=" in asked
    assert check(check_mode=True)["verified"]
    assert len(prints(server)) == 1


@pytest.mark.parametrize(
    "templates", [[], [OF_FEATURES], [{**A4, "maps": []}], [{"maps": [{}]}], {"a": OF_FEATURES}, "none"]
)
def test_without_a_layout_nothing_is_printed(server: LizmapServer, check: Run, templates: Any) -> None:
    server.config["printTemplates"] = templates
    assert detail(check(), "print") == "no layout to print" and prints(server) == []


def test_a_page_that_does_not_print_is_warned_of(
    server: LizmapServer, check: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    server.config["printTemplates"] = [A4]
    server.page = b"<ServiceException>no memory</ServiceException>"
    result = check()
    assert result["verified"] and detail(result, "print") == "A4 field does not print"
    said = " ".join(capsys.readouterr().err.split())
    assert "The layout 'A4 field' does not print: the server answered something that is not a PDF" in said
