"""What the laptop says of the gallery's projects, and that the page for people has each message and no other."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.projects import qgis_project, server_checks
from ansible.module_utils.poppyfield.projects.qgis_project import Expected, RepositoryFolder

from tests.gallery import report
from tests.gallery.projects import CASES, GOOD, Case, warned
from tests.images.projects import Layer, qgs

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "projects.md").read_text("utf-8")
UNFINISHED = ("-wal", "-journal")
Run = Callable[..., dict[str, Any]]


def rows(section: str) -> dict[str, re.Pattern[str]]:
    """Give the messages of the page's table that comes after these words, which has ... for what differs."""
    table = PAGE.partition(section)[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    messages = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    return {message: re.compile(re.escape(message).replace(re.escape("..."), ".*"), re.DOTALL) for message in messages}


LAPTOP = rows("## What the messages mean")
PI = rows("These come from the Pi")
VERIFY = rows("These come from the last stage")
LIZMAP = rows("These come from the same stage, of Lizmap")


def as_written(message: str, table: dict[str, re.Pattern[str]] = LAPTOP) -> str:
    """Give a message as the page has it, or as it is when the page has none; of several the longest."""
    fitting = [row for row, pattern in table.items() if pattern.fullmatch(message)]
    return max(fitting, key=len, default=message)


def said_of(case: Case) -> list[str]:
    """Give what the laptop says of a project, in the words of the page."""
    sizes = {name: len(content) for name, content in case.files.items()}
    unfinished = {name: size for name, size in sizes.items() if name.endswith(UNFINISHED)}
    folder = RepositoryFolder("gallery", {n: s for n, s in sizes.items() if n not in unfinished}, unfinished)
    contents = {n: c if isinstance(c, bytes) else c.encode() for n, c in case.files.items() if "/" not in n}
    found = qgis_project.check_folder(folder, contents, Expected((3, 40), case.lizmap, case.newer, case.internet))
    assert all(finding.remedy for finding in found)
    messages = [(as_written(finding.problem), finding.refuses) for finding in found]
    return [message if refuses else warned(message) for message, refuses in messages]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_each_project_is_told_what_is_right(case: Case) -> None:
    got = sorted(said_of(case))
    expected = sorted(case.expected)
    on = "stand-in" if case.lizmap else "map page"
    report.record(case.what, "project", on, " | ".join(expected) or GOOD, " | ".join(got) or GOOD)
    assert got == expected, case.reason


@pytest.mark.parametrize(("ending", "memory"), [("geojson", 8), ("csv", 64), ("KML", 426), ("gml", 4), ("gpx", 2)])
def test_the_memory_that_a_large_text_takes_is_as_measured(ending: str, memory: int) -> None:
    name = f"a.{ending}"
    folder = RepositoryFolder("gallery", {"map.qgs": 1, name: 20 * 1024 * 1024}, {})
    contents = {"map.qgs": qgs([Layer(f"./{name}")]).encode()}
    (found,) = qgis_project.check_folder(folder, contents, Expected((3, 40), False, False, False))
    assert "has 20 MB of text" in found.problem
    assert f"each worker takes up to {memory} MB of memory." in found.problem


def test_each_project_has_a_name_of_its_own() -> None:
    assert not [name for name, times in Counter(case.what for case in CASES).items() if times > 1]


def test_the_page_has_every_message_of_the_laptop_and_no_other() -> None:
    said = {message.removeprefix("warned: ") for case in CASES for message in said_of(case)}
    assert said == set(LAPTOP)


def texts(tree: ast.AST) -> Iterator[str]:
    """Give the texts in some code, with ... for what is filled in."""
    if isinstance(tree, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "..." for part in tree.values)
        yield "".join(map(str, parts))
    elif isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree.value
    else:
        for part in ast.iter_child_nodes(tree):
            yield from texts(part)


def called(path: Path, *names: str) -> list[ast.Call]:
    """Give the calls of these functions in a file."""
    tree = ast.parse(path.read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).endswith(names)]


def test_the_page_has_every_message_of_the_pi_and_no_other() -> None:
    path = ROOT / "module_utils" / "poppyfield" / "projects" / "server_checks.py"
    whole = [call.args[2] for call in called(path, "ProjectFinding")]
    said = {
        text
        for argument in whole
        if isinstance(argument, ast.Constant | ast.JoinedStr)
        for text in (next(texts(argument)),)
    }
    said |= {problem.replace("{0}", "...") for _, problem, _ in server_checks.REASONS}
    assert said == set(PI)


def test_no_message_says_that_its_cause_is_not_known() -> None:
    """D8: where a program is silent, a message says what can be known without it."""
    paths = [path for folder in ("library", "module_utils", "plugins") for path in (ROOT / folder).rglob("*.py")]
    silent = re.compile(
        r"(?:does|did) not (?:say|tell) why|no reason (?:is )?given|unknown (?:error|reason)", re.IGNORECASE
    )
    told = {text for path in paths for text in texts(ast.parse(path.read_text("utf-8")))}
    told |= {path.read_text("utf-8") for path in (ROOT / "roles").rglob("*.yml")}
    assert [text for text in told if silent.search(text)] == []
    assert not silent.search(PAGE)


SHORT = 4
"""No sentence has so few words."""
OF_A_MAP = (
    "_capabilities",
    "_without_picture",
    "_features",
    "_features_of",
    "_account_for_blank",
    "_how_drawn",
    "_ogc_api",
)


def test_the_page_has_what_the_last_stage_says_of_a_map_and_no_other() -> None:
    tree = ast.parse((ROOT / "library" / "published_map.py").read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    checks = [function for function in functions if function.name in (*OF_A_MAP, "_print")]
    docstrings = {ast.get_docstring(function) for function in checks}
    said = {text for function in checks for text in texts(function)} - docstrings
    # Some go on with the address that was asked for.
    assert not [row for row in VERIFY if not any(text.startswith(row) for text in said)]
    sentences = {text for text in said if text[:1].isupper() and len(text.split()) > SHORT}
    assert not [text for text in sentences if not any(text.startswith(row) for row in VERIFY)]


NOT_JSON = "The project's configuration is not JSON with layers: ..."


def test_the_page_has_what_the_last_stage_says_of_lizmap_and_no_other() -> None:
    answers = ROOT / "module_utils" / "poppyfield" / "lizmap" / "answers.py"
    checks = ast.parse((ROOT / "library" / "published_map.py").read_text("utf-8"))
    (lizmap,) = (node for node in checks.body if isinstance(node, ast.ClassDef) and node.name == "LizmapCheck")
    calls = [node for node in ast.walk(lizmap) if isinstance(node, ast.Call) and ast.unparse(node.func) == "MapError"]
    said = {text for call in (*calls, *called(answers, "MapError")) for text in texts(call.args[0])}
    # Two parts whose words are elsewhere.
    said = said - {"...: ..."} | {NOT_JSON}
    assert {as_written(text, LIZMAP) for text in said} == set(LIZMAP)
