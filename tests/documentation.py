"""What a module documents, with what it shares with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import get_docstring

ROOT = Path(__file__).resolve().parents[1]


def documentation(module: str) -> dict[str, Any]:
    """Give the documentation of a module, its fragments in their place."""
    fragment_loader.add_directory(str(ROOT / "plugins" / "doc_fragments"))
    path = str(ROOT / "library" / f"{module}.py")
    documented: dict[str, Any] = get_docstring(path, fragment_loader, is_module=True)[0]
    return documented
