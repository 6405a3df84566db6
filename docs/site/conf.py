"""The site of the pages, as they are: `make docs-site` into build/site. Nothing in it comes from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

project = "Poppyfield"
language = "en"
root_doc = "README"
# The paths are those of the checkout, so that links lead to the same places as on a code-hosting site.
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/fr/*.md",
    "images/README.md",
    "workshop/emulator/README.md",
    "workshop/demo/sample/SOURCES.md",
]
exclude_patterns = [".*", "build", "inventory", "molecule", "tests", "docs/site", "**/node_modules", "**/__pycache__"]

extensions = ["myst_parser"]
# As deep as headings go: every anchor that a link names is checked.
myst_heading_anchors = 4
html_theme = "furo"
html_title = "Poppyfield"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
templates_path = ["templates"]
html_additional_pages = {"index": "index.html"}
html_search_language = "en"

CONTENTS = Path(__file__).with_name("contents.md")


def add_contents(app: Any, page: str, source: list[str]) -> None:
    """Give the front page the contents, which a code-hosting site could not show."""
    if page == root_doc:
        source[0] += "\n" + CONTENTS.read_text(encoding="utf-8")


def name_language(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Say which pages are in French, for who reads aloud or hyphenates."""
    context["language"] = "fr" if page.startswith("docs/fr/") else language


def setup(app: Any) -> None:
    """Connect the above."""
    app.connect("source-read", add_contents)
    app.connect("html-page-context", name_language)
