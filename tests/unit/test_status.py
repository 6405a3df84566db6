"""The status of a fleet: what is wrong stands first, who is off-line is remembered, and the page is safe to open."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import string
from collections.abc import Callable, Mapping
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.hotspot import health
from ansible.module_utils.poppyfield.lizmap import answers
from ansible.module_utils.poppyfield.status import drift, history, page, rows, words
from ansible.module_utils.poppyfield.status.drift import RunKind
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from markupsafe import escape
from PIL import Image

from tests.doubles.fleet import DRIFT, FLEET, LEVELS, LOOKS, MAP, MAPS, Json, asked, container, look, png

Run = Callable[..., Json]

ROOT = Path(__file__).resolve().parents[2]
NOW = "2026-11-29T10:00:00+00:00"
TEMPLATE, STYLE = (
    (ROOT / "playbooks" / "templates" / name).read_text("utf-8") for name in ("status.html.j2", "status.css")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "build" / "status"


@pytest.fixture
def status(run_plugin: Run, folder: Path) -> Run:
    """Tell how the fleet fares, as the playbook does."""

    def run(looks: Json = LOOKS, maps: Json = MAPS, fleet: list[str] = FLEET, **given: Any) -> Json:
        return run_plugin("status_page", folder=str(folder), fleet=fleet, looks=looks, maps=maps, **given)

    return run


def text_of(folder: Path) -> str:
    return (folder / "index.html").read_text("utf-8")


def document(folder: Path) -> Json:
    found: Json = json.loads((folder / "status.json").read_text("utf-8"))
    return found


def row(found: Json, maps: Json | None = None, before: Json | None = None) -> Json:
    return rows.row_of("pi-vineyard", found, maps or {}, before, NOW)


def codes(found: Json, maps: Json | None = None) -> list[str]:
    return [wrong["code"] for wrong in row(found, maps)["wrong"]]


# The fleet at a glance ----------------------------------------------------------------------------------------------


def test_what_is_wrong_stands_before_what_is_not(status: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = status()
    assert found["levels"] == LEVELS
    assert list(found["levels"]) == list(LEVELS)
    assert found["changed"] is False
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("pi-")]
    assert [line.partition(":")[0] for line in lines] == list(LEVELS)
    assert [one["name"] for one in document(folder)["pis"]] == list(LEVELS)
    assert re.findall(r'<a href="#pi-\d">(.+?)</a>', text_of(folder)) == list(LEVELS)
    assert re.findall(r"<h2>(\S+)", text_of(folder)) == list(LEVELS)


def test_every_wrong_thing_is_at_the_top_of_the_page(status: Run, folder: Path) -> None:
    status()
    glance = text_of(folder).partition("</ol>")[0]
    sentences = [wrong["sentence"] for one in document(folder)["pis"] for wrong in one["wrong"]]
    assert len(sentences) == 4
    healthy = glance.index(">pi-marsh</a>")
    assert all(0 < glance.index(page_text(sentence)) < healthy for sentence in sentences)


def page_text(text: str) -> str:
    """Give a text as the page has it."""
    return str(escape(text))


def test_only_who_is_unreachable_or_broken_makes_the_run_fail(status: Run) -> None:
    found = status()
    assert set(found["not_well"]) == {"pi-vineyard", "pi-orchard"}
    assert "No route to host" in found["not_well"]["pi-vineyard"]
    assert "sample/france does not draw: The layer rivers" in found["not_well"]["pi-orchard"]


def test_a_line_tells_the_most_important(status: Run, capsys: pytest.CaptureFixture[str]) -> None:
    status({"pi-marsh": look()}, fleet=["pi-marsh"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("pi-marsh"))
    for told in (
        *(
            "FINE",
            "Raspberry Pi 4",
            "trixie",
            "trixie-arm64-000000000002 (lizmap-web-client 3.9.1)",
            "sample/france draws",
        ),
        *("running for 10 days", "processor 20 %", "0.1 / 0.2 / 0.3", "memory 2.9 GB of 3.9 GB free", "48.7 °C"),
        *("/var/lib/docker: 20 GB of 29 GB free", "clock as this laptop's", "1, as known on 2023-11-14 22:13 UTC"),
        "last deployed 2026-11-12 08:00 UTC",
    ):
        assert told in line, told


def test_an_older_release_than_another_pis_is_told(status: Run, folder: Path) -> None:
    status()
    by_name = {one["name"]: one for one in document(folder)["pis"]}
    assert [wrong["code"] for wrong in by_name["pi-spare"]["wrong"]] == ["old_release", "old_release"]
    assert [by_name[name]["old_release"] for name in FLEET] == [False, False, True, None]
    assert "is older than that of pi-orchard (poppyfield/postgis:trixie-arm64-000000000002)" in text_of(folder)


def test_another_kind_of_image_is_no_older_release() -> None:
    other = container("lizmap", "1", Config={"Image": "poppyfield/lizmap:bookworm-arm-000000000001"})
    other["Config"]["Labels"] = container("lizmap")["Config"]["Labels"]
    found = rows.with_old_releases([row(look()), row(look(container("postgis"), other))])
    assert [one["old_release"] for one in found] == [False, False]


def test_what_a_deployment_would_change_is_told_with_the_date(status: Run, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / drift.FILE).write_bytes(drift.written({**DRIFT, "pi-vineyard": DRIFT["pi-spare"]}))
    assert status()["levels"] == LEVELS
    by_name = {one["name"]: one for one in document(folder)["pis"]}
    assert "drift" in [wrong["code"] for wrong in by_name["pi-spare"]["wrong"]]
    assert by_name["pi-spare"]["drift"]["would"] == ["Deploy the PostGIS container"]
    assert "would change “Deploy the PostGIS container” (seen on 2026-11-29 09:00 UTC)." in text_of(folder)
    assert "nothing, as seen on 2026-11-29 09:00 UTC" in text_of(folder)
    # Of who does not answer nobody knows.
    assert by_name["pi-vineyard"]["drift"] is None and len(by_name["pi-vineyard"]["wrong"]) == 1
    assert [by_name[name]["drift"] for name in ("pi-orchard", "pi-vineyard")] == [None, None]


def test_many_changes_are_counted() -> None:
    (found,) = rows.with_drift([row(look())], {"pi-vineyard": {"at": NOW, "would": list("abcde")}})
    assert "change “a”, “b”, “c”, +2 (seen" in words.Speech("en").sentence(found["wrong"][0])
    assert "changerait “a”, “b”, “c”, +2 (vu le" in words.Speech("fr").sentence(found["wrong"][0])


WHOLE_CHECK, WHOLE_RUN, A_STAGE = (
    RunKind(whole=True, check=True),
    RunKind(whole=True, check=False),
    RunKind(whole=False, check=False),
)


@pytest.mark.parametrize(
    ("kind", "changes", "well", "would"),
    [
        (WHOLE_CHECK, ["b", "b"], True, ["b"]),
        (WHOLE_CHECK, [], True, []),
        (WHOLE_CHECK, ["b"], False, ["a"]),
        (WHOLE_RUN, ["b"], True, []),
        (WHOLE_RUN, ["b"], False, None),
        (WHOLE_RUN, [], False, ["a"]),
        (A_STAGE, ["b"], True, None),
        (A_STAGE, [], True, ["a"]),
        (RunKind(whole=False, check=True), ["b"], True, ["a"]),
    ],
)
def test_what_a_run_leaves_to_change(kind: RunKind, changes: list[str], well: bool, would: list[str] | None) -> None:
    known = {"pi-a": {"at": "before", "would": ["a"]}, "pi-b": {"at": "before", "would": ["x"]}}
    told = drift.after(known, "pi-a", changes, kind, well=well, now="now")
    assert told["pi-b"] == known["pi-b"]
    assert (told["pi-a"]["would"] if "pi-a" in told else None) == would
    assert drift.read(drift.written(told)) == told


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 2, "pis": {}}', b'{"version": 1, "pis": {"a": 1}}'])
def test_what_is_no_drift_is_not_known(content: bytes) -> None:
    assert drift.read(content) == {}


# Who did not answer -------------------------------------------------------------------------------------------------


def test_who_does_not_answer_is_shown_as_last_seen(status: Run, folder: Path) -> None:
    status({"pi-vineyard": look()}, {"pi-vineyard": asked()})
    seen = document(folder)["at"]
    status()
    gone = document(folder)["pis"][0]
    assert (gone["name"], gone["level"], gone["seen"]) == ("pi-vineyard", "unreachable", seen)
    assert (gone["asked"], gone["reachable"]) == (True, False)
    assert (gone["os"], gone["maps"][0]["map"]) == ("Debian GNU/Linux 13 (trixie)", MAP)
    assert f"last seen {seen[:10]}" in text_of(folder).partition("</ol>")[0]


def test_who_was_not_asked_stays_on_the_page_but_fails_nothing(status: Run, folder: Path) -> None:
    status()
    found = status({"pi-marsh": look()}, {"pi-marsh": asked()})
    assert found["levels"] == LEVELS
    assert found["not_well"] == {}
    assert text_of(folder).count("not asked in this run") == 6


def test_who_was_never_asked_is_told(status: Run, folder: Path) -> None:
    status({"pi-marsh": look()}, {"pi-marsh": asked()}, ["pi-marsh", "pi-new"])
    new = document(folder)["pis"][0]
    assert (new["name"], new["level"], new["wrong"][0]["code"]) == ("pi-new", "attention", "never_asked")


def test_one_that_cannot_be_looked_at_is_broken() -> None:
    found = row({"failed": False, "msg": "MODULE FAILURE: no python3"}, before=row(look()))
    assert (found["level"], found["reachable"], found["os"]) == ("broken", True, "Debian GNU/Linux 13 (trixie)")
    (wrong,) = found["wrong"]
    assert (wrong["code"], wrong["values"]) == ("not_looked_at", {"why": "MODULE FAILURE: no python3"})


def test_check_mode_writes_nothing(status: Run, folder: Path) -> None:
    assert status(check_mode=True)["levels"] == LEVELS
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_to_is_a_sentence(status: Run, folder: Path) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file")
    assert re.search(r"cannot be written to .*Give status_folder", status()["msg"])


# What is wrong ------------------------------------------------------------------------------------------------------

LEFT_OUT = {"Status": "healthy", "Log": [{"Output": "Left out: fields/map.qgs (rivers_1)\n", "ExitCode": 0}]}
WRONG: list[tuple[str, Json]] = [
    ("missing", look(container("postgis"))),
    ("stopped", look(container("postgis"), container("lizmap", State={"Running": False, "Status": "exited"}))),
    ("restarting", look(container("postgis", State={"Restarting": True, "Status": "restarting"}), container("lizmap"))),
    ("paused", look(container("postgis", State={"Status": "paused"}), container("lizmap"))),
    ("unhealthy", look(container("postgis"), container("lizmap", State={"Health": {"Status": "unhealthy"}}))),
    ("starting", look(container("postgis"), container("lizmap", State={"Health": {"Status": "starting"}}))),
    ("restarts", look(container("postgis", RestartCount=3), container("lizmap"))),
    ("left_out", look(container("postgis"), container("lizmap", State={"Health": LEFT_OUT}))),
    ("no_docker", {**look(), "docker": {"running": False, "why": "No engine."}, "containers": []}),
    ("disk", look(disk=0.5)),
    *((code, look(on_card=[code])) for code in ("read_only", "io_errors", "worn")),
    *((code, {**look(), "hotspot": {"codes": [code, "no code"]}}) for code in health.CODES),
    ("voltage", look(throttled="throttled=0x50005")),
    ("voltage_earlier", look(throttled="throttled=0x50000")),
    ("hot", look(millidegrees="80000")),
    ("clock_ahead", look(clock=1_000_300.0)),
    ("clock_behind", look(clock=900_000.0)),
    ("memory", look(memory="MemTotal: 1000000 kB\nMemAvailable: 70000 kB\n")),
    ("load", look(load="1 8.1 1 1/1 1")),
]


@pytest.mark.parametrize(("code", "found"), WRONG, ids=[code for code, _ in WRONG])
def test_what_is_wrong_is_told(code: str, found: Json) -> None:
    assert codes(found, asked()) == [code]


PREVIOUS: Json = {"Name": "/websig-lizmap-previous", "State": {"Running": False, "Status": "exited"}}


@pytest.mark.parametrize(
    "found",
    [
        look(),
        look(container("postgis"), container("lizmap"), container("lizmap", **PREVIOUS)),
        {**look(), "hotspot": {"codes": []}},
        look(millidegrees="79000", clock=1_000_299.0, load="99 8.0 99 1/1 1"),
        look(**dict.fromkeys(("model", "millidegrees", "throttled", "uptime", "load", "memory"), ""), upgrades=None),
    ],
)
def test_what_is_well_or_not_known_is_not_wrong(found: Json) -> None:
    assert codes(found, asked()) == []


UNREACHED = "http://pi/: nobody answers there See whether both containers run."
PRIVATE = str(answers.explain_page("http://pi/admin.php/auth/login", []))


def test_a_map_that_only_this_laptop_does_not_reach() -> None:
    assert codes(look(), asked(draws=False, detail=UNREACHED)) == ["not_reached"]
    ill = look(container("postgis"), container("lizmap", State={"Health": {"Status": "unhealthy"}}))
    assert codes(ill, asked(draws=False, detail=UNREACHED)) == ["unhealthy", "map"]


def test_a_map_that_is_not_for_everybody_is_not_wrong() -> None:
    found = row(look(), asked(draws=False, detail=PRIVATE))
    assert (found["level"], found["maps"][0]["draws"]) == ("fine", None)


def test_a_map_server_without_a_map_is_asked_for_its_list() -> None:
    assert codes(look(), asked(name="")) == []
    assert codes(look(), asked(name="", draws=False, detail="not a list")) == ["map"]


def test_maps_that_could_not_be_asked_for_are_told() -> None:
    failed = {"failed": True, "msg": "no folder"}
    for result in (failed, {"results": [failed]}):
        (wrong,) = row(look(), result)["wrong"]
        assert (wrong["code"], wrong["values"]) == ("maps_not_asked", {"why": "no folder"})


# Two languages ------------------------------------------------------------------------------------------------------


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same() -> None:
    for texts in (words.SENTENCES, words.LABELS):
        assert {code: fields(text) for code, text in texts["en"].items()} == {
            code: fields(text) for code, text in texts["fr"].items()
        }
    assert {code for code, _ in WRONG} <= set(words.SENTENCES["en"])


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize(("code", "found"), WRONG, ids=[code for code, _ in WRONG])
def test_each_wrong_thing_is_a_sentence(language: str, code: str, found: Json) -> None:
    speech = words.Speech(language)
    (wrong,) = row(found, asked())["wrong"]
    assert "None" not in speech.sentence(wrong)
    assert speech.sentence(wrong) in speech.line(row(found, asked()))


def test_the_page_is_in_french_where_that_is_asked_for(status: Run, folder: Path) -> None:
    status(language="fr")
    assert '<html lang="fr">' in text_of(folder)
    assert "<h1>Le parc: 1 injoignable, 1 en panne, 1 à surveiller, 1 en ordre</h1>" in text_of(folder)
    assert "48,7 °C" in text_of(folder)


# What is remembered -------------------------------------------------------------------------------------------------


def test_the_figures_of_the_last_runs_are_a_line(status: Run, folder: Path) -> None:
    one = {"looks": {"pi-marsh": look()}, "maps": {"pi-marsh": asked()}, "fleet": ["pi-marsh"]}
    status(**one)
    assert "polyline points" not in text_of(folder)
    remembered = json.loads((folder / "history.json").read_text("utf-8"))
    remembered["pis"]["pi-marsh"]["points"][0]["at"] = "2026-11-28T10:00:00+00:00"
    (folder / "history.json").write_text(json.dumps(remembered))
    status(**one)
    assert text_of(folder).count("polyline points") == 4


def test_what_is_remembered_is_bounded_and_of_this_fleet() -> None:
    known = history.History()
    for minute in range(history.MOST_POINTS + 5):
        now = f"2026-11-29T10:{minute:02}:00+00:00"
        seen = [rows.row_of(name, look(), asked(), None, now) for name in ("pi-vineyard", "pi-old")]
        known = history.grown(known, seen, ["pi-vineyard"])
    assert set(known.rows) == set(known.points) == {"pi-vineyard"}
    assert len(known.points["pi-vineyard"]) == history.MOST_POINTS
    assert known.points["pi-vineyard"][-1]["at"] == now
    assert history.read(history.written(known)) == known


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"version": 0, "pis": {}}', b'{"version": 1, "pis": {"a": 1}}', b"[" * 100_000]
)
def test_what_is_no_history_begins_again(status: Run, folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "history.json").write_bytes(content)
    assert status()["levels"] == LEVELS
    assert history.read((folder / "history.json").read_bytes()) is not None


def test_a_sparkline_has_gaps_and_an_end() -> None:
    assert page.sparkline([0, None, 100, 400], 0, 100) == "0.0,24.0 80.0,0.0 120.0,0.0"
    assert page.sparkline([None, 5.0], 0, 100) == ""


# The page is safe to open -------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.found}


def test_the_page_needs_nothing_else_and_has_no_script(status: Run, folder: Path) -> None:
    keep_picture(folder, "pi-marsh", png())
    status()
    elements = Elements(text_of(folder))
    assert not {"script", "link", "iframe", "form", "object"} & elements.tags
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith("#")
    (policy,) = [a["content"] for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"]
    style = re.search(r"<style>(.*?)</style>", text_of(folder), re.DOTALL)
    assert style is not None and policy is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'" in policy


MARKER = "<script>attack()</script><img src=x onerror='attack()'>\"'>\x1b]0;owned\x07\x1b[2J\u202e"


def hostile(value: Any) -> Any:
    """Put the marker into every text of what a Pi says, also where a number is expected."""
    if isinstance(value, Mapping):
        return {name: hostile(item) for name, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return value if value is True else MARKER


@pytest.fixture
def hostile_rows() -> list[Json]:
    marked = hostile(look(container("lizmap", State={"Health": {"Status": "unhealthy"}})))
    seen = rows.row_of("pi-vineyard", marked, asked(draws=False, detail=MARKER), None, NOW)
    gone = rows.row_of("pi-orchard", {"unreachable": True, "msg": MARKER}, {}, None, NOW)
    return [*rows.with_old_releases([seen]), gone]


def rendered(found: list[Json]) -> str:
    return page.render(TEMPLATE, STYLE, found, points={}, pictures={}, language="en", now=NOW)


@pytest.mark.attack(kind="script in the status page", on="laptop", proof=None)
def test_what_a_pi_says_is_no_markup(hostile_rows: list[Json], monkeypatch: pytest.MonkeyPatch) -> None:
    text = rendered(hostile_rows)
    assert "&lt;script&gt;attack()" in text
    assert not {"script", "img"} & Elements(text).tags
    careless = Environment
    monkeypatch.setattr(page, "Environment", lambda **given: careless(**{**given, "autoescape": False}))
    assert {"script", "img"} <= Elements(rendered(hostile_rows)).tags


@pytest.mark.attack(kind="orders to the terminal", on="laptop", proof=None)
def test_what_a_pi_says_gives_no_orders(hostile_rows: list[Json], monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(words.Speech("en").line(one).isprintable() for one in hostile_rows)
    assert json.dumps(hostile_rows, ensure_ascii=False).isprintable()
    monkeypatch.setattr(rows, "printable", str)
    careless = rows.row_of("pi-orchard", {"unreachable": True, "msg": MARKER}, {}, None, NOW)
    assert not words.Speech("en").line(careless).isprintable()


@pytest.mark.attack(kind="answer without end", on="laptop", proof=None)
def test_what_a_pi_says_has_a_size() -> None:
    many = deepcopy(look())
    long = {"name": "x" * 100_000, "health_output": "y" * 100_000}
    many["containers"] = [{**one, **long} for one in many["containers"] * 50]
    many["disks"] *= 10_000
    many["host"]["model"] = "z" * 1_000_000
    assert len(json.dumps(many)) > 20_000_000
    assert len(rendered([row(many, asked(draws=False, detail="m" * 1_000_000))])) < 100_000


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.just(10**400)
    | st.text(max_size=5)
    | st.sampled_from(
        ["running", "lizmap", "websig-lizmap", "healthy", "2026-01-01T00:00:00Z", "2026-99-99T09:09:09Z"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("host", "docker", "containers", "disks", "running", "name", "resource", "image", "created"),
                    *("load", "cores", "throttling", "uptime_seconds", "memory_total_mb", "clock_ahead_seconds"),
                    *("total_mb", "free_mb", "nearly_full", "stats", "health", "state", "results", "checks", "detail"),
                    *("temperature_celsius", "under_voltage", "cpu_percent", "restarts", "failed", "msg", "versions"),
                    *("unreachable", "folders"),
                ]
            ),
            inner,
            max_size=8,
        )
    ),
    max_leaves=12,
)


@pytest.mark.attack(kind="wrong types", on="laptop", proof=None)
@settings(max_examples=50)
@given(host=ANY, docker=ANY, containers=ANY, disks=ANY, maps=ANY)
def test_an_answer_of_any_types_is_a_row(host: Any, docker: Any, containers: Any, disks: Any, maps: Any) -> None:
    parts = [{"running": True}, docker]
    for engine in parts:
        answer = {"host": {"a": host} if not isinstance(host, dict) else host, "docker": engine}
        given_maps = maps if isinstance(maps, dict) else {"results": maps}
        found = row({**answer, "containers": containers, "disks": disks}, given_maps)
        (shown,) = rows.with_old_releases([found])
        assert words.Speech("en").line(shown).isprintable()
        json.dumps(rows.sums(found), allow_nan=False)
    with pytest.raises(OverflowError):
        float(10**400)


# Pictures -----------------------------------------------------------------------------------------------------------


def keep_picture(folder: Path, pi: str, content: bytes) -> None:
    path = folder / "pictures" / f"{pi}-sample-france.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def shown_pictures(folder: Path) -> list[str]:
    return [str(attributes["src"]) for tag, attributes in Elements(text_of(folder)).found if tag == "img"]


def test_the_last_picture_of_a_map_is_on_the_page_and_small(status: Run, folder: Path) -> None:
    keep_picture(folder, "pi-marsh", png())
    keep_picture(folder, "pi-orchard", png())
    status()
    shown = shown_pictures(folder)
    assert len(shown) == 2
    with Image.open(io.BytesIO(base64.b64decode(shown[0].partition(",")[2]))) as drawn:
        assert (drawn.size, drawn.format) == ((320, 160), "PNG")
    assert all(len(one) < 200_000 for one in shown)


def test_a_map_that_is_not_for_everybody_has_no_picture(status: Run, folder: Path) -> None:
    keep_picture(folder, "pi-marsh", png())
    status({"pi-marsh": look()}, {"pi-marsh": asked(draws=False, detail=PRIVATE)})
    assert shown_pictures(folder) == []


@pytest.mark.attack(kind="picture that is none", on="laptop", proof=None)
@pytest.mark.parametrize("content", [b"<svg onload='attack()'/>", b"", png()[:200], b"GIF89a" + b"\0" * 50])
def test_what_is_no_picture_is_not_shown(
    status: Run, folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_picture(folder, "pi-marsh", content)
    status()
    assert shown_pictures(folder) == []
    monkeypatch.setattr(page, "picture", lambda careless: f"data:;base64,{base64.b64encode(careless).decode()}")
    status()
    (shown,) = shown_pictures(folder)
    assert base64.b64decode(shown.partition(",")[2]) == content


@pytest.mark.attack(kind="decompression bomb", on="laptop", proof=None)
def test_a_picture_of_too_many_points_is_not_shown(status: Run, folder: Path) -> None:
    stream = io.BytesIO()
    Image.new("1", (5000, 4000)).save(stream, "PNG")
    with Image.open(stream) as careless:
        assert careless.convert("RGBA").size == (5000, 4000)
    keep_picture(folder, "pi-marsh", stream.getvalue())
    status()
    assert shown_pictures(folder) == []


@pytest.mark.attack(kind="picture that holds something else", on="laptop", proof=None)
def test_nothing_but_the_points_of_a_picture_gets_into_the_page() -> None:
    careless = png() + MARKER.encode()
    with Image.open(io.BytesIO(careless)) as accepted:
        accepted.load()
    drawn = base64.b64decode(page.picture(careless).partition(",")[2])
    assert drawn.startswith(b"\x89PNG")
    assert b"script" in careless and b"script" not in drawn


# What is documented -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["docs/status.md", "docs/fr/status.md"])
def test_every_key_of_status_json_is_documented(name: str, status: Run, folder: Path) -> None:
    status()
    first = document(folder)["pis"][-1]
    keys = {*document(folder), *first, *first["containers"][0], *first["disks"][0], *first["maps"][0]}
    told = set(re.findall(r"`([^`]+)`", (ROOT / name).read_text("utf-8")))
    assert keys | {"code", "sentence"} <= told
    assert set(words.SENTENCES["en"]) <= told
