"""Imports the modules of library/, and runs them as Ansible does."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).resolve().parents[2]
# A newer Ansible tells a module's arguments only where it is asked to, an older one always.
ASKED = {"_ansible_inject_invocation": True} if "inject_invocation" in PASS_VARS else {}


def load_module(name: str) -> ModuleType:
    """Import a module of library/ by its name."""
    full_name = f"library_{name}"
    if full_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(full_name, ROOT / "library" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full_name] = module
        spec.loader.exec_module(module)
    return sys.modules[full_name]


def run_as_ansible(name: str, /, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run a module as Ansible would; give what it printed."""
    module = load_module(name)
    output = io.StringIO()
    given = {
        **arguments,
        "_ansible_check_mode": check_mode,
        **ASKED,
        "_ansible_remote_tmp": os.environ.get("TMPDIR", "/tmp"),
    }
    with patch_module_args(given), contextlib.redirect_stdout(output), pytest.raises(SystemExit):
        module.main()
    lines = [line for line in output.getvalue().splitlines() if line.startswith("{")]
    result: dict[str, Any] = json.loads(lines[-1])
    assert "deprecations" not in result, result["deprecations"]
    return result
