"""Makes module_utils importable as Ansible does, and gives the tests a fake engine and the modules."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import ansible.module_utils
import pytest
from hypothesis import settings

# Machines differ in speed, and a failure is reported whole: neither a deadline nor a database is needed.
settings.register_profile("poppyfield", deadline=None, database=None)
settings.load_profile("poppyfield")

ROOT = Path(__file__).resolve().parents[2]
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.testing import patch_module_args  # noqa: E402 - after the path was extended

from tests.doubles.docker_engine import FakeDocker  # noqa: E402
from tests.doubles.recording import OF_TRIXIE, VERSIONS  # noqa: E402
from tests.unit import modules_report  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(modules_report)


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


@pytest.fixture
def library() -> Callable[[str], ModuleType]:
    return load_module


FOR_EACH_ENGINE = ("test_containers", "test_delivered_image")
"""Files of tests that are run with a fake of each recorded engine."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "docker" in metafunc.fixturenames and metafunc.module.__name__ in FOR_EACH_ENGINE:
        metafunc.parametrize("docker", VERSIONS, indirect=True)


@pytest.fixture
def docker(request: pytest.FixtureRequest) -> FakeDocker:
    return FakeDocker(recorded=getattr(request, "param", OF_TRIXIE))


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run_module() -> Run:
    """Run a module as Ansible would; give what it printed."""

    def run(name: str, /, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        module = load_module(name)
        output = io.StringIO()
        given = {
            **arguments,
            "_ansible_check_mode": check_mode,
            "_ansible_remote_tmp": os.environ.get("TMPDIR", "/tmp"),
        }
        with patch_module_args(given), contextlib.redirect_stdout(output), pytest.raises(SystemExit):
            module.main()
        lines = [line for line in output.getvalue().splitlines() if line.startswith("{")]
        result: dict[str, Any] = json.loads(lines[-1])
        return result

    return run


@pytest.fixture
def predict_and_run(run_module: Run) -> Run:
    """Run a module in check mode, then for real, and compare what both say of these results; give what was done."""

    def run(
        name: str, /, results: tuple[str, ...] = ("changed", "reasons", "diff"), **arguments: Any
    ) -> dict[str, Any]:
        predicted = run_module(name, check_mode=True, **arguments)
        done = run_module(name, **arguments)
        same = not done.get("failed") and all(predicted[key] == done[key] for key in results)
        modules_report.compared(same)
        assert same, (predicted, done)
        return done

    return run
