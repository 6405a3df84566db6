"""Docker is restarted in the middle of a run, and power is lost: on a real engine that only these tests use."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

import pytest
from ansible.module_utils.poppyfield.containers.apply import ApplyError
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec

from tests.engine.private_engine import PrivateEngine
from tests.engine.worlds import NAME, NEW, OLD, Both, FakeWorld, RealWorld, Watched, converge, look


# After the old one is stopped, the new one is made, the policies are handed over, and the new one is started.
@pytest.mark.parametrize("changes", [1, 3, 5, 6])
def test_power_is_lost_in_the_middle_of_a_run(
    engine: PrivateEngine, private: RealWorld, wanted: ContainerSpec, changes: int
) -> None:
    fake = FakeWorld(private.api)
    both = Both(private, fake, wanted)
    both.converge()
    both.cut_off(changes, image=NEW)
    engine.cut_power()
    engine.start()
    private.api = engine.client()
    fake.api.boot()
    assert len(both.look().running) <= 1
    mended = both.converge(image=NEW)
    assert mended.running == list(mended.containers) == [NAME]


@pytest.mark.parametrize("after", ["stop", "create_container_from_config", "start"])
def test_docker_is_restarted_in_the_middle_of_a_run(
    engine: PrivateEngine, private: RealWorld, wanted: ContainerSpec, after: str
) -> None:
    converge(private, wanted, DesiredState())
    newer = replace(wanted, image=NEW)
    starting = threading.Thread(target=engine.start)

    def restart(name: str) -> None:
        if name == after and starting.ident is None:
            engine.stop()
            starting.start()

    with pytest.raises(ApplyError, match="stopped answering") as raised:
        converge(private, newer, DesiredState(), api=Watched(private.api, restart))
    starting.join()
    assert {name: c["fields"]["image"] for name, c in look(private, wanted).items() if c["runs"]} == {NAME: OLD}
    converge(private, newer, DesiredState())
    assert list(look(private, newer)) == [NAME]
    assert re.search("The old container was (put back and serves again|not touched and serves)", str(raised.value))
