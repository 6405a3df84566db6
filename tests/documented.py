"""What the pages of the documentation show as code: read by markdown-it-py, for every test that needs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
FRENCH = ROOT / "docs" / "fr"
PARSER = MarkdownIt("commonmark").enable("table")
NEEDS = re.compile(r"<!-- needs: (.+) -->\s*")
"""Stands before a block that no test runs, and says why."""
SEPARATORS = {"&&", "||", ";", "|"}


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: Path
    line: int
    language: str
    text: str
    needs: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def tokens(text: str) -> tuple[Token, ...]:
    """Give what a page is made of."""
    return tuple(PARSER.parse(text))


def code_lines(text: str) -> set[int]:
    """Give the numbers, from 0, of the lines that are in a block of code, with its fences."""
    return {number for token in tokens(text) if is_code(token) for number in range(*(token.map or (0, 0)))}


def is_code(token: Token) -> bool:
    """Tell whether it is a block of code, fenced or indented."""
    return token.type in {"fence", "code_block"}


def blocks(page: Path) -> list[Block]:
    """Give the blocks of code of a page in their order."""
    found = tokens(page.read_text(encoding="utf-8"))
    return [
        Block(page, (token.map or [0])[0] + 1, token.info.strip(), token.content, needs(before))
        for before, token in zip((None, *found), found, strict=False)
        if is_code(token)
    ]


def needs(token: Token | None) -> str:
    """Give what a comment says that the next block needs, empty where there is none."""
    found = NEEDS.fullmatch(token.content) if token and token.type == "html_block" else None
    return found[1] if found else ""


def code_in_sentences(page: Path) -> list[str]:
    """Give what stands in backticks in the page's sentences and tables."""
    inline = (token for token in tokens(page.read_text(encoding="utf-8")) if token.type == "inline")
    return [child.content for token in inline for child in token.children or () if child.type == "code_inline"]


def commands(text: str) -> Iterator[list[str]]:
    """Give the words of each command of a piece of shell, without comments; lines that end in \\ are joined."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in lexer:
            if word in SEPARATORS:
                yield command
                command = []
            else:
                command.append(word)
        if command:
            yield command
