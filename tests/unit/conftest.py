"""Makes module_utils importable as Ansible does, and gives the tests a fake engine and the modules."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

# Machines differ in speed, and a failure is reported whole: neither a deadline nor a database is needed.
settings.register_profile("poppyfield", deadline=None, database=None)
settings.load_profile("poppyfield")

from ansible.module_utils.poppyfield.containers import apply  # noqa: E402
from ansible.module_utils.poppyfield.containers.engine import Engine  # noqa: E402
from ansible.module_utils.poppyfield.images import unfinished_loads  # noqa: E402
from ansible.module_utils.poppyfield.runs import lock, trail  # noqa: E402
from ansible.parsing.dataloader import DataLoader  # noqa: E402

from tests.doubles.docker_engine import FakeDocker  # noqa: E402
from tests.doubles.recording import OF_TRIXIE, VERSIONS  # noqa: E402
from tests.unit import modules_report  # noqa: E402
from tests.unit.modules import load_module, run_as_ansible  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(modules_report)


@pytest.fixture(autouse=True, scope="session")
def lock_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no test lock or write what a run of this machine would, nor need root to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "LOCK_FOLDER", tmp_path_factory.mktemp("locks"))
        patch.setattr(lock, "FOLDER", tmp_path_factory.mktemp("locks"))
        patch.setattr(trail, "FILE", tmp_path_factory.mktemp("trail") / "history.jsonl")
        patch.setattr(unfinished_loads, "FOLDER", tmp_path_factory.mktemp("notes"))
        # Of a disk that the fake engine does not have.
        patch.setattr(Engine, "flush", lambda _: None)
        yield


def load_plugin(name: str) -> ModuleType:
    """Import an action plugin by its name."""
    spec = importlib.util.spec_from_file_location(f"action_{name}", ROOT / "plugins" / "action" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    return plugin


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
THROUGH_PLUGIN = (
    "container_files",
    "container_logs",
    "delivered_basemaps",
    "hotspot_service",
    "loaded_data",
    "published_projects",
    "taken_bundle",
    "tls_certificate",
)
"""Modules whose action plugin says what they are to do."""


@pytest.fixture
def run_module() -> Run:
    """Run a module as Ansible would; give what it printed."""
    return run_as_ansible


@pytest.fixture
def run_plugin(run_module: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a module through its action plugin, on a host that is this machine; files are copied instead of sent."""

    def run(
        name: str,
        /,
        *,
        check_mode: bool = False,
        connection: Any = None,
        loader: DataLoader | None = None,
        on: str = "pi-marsh",
        **arguments: Any,
    ) -> dict[str, Any]:
        plugin = load_plugin(name)
        action = plugin.ActionModule.__new__(plugin.ActionModule)
        temporary = str(tmp_path_factory.mktemp("remote"))
        action._task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0)
        action._connection = connection or SimpleNamespace(fetch_file=shutil.copyfile)
        action._connection._shell = SimpleNamespace(tmpdir=temporary, join_path=os.path.join)
        action._loader = loader or DataLoader()
        action._transfer_file = shutil.copyfile
        action._execute_module = lambda module_name, module_args, task_vars: run_module(
            module_name, check_mode=check_mode, **module_args
        )
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": on})
        return result

    return run


@pytest.fixture
def predict_and_run(run_module: Run, run_plugin: Run) -> Run:
    """Run a module in check mode, then for real, and compare what both say of these results; give what was done."""

    def run(
        name: str, /, results: tuple[str, ...] = ("changed", "reasons", "diff"), **arguments: Any
    ) -> dict[str, Any]:
        run_once = run_plugin if name in THROUGH_PLUGIN else run_module
        predicted = run_once(name, check_mode=True, **arguments)
        done = run_once(name, **arguments)
        same = not done.get("failed") and all(predicted[key] == done[key] for key in results)
        modules_report.compared(same)
        assert same, (predicted, done)
        return done

    return run
