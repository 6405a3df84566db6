"""What a loss of power leaves of Docker's own files: the role recognises it, and the data stay as they were."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec

from tests.engine.private_engine import PrivateEngine
from tests.engine.worlds import NAME, RealWorld, converge, look

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = yaml.safe_load((ROOT / "roles" / "docker_engine" / "vars" / "main.yml").read_text("utf-8"))
ROLE = {name.removeprefix("__docker_engine_"): value for name, value in VARIABLES.items()}
Tell = Callable[[str, object], None]


def data(folder: Path) -> str:
    """Give the digest of what lies in the data folder, but for what the server notes of its own life."""
    files = [path for path in sorted((folder / "data").rglob("*")) if path.is_file() and path.name != "life"]
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def served_again(engine: PrivateEngine, private: RealWorld, wanted: ContainerSpec) -> None:
    """A run brings the container back, and the next one changes nothing."""
    private.api = engine.client()
    converge(private, wanted, DesiredState())
    assert look(private, wanted)[NAME]["runs"]
    assert not converge(private, wanted, DesiredState()).changed


@pytest.mark.field("B9", "local-kv.db is damaged")
def test_a_damaged_table_of_networks_is_recognised_and_docker_starts_without_it(
    engine: PrivateEngine, private: RealWorld, wanted: ContainerSpec, tmp_path: Path, record_property: Tell
) -> None:
    (tmp_path / "data" / "rows").write_text("rows")
    converge(private, wanted, DesiredState())
    before = data(tmp_path)
    table = engine.data_root / ROLE["networks_file"]
    engine.stop()
    table.write_bytes(b"\xff" * table.stat().st_size)
    said = engine.fails_to_start()
    (line,) = [line for line in said.splitlines() if re.search(ROLE["networks_damaged"], line)]
    record_property("message", line)
    # As the role does.
    table.rename(table.with_name(f"{table.name}.damaged"))
    engine.start()
    served_again(engine, private, wanted)
    record_property("data_kept", data(tmp_path) == before)
    assert data(tmp_path) == before


@pytest.mark.field("B10", "zero-length config.v2.json of a container")
def test_a_container_whose_file_is_empty_is_made_again(
    engine: PrivateEngine, private: RealWorld, wanted: ContainerSpec, tmp_path: Path, record_property: Tell
) -> None:
    (tmp_path / "data" / "rows").write_text("rows")
    converge(private, wanted, DesiredState())
    before = data(tmp_path)
    made = private.api.inspect_container(NAME)["Id"]
    engine.stop()
    (engine.data_root / "containers" / made / "config.v2.json").write_bytes(b"")
    engine.start()
    served_again(engine, private, wanted)
    assert private.api.inspect_container(NAME)["Id"] != made
    record_property("data_kept", data(tmp_path) == before)
    assert data(tmp_path) == before


def test_an_engine_that_does_not_start_for_another_reason_is_not_taken_for_it() -> None:
    pattern = ROLE["networks_damaged"]
    assert not re.search(pattern, "failed to start daemon: Error initializing network controller: no iptables")
    assert not re.search(pattern, "failed to start daemon: invalid database of images")
