"""Write docs/modules.md from the documentation of the modules: `make docs`.

ansible-doc reads the documentation, antsibull-docs-parser its markup, and docs/modules.md.j2 is the form of the page.
(antsibull-docs would do all of it, but knows only collections and writes reStructuredText.)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from antsibull_docs_parser import dom
from antsibull_docs_parser.md import MDFormatter, to_md
from antsibull_docs_parser.parser import Context, parse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "modules.md"

SHOWN = {"short_description", "description", "requirements", "options", "attributes"}
LEFT_OUT = {"author", "collection", "filename", "has_action", "module", "plugin_name"}
LEFT_OUT |= {"version_added", "version_added_collection"}


class Markdown(MDFormatter):
    """Markdown that reads well as it is: code in backticks, and only what would be taken for markup is escaped."""

    def format_text(self, part: dom.TextPart) -> str:
        """Escape what Markdown would take for markup."""
        return re.sub(r"[\\`*<\[\]]", r"\\\g<0>", part.text)

    def format_code(self, part: dom.CodePart) -> str:
        """Render C(...)."""
        return f"`{part.text}`"

    def format_env_variable(self, part: dom.EnvVariablePart) -> str:
        """Render E(...)."""
        return f"`{part.name}`"

    def format_option_value(self, part: dom.OptionValuePart) -> str:
        """Render V(...)."""
        return f"`{part.value}`"

    @staticmethod
    def _format_option_like(part: dom.OptionNamePart | dom.ReturnValuePart, url: str | None) -> str:
        return f"`{part.name}`" if part.value is None else f"`{part.name}={part.value}`"

    def format_link(self, part: dom.LinkPart) -> str:
        """Render L(...)."""
        return f"[{part.text}]({part.url})"


def markdown(text: str) -> str:
    """Turn a text with Ansible's markup into Markdown; a mistake in it is a ValueError."""
    # Modules of a project have no full name, as M(...) wants it; they are all on this page.
    linked = re.sub(r"\bM\((\w+)\)", r"L(\1,#\1)", text)
    return str(to_md(parse([linked], Context(), errors="exception"), formatter=Markdown()))


def cell(paragraphs: str | list[str]) -> str:
    """Turn paragraphs with Ansible's markup into the text of one cell of a table."""
    texts = [paragraphs] if isinstance(paragraphs, str) else paragraphs
    return "<br>".join(markdown(text) for text in texts).replace("|", "\\|")


def fields(documented: Mapping[str, Any], nested: str, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give options or returned values with their path, required ones first, each followed by those inside it."""
    for name, field in sorted(documented.items(), key=lambda item: not item[1].get("required", False)):
        path = prefix + name
        yield path, field
        separator = "[]." if field.get("type") == "list" else "."
        yield from fields(field.get(nested) or {}, nested, path + separator)


def literal(value: Any) -> str:
    """Show a value as one would write it, as the text of a cell."""
    text = value if value and isinstance(value, str) else json.dumps(value)
    return "`" + text.replace("|", "\\|") + "`"


def type_of(field: Mapping[str, Any]) -> str:
    """Say what type an option or a returned value has, and which values it can be."""
    kind = f"list of {field['elements']}" if "elements" in field else str(field.get("type", "str"))
    choices = ", ".join(literal(choice) for choice in field.get("choices", []))
    return f"{kind}: {choices}" if choices else kind


def default_of(option: Mapping[str, Any]) -> str:
    """Say what an option is when it is not given."""
    if option.get("required"):
        return "**required**"
    return "" if option.get("default") is None else literal(option["default"])


def documentation() -> dict[str, Any]:
    """Ask ansible-doc for the documentation of all modules; fail when it cannot read one, or says what is not shown."""
    names = sorted(path.stem for path in (ROOT / "library").glob("*.py"))
    command = [sys.executable, "-m", "ansible", "doc", "--json", "--type", "module", "--module-path", "library", *names]
    modules: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    if missing := set(names) - set(modules):
        raise ValueError(f"ansible-doc could not read {', '.join(sorted(missing))}.")
    for name, module in modules.items():
        if unknown := set(module["doc"]) - SHOWN - LEFT_OUT:
            raise ValueError(f"docs/modules.md.j2 does not show what {name} documents as {', '.join(sorted(unknown))}.")
    return modules


def environment() -> Environment:
    """Give what renders the pages that are made: with the filters, and failing on whatever is not there."""
    made = Environment(  # noqa: S701 - Markdown, not HTML, and of our own texts
        loader=FileSystemLoader(ROOT / "docs"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {f.__name__: f for f in (cell, default_of, fields, literal, markdown, type_of)}
    return made


def page(modules: Mapping[str, Any]) -> str:
    """Give the text of the page on these modules."""
    return environment().get_template("modules.md.j2").render(modules=modules)


if __name__ == "__main__":
    PAGE.write_text(page(documentation()), encoding="utf-8")
