"""Code and documents say it in the field's words: none of those that Poppyfield had made up for itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "Makefile",
    "site.yml",
    "library",
    "module_utils",
    "plugins",
    "roles",
    "playbooks",
    "inventory/example",
    "docs",
    "images",
    "image_contents",
    "new_fleet",
    "pi_alone",
    "pi_terminal",
    "molecule",
    "workshop",
]
# Of tools, and pictures and samples that other programs write.
NOT_READ = {"__pycache__", "node_modules"}
NOT_READ_SUFFIXES = {".png", ".qgs", ".svg"}

# What was said before the field's own words were used, also in names such as `way_back`.
OLD_WORDS = {
    r"ways?[ _]back": "rollback",
    r"go_back": "rollback",
    r"of before": "previous ...",
    r"(go|goes|went|going)[ _]before": "overrides, takes precedence over",
    r"wish(es|ed)?": "desired state",
    r"anew": "again, rebuilt",
}


def old_words(text: str) -> list[str]:
    """Tell which old words a text has, also across lines, and the word to say instead."""
    text = re.sub(r"\s+(?:(?:#|//)\s+)?", " ", text)
    return [
        f"{found[0]}: {better}"
        for old, better in OLD_WORDS.items()
        for found in re.finditer(rf"(?<![A-Za-z]){old}(?![a-z])", text, re.IGNORECASE)
    ]


def written(part: str) -> Iterator[Path]:
    """Give every file of a part that people of this project write."""
    path = ROOT / part
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        is_read = file.suffix not in NOT_READ_SUFFIXES and not NOT_READ & set(file.parts)
        if is_read and file.is_file() and not file.is_symlink():
            yield file


@pytest.mark.parametrize("part", PARTS)
def test_the_words_are_those_of_the_field(part: str) -> None:
    assert not [
        f"{file.relative_to(ROOT)}: {said}"
        for file in written(part)
        for said in old_words(f"{file.name}\n{file.read_text('utf-8', errors='replace')}")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "no way back",
        "the way_back_runs",
        "import go_back.yml",
        "the container\nof before",
        "# the container of\n# before",
        "it goes before both",
        "your wish",
        "class Wish:",
        "as you wished",
        "Wish(state)",
        "built anew",
        "MADE_ANEW",
    ],
)
def test_an_old_word_is_told(text: str) -> None:
    assert len(old_words(text)) == 1


@pytest.mark.parametrize("text", ["the one before did it", "left alone", "renewal", "the previous container"])
def test_other_words_are_not(text: str) -> None:
    assert not old_words(text)
