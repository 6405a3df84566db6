"""What a machine may lack when Docker starts containers: the disk with their data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Mount

from tests.engine.private_engine import PrivateEngine
from tests.engine.worlds import NAME, RealWorld, converge, look


def runs(world: RealWorld, wanted: ContainerSpec) -> bool:
    return bool(look(world, wanted)[NAME]["runs"])


@pytest.mark.parametrize("marked", [True, False])
def test_docker_does_not_start_a_container_without_the_disk_of_its_data(
    engine: PrivateEngine, private: RealWorld, wanted: ContainerSpec, tmp_path: Path, marked: bool
) -> None:
    data, disk, mark = tmp_path / "data", tmp_path / "disk", ".poppyfield-data-1"
    (data / mark).touch()
    mount = Mount(str(data / mark), f"/data/{mark}", read_only=True)
    bound = replace(wanted, mounts=(*wanted.mounts, *([mount] if marked else [])))
    converge(private, bound, DesiredState())
    engine.stop()
    data.rename(disk)
    data.mkdir()
    engine.start()
    private.api = engine.client()
    assert runs(private, bound) is not marked
    if marked:
        assert list(data.iterdir()) == []
        data.rmdir()
        disk.rename(data)
        converge(private, bound, DesiredState())
        assert runs(private, bound)


def test_a_container_cannot_replace_its_mark(private: RealWorld, wanted: ContainerSpec, tmp_path: Path) -> None:
    mark = tmp_path / "data" / ".poppyfield-data-1"
    mark.touch()
    mount = Mount(str(mark), f"/data/{mark.name}", read_only=True)
    converge(private, replace(wanted, mounts=(*wanted.mounts, mount)), DesiredState())

    def done(*command: str) -> bool:
        made = private.api.exec_create(NAME, ["busybox", *command])
        private.api.exec_start(made["Id"])
        return bool(private.api.exec_inspect(made["Id"])["ExitCode"] == 0)

    assert done("touch", "/data/other")
    assert not done("rm", "-f", f"/data/{mark.name}")
    assert not done("mv", f"/data/{mark.name}", "/data/moved")
    assert not done("mv", "/data/other", f"/data/{mark.name}")
    assert mark.is_file()
