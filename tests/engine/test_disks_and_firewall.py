"""What a machine may lack when Docker starts containers: the disk with their data, or Docker's own rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.containers import container_module, startable
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Mount
from docker import errors

from tests.engine.private_engine import PrivateEngine
from tests.engine.worlds import NAME, NEW, PATIENCE, RealWorld, converge, look


def runs(world: RealWorld, wanted: ContainerSpec) -> bool:
    return bool(look(world, wanted)[NAME]["runs"])


@pytest.mark.field("B5", "the disk with the data is not mounted")
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


@pytest.mark.field("B8", "nft flush ruleset, then a deployment")
def test_nothing_is_stopped_while_the_firewall_lacks_dockers_rules(
    engine: PrivateEngine, private: RealWorld, wanted: ContainerSpec
) -> None:
    def release() -> None:
        container_module.converge(
            Engine(private.api, errors),
            replace(wanted, image=NEW),
            DesiredState(),
            healthy_timeout=PATIENCE,
            before_start=startable.ensure,
            sleep=private.sleep,
        )

    converge(private, wanted, DesiredState())
    for table in ("nat", "filter"):
        engine.in_its_network("iptables", "-t", table, "-F")
        engine.in_its_network("iptables", "-t", table, "-X")
    before = look(private, wanted)
    with pytest.raises(EngineError, match=r"Nothing was stopped.*systemctl restart docker"):
        release()
    assert look(private, wanted) == before
    assert runs(private, wanted)
    engine.stop()
    engine.start()
    private.api = engine.client()
    release()
    assert look(private, wanted)[NAME]["fields"]["image"] == NEW
    assert [network["Name"] for network in private.api.networks(names=["poppyfield-probe"])] == []
