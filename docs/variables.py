"""Write docs/variables.md and docs/fr/variables.md from the roles' argument specs: `make docs`."""

from __future__ import annotations

from typing import Any

import yaml

from docs.modules import ROOT, environment

PAGES = {"en": ROOT / "docs" / "variables.md", "fr": ROOT / "docs" / "fr" / "variables.md"}


def specs() -> dict[str, Any]:
    """Give what each role says of itself and of its variables."""
    paths = sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
    return {path.parts[-3]: yaml.safe_load(path.read_text("utf-8"))["argument_specs"]["main"] for path in paths}


def page(language: str) -> str:
    """Give the text of the page in a language; what the roles say is in English."""
    return environment().get_template("variables.md.j2").render(language=language, roles=specs())


if __name__ == "__main__":
    for name, path in PAGES.items():
        path.write_text(page(name), encoding="utf-8")
