"""ansible-doc shows every module and the callback, and docs/modules.md is what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from docs import modules

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))


def ansible_doc(*arguments: str) -> str:
    command = [sys.executable, "-m", "ansible", "doc", *arguments]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def names(options: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Give the name of each option, those inside others too, and whether it is required."""
    for name, option in options.items():
        yield name, option.get("required", False)
        yield from names(option.get("suboptions") or {})


@pytest.fixture(scope="module")
def documentation() -> dict[str, Any]:
    return modules.documentation()


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    text = ansible_doc("--type", "module", "--module-path", "library", *MODULES)
    parts = re.split(r"^> MODULE (\w+) .*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_module_is_rendered(texts: dict[str, str], documentation: dict[str, Any]) -> None:
    assert list(texts) == MODULES
    assert sorted(documentation) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_shown_with_every_option(texts: dict[str, str], documentation: dict[str, Any], name: str) -> None:
    shown, documented = texts[name], documentation[name]
    for option, required in names(documented["doc"]["options"]):
        assert re.search(rf"^ *{'=' if required else '-'} {option} ", shown, re.MULTILINE), option
    for value in documented["return"]:
        assert re.search(rf"^- {value} ", shown, re.MULTILINE), value
    assert documented["examples"].strip() in shown


def test_the_lookup_is_shown() -> None:
    assert "secrets_folder" in ansible_doc("--type", "lookup", "poppyfield_table")


def test_the_callback_is_shown() -> None:
    assert "POPPYFIELD_RUN_REPORT" in ansible_doc("--type", "callback", "run_report")


# The page -----------------------------------------------------------------------------------------------------------


def test_the_page_is_what_the_modules_say(documentation: dict[str, Any]) -> None:
    assert modules.page(documentation) == modules.PAGE.read_text(encoding="utf-8"), "docs/modules.md is old: make docs"


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("C(a_b*c) and V(x) and E(HOME)", "`a_b*c` and `x` and `HOME`"),
        ("O(state=absent) of O(disk[].path), RV(image)", "`state=absent` of `disk[].path`, `image`"),
        ("see M(arm_image)", "see [arm_image](#arm_image)"),
        ("2 * 3 < 7 [and] `so` on", r"2 \* 3 \< 7 \[and\] \`so\` on"),
        ("L(the site, https://example.org)", "[the site](https://example.org)"),
    ],
)
def test_the_markup_becomes_markdown(text: str, markdown: str) -> None:
    assert modules.markdown(text) == markdown


def test_a_mistake_in_the_markup_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a FQCN"):
        modules.markdown("M(two words)")


def test_a_cell_of_a_table_is_one_line() -> None:
    assert modules.cell(["C(a|b)", "then"]) == r"`a\|b`<br>then"
    assert modules.literal("a|b") == r"`a\|b`"


def test_what_is_inside_an_option_follows_it_and_required_ones_come_first() -> None:
    options = {
        "a": {"type": "list", "elements": "dict", "suboptions": {"x": {}, "y": {"required": True}}},
        "b": {"type": "dict", "required": True, "suboptions": {"z": {}}},
    }
    assert [path for path, _ in modules.fields(options, "suboptions")] == ["b", "b.z", "a", "a[].y", "a[].x"]
