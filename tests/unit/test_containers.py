"""Plan and apply against the fake engine: run twice, change each field, fail at each step, lose power at each step."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import container_module, plan, spec
from ansible.module_utils.poppyfield.containers.apply import Applier, ApplyError, InterruptedRunError, container_lock
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.health import HOPELESS
from ansible.module_utils.poppyfield.containers.plan import DesiredState, PlanError, Recreate, Snapshot, State
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, HealthTiming, Mount, Port
from docker import errors
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.docker_engine import Behaviour, FakeDocker, PowerCut
from tests.unit.converging import (
    BESIDE,
    BESIDE_NEW,
    CANDIDATE,
    NAME,
    NEW,
    OLD,
    PREVIOUS,
    SPEC,
    THIRD,
    WANT_NEW,
    changed,
    converge,
    deployed,
    deployed_beside,
    fresh,
    predict,
    stopped,
)

REPLACED_NEXT = "; if that does not help, replaced"
ONE_CHANGE: list[tuple[dict[str, Any], str]] = [
    ({"image": NEW}, f"image: {OLD} -> {NEW}"),
    ({"command": ("postgres", "-c", "shared_buffers=256MB")}, "command: shared_buffers=128MB -> shared_buffers=256MB"),
    ({"command": ()}, "command: postgres, -c, shared_buffers=128MB -> serve"),
    ({"environment": {"LANG": "C.UTF-8"}}, "environment: WORKERS removed"),
    ({"environment": {"LANG": "C.UTF-8", "WORKERS": "2"}}, "environment: WORKERS: 1 -> 2"),
    ({"environment": {"LANG": "C.UTF-8", "WORKERS": "a=b"}}, "environment: WORKERS: 1 -> a=b"),
    ({"environment": {"LANG": "C.UTF-8", "WORKERS": "1", "TZ": "UTC"}}, "environment: TZ added"),
    ({"mounts": SPEC.mounts[:1]}, "mounts: /secrets removed"),
    (
        {"mounts": (SPEC.mounts[0], Mount("/etc", "/secrets", read_only=False))},
        "mounts: /secrets: /etc (read-only) -> /etc (read-write)",
    ),
    ({"tmpfs": {}}, "tmpfs: /tmp removed"),
    ({"capabilities": ("SETUID", "KILL")}, "capabilities added: nothing -> KILL, SETUID"),
    ({"ports": ()}, "ports: 8080/tcp removed"),
    ({"ports": (Port("127.0.0.1", 80, 8080),)}, "ports: 8080/tcp: 0.0.0.0:80 -> 127.0.0.1:80"),
    (
        {"ports": (Port("127.0.0.1", 81, 8080), Port("0.0.0.0", 80, 8080))},
        "ports: 8080/tcp: 0.0.0.0:80 -> 0.0.0.0:80, 127.0.0.1:81",
    ),
    ({"network_aliases": ("db",)}, "network aliases: postgis -> db"),
    ({"network": "other"}, "network: poppyfield -> other"),
    ({"hardware_address": "02:00:00:00:00:01"}, "hardware address: any -> 02:00:00:00:00:01"),
    ({"health": HealthTiming()}, "health check: StartPeriod removed"),
    ({"health": HealthTiming(start_period=61)}, "health check: StartPeriod: 60000000000 -> 61000000000"),
    ({"health": HealthTiming(start_period=60, interval=5)}, "health check: Interval: 10000000000 -> 5000000000"),
    ({"health": HealthTiming(start_period=60, timeout=5)}, "health check: Timeout added"),
    ({"health": HealthTiming(start_period=60, retries=5)}, "health check: Retries: 3 -> 5"),
    ({"shm_size": 128}, "shared memory: 64 -> 128"),
    ({"stop_timeout": 30}, "stop timeout: 20 -> 30"),
    ({"memory_limit": 512}, "memory limit: 256 -> 512"),
    ({"memory_limit": 0}, "memory limit: 256 -> 0"),
    ({"pids_limit": 99}, "process limit: 512 -> 99"),
    ({"secret_stamps": {"password": "2"}}, "secrets: password renewed"),
    ({"secret_stamps": {}}, "secrets: password removed"),
]


@pytest.fixture
def host(docker: FakeDocker) -> FakeDocker:
    docker.add_image(OLD, "1")
    docker.add_image(NEW, "2")
    return docker


def reasons(outcome: Any) -> list[str]:
    return list(outcome.plan.reasons)


# Twice, and each change once ----------------------------------------------------------------------------------------


def test_the_first_run_makes_network_and_container_and_the_second_nothing(host: FakeDocker) -> None:
    first = converge(host)
    assert reasons(first) == ["network poppyfield: absent -> present", f"container {NAME}: absent -> started"]
    assert host.names() == {NAME: True}
    calls = list(host.calls)
    second = converge(host)
    assert not second.plan.changed
    assert not reasons(second)
    assert second.plan.before == second.plan.after
    assert host.calls == calls


@pytest.mark.field_changed_once
@pytest.mark.parametrize(("fields", "words"), ONE_CHANGE, ids=[words for _, words in ONE_CHANGE])
def test_each_change_is_named_and_applied_once(host: FakeDocker, fields: dict[str, Any], words: str) -> None:
    converge(host)
    wanted = changed(**fields)
    outcome = converge(host, wanted)
    assert words in reasons(outcome)
    again = converge(host, wanted).plan
    assert not again.changed
    # What the diff said would be there is there.
    assert outcome.plan.after == again.before != outcome.plan.before
    assert host.names() == {NAME: True}


def test_every_field_of_the_specification_is_in_the_digest() -> None:
    image = {"Id": "sha256:1", "Config": {}}
    fields = {field.name for field in dataclasses.fields(ContainerSpec)}
    covered = {name for change, _ in ONE_CHANGE for name in change}
    assert covered | {"name", "resource", *spec.NOT_INTENT} == fields
    digests = {spec.intent_digest(changed(**change), image) for change, _ in ONE_CHANGE}
    assert len(digests | {spec.intent_digest(SPEC, image)}) == len(ONE_CHANGE) + 1


def by_hand(container: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        container = container[key]
    container[last] = value


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("HostConfig.Privileged", True, "privileged: true by hand, should be false"),
        ("HostConfig.CapAdd", ["SYS_ADMIN"], "capabilities added: SYS_ADMIN by hand, should be nothing"),
        ("HostConfig.CapAdd", ["CAP_KILL"], "capabilities added: KILL by hand, should be nothing"),
        ("HostConfig.CapDrop", None, "capabilities dropped: nothing by hand, should be ALL"),
        ("HostConfig.SecurityOpt", None, "security options: nothing by hand, should be no-new-privileges"),
        ("HostConfig.ReadonlyRootfs", False, "read-only root: false by hand, should be true"),
        ("Config.Healthcheck.Test", ["NONE"], 'health check: Test: ["NONE"] by hand, should be ["CMD", "health"]'),
        ("HostConfig.Memory", 999, "memory limit: 999 by hand, should be 256"),
        ("HostConfig.PidsLimit", None, "process limit: 0 by hand, should be 512"),
        ("HostConfig.Tmpfs", {"/tmp": "mode=1777", "/x": ""}, "tmpfs: /x added by hand, should not be there"),
        ("HostConfig.Tmpfs", {}, "tmpfs: /tmp removed by hand, should be mode=1777"),
        (
            "Mounts",
            [
                {"Source": "/srv", "Destination": "/data", "RW": True},
                {"Source": "/etc", "Destination": "/secrets", "RW": True},
            ],
            "mounts: /secrets: /etc (read-write) by hand, should be /etc (read-only)",
        ),
        ("Config.Labels", {}, None),
        ("NetworkSettings.Networks", {}, "network aliases: nothing by hand, should be postgis"),
    ],
)
def test_drift_made_by_hand_is_found(host: FakeDocker, path: str, value: Any, words: str | None) -> None:
    converge(host)
    by_hand(host.named(NAME), path, value)
    if words is None:
        with pytest.raises(PlanError, match="did not make"):
            converge(host)
        return
    outcome = converge(host)
    assert words in reasons(outcome)
    assert not converge(host).plan.changed


def test_a_restart_policy_is_corrected_in_place(host: FakeDocker) -> None:
    converge(host)
    before = host.named(NAME)["Id"]
    host.named(NAME)["HostConfig"]["RestartPolicy"] = {"Name": "no"}
    assert reasons(converge(host)) == ["restart policy: no -> always"]
    assert host.named(NAME)["Id"] == before


def test_an_image_rebuilt_under_the_same_reference_replaces_the_container(host: FakeDocker) -> None:
    converge(host)
    host.add_image(OLD, "3")
    assert any(r.startswith("image digest: v1:1 -> v1:3") for r in reasons(converge(host)))


def test_a_digest_of_other_settings_replaces_even_when_no_field_tells(host: FakeDocker) -> None:
    converge(host)
    host.named(NAME)["Config"]["Labels"][spec.DIGEST] = "v0:other"
    assert reasons(converge(host)) == ["settings: not those that the container was made with"]


def test_a_variable_of_the_image_is_not_taken_for_one_set_by_hand(host: FakeDocker) -> None:
    host.add_image(NEW, "2", Env=["PATH=/usr/bin", "OPTIONS=-a=b"])
    wanted = changed(image=NEW, environment={"PATH": "/usr/bin"})
    converge(host, wanted)
    assert not converge(host, wanted).plan.changed


def mount(target: str, source: str = "/srv", kind: str = "bind") -> dict[str, Any]:
    return {"Type": kind, "Source": source, "Destination": target, "RW": True}


def test_a_volume_that_the_image_declares_is_not_taken_for_one_mounted_by_hand(host: FakeDocker) -> None:
    host.add_image(NEW, "2", Volumes={"/cache": {}, "/data": {}})
    wanted = changed(image=NEW)
    converge(host, wanted)
    mounts = host.named(NAME)["Mounts"]
    mounts.append(mount("/cache", "/var/lib/docker/volumes/x/_data", "volume"))
    assert not converge(host, wanted).plan.changed
    mounts[0]["Source"] = "/elsewhere"
    mounts.append(mount("/mine"))
    assert reasons(converge(host, wanted)) == [
        "mounts: /data: /elsewhere (read-write) by hand, should be /srv (read-write)",
        "mounts: /mine added by hand, should not be there",
    ]


def test_a_label_that_is_missing_is_named(host: FakeDocker) -> None:
    converge(host)
    del host.named(NAME)["Config"]["Labels"][spec.IMAGE_DIGEST]
    assert reasons(converge(host)) == ['image digest: "" by hand, should be v1:1']


def test_the_order_of_settings_does_not_count(host: FakeDocker) -> None:
    converge(host)
    assert not converge(host, changed(environment=dict(reversed(SPEC.environment.items())))).plan.changed  # type: ignore[call-overload]


def test_what_docker_is_asked_for() -> None:
    wanted = ContainerSpec(
        name=NAME,
        resource="postgis",
        image=OLD,
        network="poppyfield",
        network_aliases=("postgis",),
        command=("postgres",),
        capabilities=("SETUID",),
        environment={"B": "2", "A": "1"},
        mounts=(Mount("/srv", "/data", read_only=False),),
        tmpfs={"/tmp": "mode=1777"},
        ports=(Port("0.0.0.0", 80, 8080),),
        health=HealthTiming(timeout=3, retries=2),
        shm_size=64,
        stop_timeout=20,
        memory_limit=256,
    )
    image = {"Id": "sha256:1"}
    assert spec.container_body(wanted, image) == {
        "Image": OLD,
        "Cmd": ["postgres"],
        "Env": ["A=1", "B=2"],
        "Labels": spec.labels(wanted, image),
        "StopTimeout": 20,
        "Healthcheck": {"Timeout": 3_000_000_000, "Retries": 2},
        "ExposedPorts": {"8080/tcp": {}},
        "HostConfig": {
            "Mounts": [{"Type": "bind", "Source": "/srv", "Target": "/data", "ReadOnly": False}],
            "Tmpfs": {"/tmp": "mode=1777"},
            "PortBindings": {"8080/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]},
            "RestartPolicy": {"Name": "no"},
            "NetworkMode": "poppyfield",
            "CapDrop": ["ALL"],
            "CapAdd": ["SETUID"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "ShmSize": 64,
            "Memory": 256,
            "PidsLimit": 512,
        },
        "NetworkingConfig": {"EndpointsConfig": {"poppyfield": {"Aliases": ["postgis"]}}},
    }


# States -------------------------------------------------------------------------------------------------------------


def test_stopped_stays_stopped_over_a_reboot_and_starts_again(host: FakeDocker) -> None:
    converge(host)
    outcome = converge(host, state=State.STOPPED)
    assert reasons(outcome) == ["restart policy: always -> no", f"container {NAME}: started -> stopped"]
    assert not converge(host, state=State.STOPPED).plan.changed
    host.boot()
    assert host.names() == {NAME: False}
    converge(host)
    assert host.names() == {NAME: True}
    assert not converge(host).plan.changed


def test_stopped_from_nothing_creates_and_does_not_start(host: FakeDocker) -> None:
    converge(host, state=State.STOPPED)
    assert host.names() == {NAME: False}
    assert not converge(host, state=State.STOPPED).plan.changed


def test_absent_removes_the_container_and_keeps_the_network(host: FakeDocker) -> None:
    converge(host)
    outcome = converge(host, state=State.ABSENT)
    assert reasons(outcome) == [f"container {NAME}: present -> absent"]
    assert outcome.result()["diff"] == {"before": {"containers": [NAME]}, "after": {"containers": []}}
    assert host.names() == {}
    assert "poppyfield" in host.networks_by_name
    assert host.calls[-2:] == [f"stop {NAME}", f"remove {NAME}"]
    assert not converge(host, state=State.ABSENT).plan.changed


def test_recreate_never_warns_and_changes_nothing(host: FakeDocker) -> None:
    converge(host)
    outcome = converge(host, changed(shm_size=128), recreate=Recreate.NEVER)
    assert not outcome.plan.changed
    assert outcome.plan.warnings == ("Not applied, because recreate is never: shared memory: 64 -> 128",)
    assert outcome.plan.after == outcome.plan.before


def test_recreate_never_still_changes_what_needs_no_new_container(host: FakeDocker) -> None:
    converge(host, state=State.STOPPED)
    host.networks_by_name.clear()
    predicted = predict(host, changed(shm_size=128), DesiredState(recreate=Recreate.NEVER))
    assert predicted is not None
    assert predicted.reasons == (
        "network poppyfield: absent -> present",
        "restart policy: no -> always",
        f"container {NAME}: stopped -> started",
    )
    assert len(predicted.warnings) == 2


def test_recreate_always_replaces(host: FakeDocker) -> None:
    converge(host)
    before = host.named(NAME)["Id"]
    assert reasons(converge(host, recreate=Recreate.ALWAYS)) == ["recreate: always"]
    assert host.named(NAME)["Id"] != before


def test_a_container_that_somebody_stopped_is_started(host: FakeDocker) -> None:
    converge(host)
    host.named(NAME)["State"]["Running"] = False
    assert reasons(converge(host)) == [f"container {NAME}: stopped -> started"]


# What is not ours ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", [NAME, PREVIOUS])
def test_a_container_that_is_not_ours_is_an_error_and_stays(host: FakeDocker, name: str, state: State) -> None:
    converge(host, changed(name=name))
    host.named(name)["Config"]["Labels"] = {"com.example": "theirs"}
    before, calls = host.names(), list(host.calls)
    with pytest.raises(PlanError, match=f"named {name} exists that Poppyfield did not make"):
        converge(host, state=state)
    assert (host.names(), host.calls) == (before, calls)


def test_a_container_of_another_of_our_resources_is_an_error(host: FakeDocker) -> None:
    converge(host, changed(resource="lizmap"))
    with pytest.raises(PlanError, match="did not make"):
        converge(host)


def test_a_network_that_is_not_ours_is_an_error(host: FakeDocker) -> None:
    host.create_network("poppyfield", "bridge", {}, True)
    with pytest.raises(PlanError, match="network named poppyfield exists that Poppyfield did not make"):
        converge(host)
    assert host.names() == {}


def test_a_data_folder_in_use_by_another_container_is_refused(host: FakeDocker) -> None:
    converge(host, changed(name="somebody-else"))
    with pytest.raises(PlanError, match="/srv is in use by the running container somebody-else"):
        converge(host)
    assert host.names() == {"somebody-else": True}


def test_a_network_that_is_not_ours_does_not_keep_a_container_from_going(host: FakeDocker) -> None:
    converge(host)
    host.networks_by_name["poppyfield"]["Labels"] = {}
    converge(host, state=State.ABSENT)
    assert host.names() == {}


@pytest.mark.parametrize(
    ("mounts", "used"),
    [
        ([mount("/x", "/srv")], True),
        ([mount("/x", "/srv/inside")], True),
        ([{**mount("/x", "/srv"), "RW": False}], False),
        ([mount("/x", "/srv2"), mount("/y", "/"), mount("/z", "", "tmpfs")], False),
        ([{**mount("/x", "/srv"), "RW": False}, mount("/y", "/srv/deep/inside")], True),
        (None, False),
    ],
)
def test_which_neighbours_use_a_data_folder(host: FakeDocker, mounts: list[dict[str, Any]] | None, used: bool) -> None:
    converge(host)
    snapshot = container_module.take_snapshot(Engine(host, errors), SPEC)
    neighbour = {"Id": "0123456789abcdef", "Names": ["/Xerxes"], "Mounts": mounts}
    for names, called in ((["/Xerxes"], "Xerxes"), (None, "0123456789ab")):
        beside = dataclasses.replace(snapshot, neighbours=[*snapshot.neighbours, {**neighbour, "Names": names}])
        if used:
            with pytest.raises(PlanError, match=f"in use by the running container {called}\\. "):
                plan.plan(SPEC, beside, DesiredState())
        else:
            assert not plan.plan(SPEC, beside, DesiredState()).changed
        assert plan.plan(SPEC, beside, DesiredState(State.ABSENT)).changed


def test_an_image_that_was_not_delivered_is_an_error_and_predicted_in_check_mode(host: FakeDocker) -> None:
    converge(host)
    missing = changed(image="poppyfield/postgis:none")
    with pytest.raises(PlanError, match="deliver it first"):
        converge(host, missing)
    predicted = predict(host, missing, DesiredState())
    assert predicted is not None
    assert predicted.changed
    assert any("image: " in reason for reason in predicted.reasons)


def test_a_folder_that_does_not_exist_is_refused_before_anything_stops(host: FakeDocker) -> None:
    converge(host)
    calls = list(host.calls)
    with pytest.raises(PlanError, match="/no/such/folder"):
        converge(host, changed(mounts=(Mount("/no/such/folder", "/data", read_only=False),)))
    assert host.calls == calls


# Folders, however they are written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["/srv/", "//srv", "///srv//", "/srv/.", "/./srv", "/x/../srv", "/../srv"])
def test_a_folder_is_the_same_however_it_is_written(host: FakeDocker, written: str) -> None:
    converge(host)
    mounts = (Mount(written, "/data/", read_only=False), Mount("/etc/.", "//secrets", read_only=True))
    wanted = changed(mounts=mounts, exclusive_folders=(written,))
    assert wanted == SPEC
    assert not converge(host, wanted).plan.changed
    # Also where it is made so, which Docker cleans.
    made = fresh()
    converge(made, wanted)
    assert not converge(made, wanted).plan.changed
    converge(host, changed(name="somebody-else", exclusive_folders=(), mounts=(), ports=()))
    theirs = host.named("somebody-else")
    theirs["Mounts"] = [mount("/x", "/srv/inside")]
    with pytest.raises(PlanError, match="/srv is in use by the running container somebody-else"):
        converge(host, wanted)


def test_only_slashes_go_from_the_beginning_of_a_folder() -> None:
    assert spec.clean_path("//XX/srv/") == "/XX/srv"
    assert spec.clean_path("./srv/") == "./srv/"


def test_a_folder_that_docker_was_given_uncleaned_is_told_cleaned(host: FakeDocker) -> None:
    request = spec.container_body(SPEC, host.images_by_reference[OLD])
    request["HostConfig"]["Mounts"] = [
        {"Type": "bind", "Source": "//srv//x/./../data/", "Target": "/a/../data//x/", "ReadOnly": False}
    ]
    host.create_network("poppyfield", "bridge", {}, True)
    host.create_container_from_config(request, "theirs")
    seen = host.inspect_container("theirs")
    assert [(m["Source"], m["Destination"]) for m in seen["Mounts"]] == [("/srv/data", "/data/x")]
    assert seen["HostConfig"]["Mounts"][0]["Source"] == "//srv//x/./../data/"


@pytest.mark.parametrize("source", ["srv", "./srv", "~/srv", ""])
def test_a_folder_that_is_not_absolute_is_refused_by_name(host: FakeDocker, source: str) -> None:
    converge(host)
    calls = list(host.calls)
    wanted = changed(mounts=(Mount(source, "/data", read_only=False),), exclusive_folders=(source,))
    said = f'"{source}" cannot be mounted at /data: it must be an absolute path.'
    with pytest.raises(PlanError, match=f"^{re.escape(said)}$"):
        converge(host, wanted)
    with pytest.raises(PlanError, match="must be an absolute path"):
        container_module.bare_host(wanted, DesiredState(), "No Docker yet.")
    assert host.calls == calls
    converge(host, wanted, State.ABSENT)
    assert host.names() == {}


# The rollback -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(ends_with=3, log="FATAL: broken\n"), Behaviour(looks_until_healthy=-1, log="FATAL: broken\n")],
    ids=["ends", "never healthy"],
)
def test_a_new_container_that_fails_gives_way_to_the_old_one(host: FakeDocker, behaviour: Behaviour) -> None:
    converge(host)
    before = host.named(NAME)["Id"]
    host.behaviours[NEW] = behaviour
    with pytest.raises(ApplyError) as raised:
        converge(host, changed(image=NEW))
    assert "FATAL: broken" in str(raised.value)
    assert "The old container was put back and serves again." in str(raised.value)
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Id"] == before
    assert host.named(NAME)["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert not converge(host).plan.changed


def test_a_port_that_is_taken_gives_way_to_the_old_one(host: FakeDocker) -> None:
    converge(host)
    host.taken_ports.add("81")
    with pytest.raises(ApplyError, match="address already in use"):
        converge(host, changed(ports=(Port("0.0.0.0", 81, 8080),)))
    assert not converge(host).plan.changed


def test_without_an_old_one_the_failed_container_stays_to_be_looked_at(host: FakeDocker) -> None:
    host.behaviours[OLD] = Behaviour(ends_with=1, log="no space")
    with pytest.raises(ApplyError, match="no other container to roll back to"):
        converge(host)
    host.behaviours[OLD] = Behaviour()
    converge(host)
    assert host.names() == {NAME: True}


def steps_of_a_replacement() -> list[str]:
    docker = fresh()
    converge(docker)
    made = len(docker.calls)
    converge(docker, changed(image=NEW))
    return docker.calls[made:]


REPLACEMENT = steps_of_a_replacement()


def test_a_replacement_has_these_steps() -> None:
    assert [
        f"stop {NAME}",
        f"rename {NAME} to {PREVIOUS}",
        f"create {NAME}",
        f"restart policy of {PREVIOUS}: no",
        f"restart policy of {NAME}: always",
        f"start {NAME}",
        f"remove {PREVIOUS}",
    ] == REPLACEMENT


@pytest.mark.parametrize("state", [State.STOPPED, State.ABSENT])
def test_a_stop_that_docker_refuses_is_told_as_what_it_is(host: FakeDocker, state: State) -> None:
    converge(host)
    host.refuse = f"stop {NAME}"
    said = f"refused to stop {NAME}\nThere is no other container to roll back to; {NAME} is left to look at."
    with pytest.raises(ApplyError, match=re.escape(said)):
        converge(host, state=state)
    assert host.names() == {NAME: True}


@pytest.mark.parametrize("step", REPLACEMENT)
def test_docker_refuses_one_step_and_the_old_one_serves(host: FakeDocker, step: str) -> None:
    converge(host)
    host.refuse = step
    with pytest.raises(ApplyError, match="refused to"):
        converge(host, changed(image=NEW))
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == OLD
    converge(host, changed(image=NEW))
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == NEW


@pytest.mark.crash_point
@pytest.mark.parametrize("step", range(1, len(REPLACEMENT) + 1))
@pytest.mark.parametrize("reboots", [True, False], ids=["power cut", "killed"])
@pytest.mark.parametrize("next_image", [NEW, OLD], ids=["again", "back"])
@pytest.mark.parametrize("new_is_broken", [False, True], ids=["good", "broken"])
def test_a_run_cut_off_after_any_step_is_mended_by_the_next(
    host: FakeDocker, step: int, reboots: bool, next_image: str, new_is_broken: bool
) -> None:
    converge(host)
    new_is_broken = new_is_broken and step < len(REPLACEMENT)
    if new_is_broken:
        host.behaviours[NEW] = Behaviour(ends_with=1)
    host.power_cut_after = step
    with pytest.raises(PowerCut):
        converge(host, changed(image=NEW))
    host.come_back()
    if reboots:
        host.boot()
    serving = [name for name, runs in host.names().items() if runs]
    assert len(serving) <= 1
    # Only while the policy is handed over from the old container to the new one is there nothing to start.
    assert serving or not reboots or REPLACEMENT[step - 1].startswith("restart policy of ")
    if new_is_broken and next_image == NEW:
        with pytest.raises(ApplyError):
            converge(host, changed(image=NEW))
        assert host.named(NAME)["Config"]["Image"] == OLD
    else:
        converge(host, changed(image=next_image))
        assert host.named(NAME)["Config"]["Image"] == next_image
        assert not converge(host, changed(image=next_image)).plan.changed
    assert host.names() == {NAME: True}
    assert host.named(NAME)["HostConfig"]["RestartPolicy"]["Name"] == "always"


@pytest.mark.crash_point
@pytest.mark.parametrize("first", range(1, len(REPLACEMENT)))
@pytest.mark.parametrize("second", range(1, 6))
def test_two_runs_cut_off_one_after_the_other_are_mended(host: FakeDocker, first: int, second: int) -> None:
    converge(host)
    for step in (first, second):
        host.power_cut_after = step
        try:
            converge(host, changed(image=NEW))
        except PowerCut:
            host.boot()
        host.come_back()
    converge(host, changed(image=NEW))
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == NEW


@pytest.mark.crash_point
@pytest.mark.parametrize("first", range(1, len(REPLACEMENT)))
@pytest.mark.parametrize("state", [State.STOPPED, State.ABSENT])
def test_a_run_cut_off_is_mended_by_one_that_wants_another_state(host: FakeDocker, first: int, state: State) -> None:
    converge(host)
    host.power_cut_after = first
    with pytest.raises(PowerCut):
        converge(host, changed(image=NEW))
    host.boot()
    converge(host, changed(image=NEW), state=state)
    assert host.names() == ({NAME: False} if state is State.STOPPED else {})
    assert not converge(host, changed(image=NEW), state=state).plan.changed


def cut_off(host: FakeDocker, step: int) -> None:
    """Leave what a replacement of the old image by the new one leaves when it is killed after this step."""
    converge(host)
    host.power_cut_after = step
    with pytest.raises(PowerCut):
        converge(host, changed(image=NEW))
    host.come_back()


def test_a_container_set_aside_that_somebody_started_is_stopped_first(host: FakeDocker) -> None:
    cut_off(host, 4)
    host.named(PREVIOUS)["State"]["Running"] = True
    converge(host, changed(image=NEW))
    assert host.names() == {NAME: True}


def test_of_two_the_one_in_place_must_prove_itself_before_the_other_goes(host: FakeDocker) -> None:
    host.behaviours[NEW] = Behaviour(looks_until_healthy=-1)
    cut_off(host, 5)
    with pytest.raises(ApplyError, match="put back and serves again"):
        converge(host, changed(image=NEW))
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == OLD


def test_of_two_the_one_set_aside_is_gone_back_to_when_the_one_in_place_is_bad(host: FakeDocker) -> None:
    host.behaviours[NEW] = Behaviour(looks_until_healthy=-1)
    cut_off(host, 5)
    host.add_image(THIRD, "3", Behaviour(ends_with=1))
    with pytest.raises(ApplyError, match="put back and serves again"):
        converge(host, changed(image=THIRD))
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == OLD


def test_a_network_that_was_recreated_replaces_the_container(host: FakeDocker) -> None:
    converge(host)
    host.networks_by_name["poppyfield"]["Id"] = "another"
    assert reasons(converge(host)) == ["network: poppyfield was recreated"]
    assert not converge(host).plan.changed


def test_a_container_that_restarts_again_and_again_is_restarted_once_more(host: FakeDocker) -> None:
    host.behaviours[OLD] = Behaviour(ends_with=1)
    with pytest.raises(ApplyError):
        converge(host)
    host.behaviours[OLD] = Behaviour()
    outcome = converge(host)
    assert reasons(outcome) == [f"container {NAME}: restarting again and again -> restarted{REPLACED_NEXT}"]
    assert host.calls[-2:] == [f"stop {NAME}", f"start {NAME}"]


# Ill as it is wanted ------------------------------------------------------------------------------------------------


def paused(host: FakeDocker) -> None:
    converge(host)
    host.pause(NAME)


def unhealthy(host: FakeDocker, until: str = "restart") -> None:
    converge(host)
    host.fall_ill(NAME, until)


def incurable(host: FakeDocker) -> None:
    """Have what no new container mends, such as a database that is gone."""
    unhealthy(host, "replacement")
    host.behaviours[OLD] = Behaviour(looks_until_healthy=-1, log="no database")


def since(host: FakeDocker, before: list[str]) -> list[str]:
    return host.calls[len(before) :]


RESTARTED = [f"stop {NAME}", f"start {NAME}"]


def test_a_container_that_somebody_paused_is_unpaused(host: FakeDocker) -> None:
    paused(host)
    # Docker restarted it long ago, which does not say that it does so again.
    host.named(NAME)["RestartCount"] = 2
    calls = list(host.calls)
    outcome = converge(host)
    said = [f"container {NAME}: paused -> unpaused; if that does not help, restarted, then replaced"]
    assert reasons(outcome) == outcome.result()["reasons"] == said
    assert outcome.result()["steps"] == [f"unpause {NAME}", f"wait until {NAME} is healthy"]
    assert outcome.result()["container"]["health"] == "healthy"
    assert since(host, calls) == [f"unpause {NAME}"]
    assert not converge(host).plan.changed


def test_one_that_is_not_healthy_when_it_was_unpaused_is_restarted(host: FakeDocker) -> None:
    paused(host)
    host.fall_ill(NAME, "restart")
    calls = list(host.calls)
    outcome = converge(host)
    assert since(host, calls) == [f"unpause {NAME}", *RESTARTED]
    assert outcome.result()["reasons"][1:] == [f"container {NAME}: still not healthy -> restarted"]
    assert not converge(host).plan.changed


def test_a_container_that_is_unhealthy_is_restarted(host: FakeDocker) -> None:
    unhealthy(host)
    before, calls = host.named(NAME)["Id"], list(host.calls)
    outcome = converge(host)
    assert reasons(outcome) == [f"container {NAME}: unhealthy -> restarted{REPLACED_NEXT}"]
    assert outcome.result()["steps"] == [*RESTARTED, f"wait until {NAME} is healthy"]
    assert outcome.outage > 0
    assert since(host, calls) == RESTARTED
    assert host.named(NAME)["Id"] == before
    assert not converge(host).plan.changed


def test_a_container_that_a_restart_does_not_mend_is_replaced(host: FakeDocker) -> None:
    unhealthy(host, "replacement")
    before, calls = host.named(NAME)["Id"], list(host.calls)
    result = converge(host).result()
    assert result["reasons"] == [
        f"container {NAME}: unhealthy -> restarted{REPLACED_NEXT}",
        f"container {NAME}: still not healthy -> replaced",
    ]
    assert since(host, calls) == [*RESTARTED, *REPLACEMENT]
    assert [step for step in result["steps"] if step.startswith(("stop", "wait", "remove"))] == [
        f"stop {NAME}",
        f"wait until {NAME} is healthy",
        f"stop {NAME}",
        f"wait until {NAME} is healthy",
        f"remove {PREVIOUS}",
    ]
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Id"] != before
    assert not converge(host).plan.changed


def test_a_container_that_nothing_mends_is_left_as_it_was_with_what_was_tried(host: FakeDocker) -> None:
    incurable(host)
    before = host.named(NAME)["Id"]
    with pytest.raises(ApplyError) as raised:
        converge(host)
    lines = str(raised.value).splitlines()
    assert lines[:2] == [
        f"container {NAME}: unhealthy -> restarted{REPLACED_NEXT}",
        f"container {NAME}: still not healthy -> replaced",
    ]
    assert lines[2].startswith(f"The container {NAME} did not become healthy: it was not healthy after 30 seconds")
    assert lines[-1] == "The old container was put back; it was not healthy before either."
    assert (host.names(), host.named(NAME)["Id"]) == ({NAME: True}, before)


@pytest.mark.parametrize(
    ("make", "tried"), [(unhealthy, RESTARTED), (paused, [f"unpause {NAME}", *RESTARTED])], ids=["unhealthy", "paused"]
)
def test_recreate_never_replaces_none_that_is_ill(
    host: FakeDocker, make: Callable[[FakeDocker], None], tried: list[str]
) -> None:
    make(host)
    host.fall_ill(NAME, "replacement")
    calls = list(host.calls)
    with pytest.raises(ApplyError, match="The old container was not touched"):
        converge(host, recreate=Recreate.NEVER)
    assert since(host, calls) == tried


def test_what_a_run_announces_that_replaces_none(host: FakeDocker) -> None:
    unhealthy(host)
    assert reasons(converge(host, recreate=Recreate.NEVER)) == [f"container {NAME}: unhealthy -> restarted"]
    host.pause(NAME)
    said = f"container {NAME}: paused -> unpaused; if that does not help, restarted"
    assert reasons(converge(host, recreate=Recreate.NEVER)) == [said]


# Docker takes minutes until it calls one unhealthy.
@pytest.mark.parametrize("status", ["starting", "unhealthy"])
def test_one_for_which_waiting_does_not_help_begins_again_and_is_not_replaced(host: FakeDocker, status: str) -> None:
    planned = planned_for(host, status)
    assert planned.reasons == (f"container {NAME}: failed for good -> restarted",)
    assert [str(step) for step in planned.steps] == [*RESTARTED, f"wait until {NAME} is healthy"]
    assert planned.otherwise is None


def test_one_that_was_found_hopeless_once_and_still_counts_as_healthy_is_left_alone(host: FakeDocker) -> None:
    assert planned_for(host, "healthy").steps == ()


def planned_for(host: FakeDocker, status: str) -> plan.Plan:
    """Plan for a container of this health, whose last health check said that waiting does not help."""
    converge(host)
    snapshot = container_module.take_snapshot(Engine(host, errors), SPEC)
    assert snapshot.current
    state = snapshot.current["State"]
    probe = {"Start": state["StartedAt"], "ExitCode": HOPELESS, "Output": "10-gis.sql could not be loaded"}
    state["Health"] = {"Status": status, "Log": [probe]}
    return plan.plan(SPEC, snapshot, DesiredState())


def test_a_restart_that_was_asked_for_of_an_ill_one_is_the_one_restart(host: FakeDocker) -> None:
    unhealthy(host, "replacement")
    calls = list(host.calls)
    converge(host, restart=True)
    assert since(host, calls) == [*RESTARTED, *REPLACEMENT]


def test_one_that_is_starting_is_waited_for(host: FakeDocker) -> None:
    converge(host)
    host.behaviours[OLD] = Behaviour(looks_until_healthy=5)
    host.stop(NAME, 1)
    host.start(NAME)
    calls = list(host.calls)
    assert not converge(host).plan.changed
    assert since(host, calls) == []


def test_an_ill_one_is_not_gone_on_with_where_there_is_one_to_roll_back_to(host: FakeDocker) -> None:
    converge(host)
    converge(host, WANT_NEW, keep_previous=True)
    host.behaviours[NEW] = Behaviour(looks_until_healthy=-1)
    host.fall_ill(NAME, "replacement")
    calls = list(host.calls)
    with pytest.raises(ApplyError, match="The old container was put back and serves again"):
        converge(host, WANT_NEW, keep_previous=True)
    assert since(host, calls)[:2] == RESTARTED
    assert f"create {NAME}" not in since(host, calls)
    assert host.named(NAME)["Config"]["Image"] == OLD


def test_one_that_is_kept_stays_when_the_one_in_place_is_mended(host: FakeDocker) -> None:
    converge(host)
    converge(host, WANT_NEW, keep_previous=True)
    host.fall_ill(NAME, "restart")
    assert reasons(converge(host, WANT_NEW, keep_previous=True)) == [
        f"{PREVIOUS}: kept by an earlier run, or left by one that was cut off",
        f"container {NAME}: unhealthy -> restarted",
    ]
    assert host.names() == {NAME: True, PREVIOUS: False}


def test_a_new_one_that_is_tried_beside_a_paused_one_and_fails_leaves_it_serving(host: FakeDocker) -> None:
    converge(host, BESIDE)
    host.pause(NAME)
    host.behaviours[NEW] = Behaviour(ends_with=3)
    with pytest.raises(ApplyError, match="The old container was put back and serves again"):
        converge(host, BESIDE_NEW)
    assert not host.named(NAME)["State"]["Paused"]


def test_an_unpausing_that_docker_refuses_is_tried_again_in_the_rollback(host: FakeDocker) -> None:
    paused(host)
    host.refuse = f"unpause {NAME}"
    with pytest.raises(ApplyError, match=r"refused to unpause(.|\n)*put back and serves again"):
        converge(host)
    assert not host.named(NAME)["State"]["Paused"]


# As many changes as a restart and a replacement make.
@pytest.mark.crash_point
@pytest.mark.parametrize("reboots", [True, False], ids=["power cut", "killed"])
@pytest.mark.parametrize("changes", range(1, 10))
def test_a_mending_that_is_cut_off_is_finished_by_further_runs(host: FakeDocker, changes: int, reboots: bool) -> None:
    unhealthy(host, "replacement")
    host.power_cut_after = changes
    with pytest.raises(PowerCut):
        converge(host)
    host.boot() if reboots else host.come_back()
    # What is found starting is waited for first, and takes a run of its own.
    for _ in range(2):
        with contextlib.suppress(ApplyError):
            converge(host)
    assert not converge(host).plan.changed
    assert host.names() == {NAME: True}


def test_the_service_gap_of_a_replacement_is_measured(host: FakeDocker) -> None:
    converge(host)
    host.behaviours[NEW] = Behaviour(looks_until_healthy=5)
    assert converge(host, changed(image=NEW)).outage >= 4


@pytest.mark.crash_point
@pytest.mark.parametrize("step", REPLACEMENT[:-1])
def test_docker_is_restarted_in_the_middle_and_the_old_one_serves(host: FakeDocker, step: str) -> None:
    converge(host)
    host.gone_after = step
    # Docker may have started it by then.
    served = r"The old container was (put back and serves again|not touched and serves)"
    with pytest.raises(ApplyError, match=rf"stopped answering(.|\n)*{served}"):
        converge(host, changed(image=NEW))
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == OLD


def test_docker_that_does_not_come_back_is_said_and_mended_by_the_next_run(host: FakeDocker) -> None:
    converge(host)
    host.gone_after, host.unanswered = f"stop {NAME}", 10_000
    with pytest.raises(ApplyError, match=r"could not be put back: .* Run the same play again"):
        converge(host, changed(image=NEW))
    host.unanswered = 0
    converge(host, changed(image=NEW))
    assert host.names() == {NAME: True}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("Names"), "An error that Poppyfield did not expect ended the run: KeyError: 'Names'."),
        (ValueError("bad\n"), "An error that Poppyfield did not expect ended the run: ValueError: bad."),
        (RecursionError(), "An error that Poppyfield did not expect ended the run: RecursionError."),
        (SystemExit(3), "An error that Poppyfield did not expect ended the run: SystemExit: 3."),
        (KeyboardInterrupt(), "The run was interrupted."),
        (InterruptedRunError("signal 15"), "The run was interrupted."),
    ],
)
def test_what_ended_a_run_is_told(host: FakeDocker, error: BaseException, said: str) -> None:
    converge(host)

    def fail(*_: Any) -> None:
        raise error

    host.__dict__["rename"] = fail
    with pytest.raises(ApplyError) as raised:
        converge(host, WANT_NEW)
    assert str(raised.value).splitlines() == [said, "The old container was put back and serves again."]
    assert raised.value.__cause__ is error


def test_a_rollback_that_fails_by_itself_does_not_hide_why_the_run_did(host: FakeDocker) -> None:
    converge(host)
    host.refuse = f"create {NAME}"
    renamed = host.rename

    def fail(name: str, new: str) -> None:
        if new == NAME:
            raise KeyError("Names")
        renamed(name, new)

    host.__dict__["rename"] = fail
    said = "could not be put back: An error that Poppyfield did not expect ended the run: KeyError: 'Names'."
    with pytest.raises(
        ApplyError, match=rf"refused to create {NAME}\nThe old container {said} Run the same play again"
    ):
        converge(host, WANT_NEW)
    del host.__dict__["rename"]
    converge(host, WANT_NEW)
    assert host.names() == {NAME: True}


def test_what_controls_a_terminal_does_not_get_into_a_message(host: FakeDocker) -> None:
    converge(host)
    host.behaviours[NEW] = Behaviour(
        ends_with=3, log="\x1b[31mFATAL\x1b[0m: \x1b]0;owned\x07bro\x9b2Jken\x08\n\tat x\r\n"
    )
    with pytest.raises(ApplyError, match=r"Its last log lines:\nFATAL: broken\n\tat x\n"):
        converge(host, WANT_NEW)


def test_the_lock_is_in_a_folder_that_nobody_else_looks_into(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    for mode in (0o755, 0o777):
        with container_lock(NAME, 0, folder=folder):
            assert folder.stat().st_mode & 0o777 == 0o700
            assert (folder / f"{NAME}.lock").read_text() == str(os.getpid())
        folder.chmod(mode)


@pytest.mark.attack(kind="lock that another user holds", on="Pi")
@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_no_other_user_of_the_host_holds_a_lock() -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        # As in /run/lock, where everybody may read, and in root's own folder.
        for folder, held in ((Path(name) / "everybody's", b"held\n"), (Path(name) / "locks", b"")):
            with container_lock(NAME, 0, folder=folder):
                pass
            if held:
                folder.chmod(0o755)
                (folder / f"{NAME}.lock").chmod(0o644)
            command = ["flock", str(folder / f"{NAME}.lock"), "sh", "-c", "echo held; cat"]
            with subprocess.Popen(command, **pipes, **nobody) as other:
                assert other.stdout is not None
                assert other.stdout.readline() == held
                refused = pytest.raises(ApplyError) if held else contextlib.nullcontext()
                with refused, container_lock(NAME, 0, folder=folder):
                    pass


def test_a_folder_of_locks_that_is_somebody_elses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "theirs"
    theirs.symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for folder in (theirs, tmp_path / "file"):
        with (
            pytest.raises(ApplyError, match=rf"{folder}.*(others could hold up every run|File exists)"),
            container_lock(NAME, 0, folder=folder),
        ):
            pass
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with (
        pytest.raises(ApplyError, match="others could hold up every run: remove it"),
        container_lock(NAME, 0, folder=tmp_path),
    ):
        pass


def test_a_folder_of_locks_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    said = r"cannot be made in .*none/locks: No such file or directory\. Run this as root"
    with pytest.raises(ApplyError, match=said), container_lock(NAME, 0, folder=tmp_path / "none" / "locks"):
        pass


def test_two_runs_never_work_on_one_container_at_once(tmp_path: Path) -> None:
    busy = rf"Another run has been working on the container {NAME} for 0 seconds \(process {os.getpid()}\)\. Nothing"
    with container_lock(NAME, 0, folder=tmp_path):
        with container_lock("websig-lizmap", 0, folder=tmp_path):
            pass
        with pytest.raises(ApplyError, match=busy), container_lock(NAME, 0, folder=tmp_path):
            pass
    with container_lock(NAME, 0, folder=tmp_path):
        pass


def test_a_run_waits_for_another_one_to_end(tmp_path: Path) -> None:
    with contextlib.ExitStack() as other:
        other.enter_context(container_lock(NAME, 0, folder=tmp_path))
        waited: list[float] = []

        def wait(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                other.close()

        with container_lock(NAME, 3, folder=tmp_path, clock=lambda: float(len(waited)), sleep=wait):
            assert len(waited) == 3


def test_an_image_that_goes_while_a_run_works_is_an_error_and_the_old_one_serves(host: FakeDocker) -> None:
    converge(host)
    wanted = changed(image=NEW)
    engine = Engine(host, errors)
    planned = plan.plan(wanted, container_module.take_snapshot(engine, wanted), DesiredState())
    host.remove_image(NEW)
    with pytest.raises(ApplyError, match=f"The image {NEW} is no longer on this host.\nThe old container was put back"):
        Applier(engine, wanted, healthy_timeout=30, sleep=lambda _: None).apply(planned)
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == OLD


# Tried beside the old one -------------------------------------------------------------------------------------------


def test_a_candidate_is_reached_by_nobody_and_changes_nothing() -> None:
    candidate = BESIDE.candidate()
    assert (candidate.name, candidate.ports, candidate.network_aliases) == (CANDIDATE, (), ())
    assert [mount.target for mount in candidate.mounts] == ["/projects"]
    assert candidate.tmpfs == {"/tmp": "mode=1777", "/config": "mode=0750"}
    assert candidate.environment == {"LANG": "C.UTF-8", "WORKERS": "0"}


def test_a_new_container_is_tried_beside_the_old_one_first(host: FakeDocker) -> None:
    converge(host, BESIDE)
    made = len(host.calls)
    converge(host, BESIDE_NEW)
    assert host.calls[made : made + 5] == [
        f"create {CANDIDATE}",
        f"start {CANDIDATE}",
        f"stop {CANDIDATE}",
        f"remove {CANDIDATE}",
        f"stop {NAME}",
    ]
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == NEW


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(ends_with=3, log="FATAL: broken\n"), Behaviour(looks_until_healthy=-1, log="FATAL: broken\n")],
    ids=["ends", "never healthy"],
)
def test_a_candidate_that_fails_costs_no_second_of_service(host: FakeDocker, behaviour: Behaviour) -> None:
    converge(host, BESIDE)
    host.behaviours[NEW] = behaviour
    made = len(host.calls)
    with pytest.raises(ApplyError, match=r"FATAL: broken\nThe old container was not touched and serves\.") as raised:
        converge(host, BESIDE_NEW)
    assert f"The container {CANDIDATE} did not become healthy" in str(raised.value)
    assert not [call for call in host.calls[made:] if NAME in call.split()]
    assert host.names() == {NAME: True}


def test_an_old_container_that_does_not_run_is_replaced_without_a_trial(host: FakeDocker) -> None:
    converge(host, BESIDE)
    host.named(NAME)["State"]["Running"] = False
    converge(host, BESIDE_NEW)
    assert f"create {CANDIDATE}" not in host.calls


def test_a_candidate_left_by_a_run_that_was_cut_off_goes(host: FakeDocker) -> None:
    converge(host, BESIDE)
    host.power_cut_after = 2
    with pytest.raises(PowerCut):
        converge(host, BESIDE_NEW)
    host.come_back()
    assert host.names() == {NAME: True, CANDIDATE: True}
    assert reasons(converge(host, BESIDE)) == [f"{CANDIDATE}: left by a run that was cut off"]
    assert host.names() == {NAME: True}


def test_a_candidate_goes_also_where_none_is_tried_any_more(host: FakeDocker) -> None:
    converge(host, BESIDE)
    host.power_cut_after = 2
    with pytest.raises(PowerCut):
        converge(host, BESIDE_NEW)
    host.come_back()
    without = dataclasses.replace(BESIDE, proof=None)
    assert reasons(converge(host, without)) == [f"{CANDIDATE}: left by a run that was cut off"]
    assert host.names() == {NAME: True}


def test_how_a_container_is_replaced_is_no_reason_to_replace_it(host: FakeDocker) -> None:
    converge(host, BESIDE)
    assert not converge(host, dataclasses.replace(BESIDE, proof=None)).plan.changed


# Kept until somebody has looked ------------------------------------------------------------------------------------


def test_the_old_one_is_kept_stopped_over_reboots_and_further_runs(host: FakeDocker) -> None:
    converge(host)
    outcome = converge(host, WANT_NEW, keep_previous=True)
    assert outcome.previous == PREVIOUS
    assert host.names() == {NAME: True, PREVIOUS: False}
    host.boot()
    host.inspect_container(NAME)
    again = converge(host, WANT_NEW, keep_previous=True)
    assert (again.plan.changed, again.previous) == (False, PREVIOUS)
    assert host.names() == {NAME: True, PREVIOUS: False}


def hold(host: FakeDocker, wanted: ContainerSpec) -> container_module.Outcome:
    """Call the module as one does who looks at the old container first."""
    engine = Engine(host, errors, host.execute)  # type: ignore[arg-type]
    desired, seconds = DesiredState(keep_previous=True), iter(range(60))
    timing = {"healthy_timeout": 30, "clock": lambda: float(next(seconds)), "sleep": lambda _: None}
    return container_module.converge(engine, wanted, desired, hold=True, **timing)  # type: ignore[arg-type]


def test_a_replacement_is_held_while_the_old_one_runs_and_nothing_is_kept(host: FakeDocker) -> None:
    assert not hold(host, SPEC).held and host.names() == {NAME: True}
    before = host.inspect_container(NAME)["Id"]
    held = hold(host, WANT_NEW)
    assert held.held and not held.plan.changed
    assert host.names() == {NAME: True} and host.inspect_container(NAME)["Id"] == before
    converge(host, WANT_NEW, keep_previous=True)
    host.add_image(THIRD, "3")
    assert not hold(host, changed(image=THIRD)).held
    assert host.inspect_container(NAME)["Config"]["Image"] == THIRD


def test_one_that_does_not_run_holds_nothing(host: FakeDocker) -> None:
    converge(host)
    converge(host, state=State.STOPPED)
    assert not hold(host, WANT_NEW).held


def test_where_nothing_is_replaced_nothing_is_kept(host: FakeDocker) -> None:
    assert converge(host, keep_previous=True).previous == ""
    assert converge(host, keep_previous=True).previous == ""
    assert host.names() == {NAME: True}


def test_one_that_is_kept_comes_back_when_the_one_in_place_is_ill_and_its_successor_bad(host: FakeDocker) -> None:
    converge(host)
    converge(host, WANT_NEW, keep_previous=True)
    host.behaviours[NEW] = Behaviour(looks_until_healthy=-1)
    while host.inspect_container(NAME)["State"]["Health"]["Status"] != "unhealthy":
        pass
    host.add_image(THIRD, "3", Behaviour(ends_with=1))
    with pytest.raises(ApplyError, match="put back and serves again"):
        converge(host, changed(image=THIRD), keep_previous=True)
    assert host.names() == {NAME: True}
    assert host.named(NAME)["Config"]["Image"] == OLD


@pytest.mark.parametrize("desired", [{"restart": True}, {"recreate": Recreate.ALWAYS}, {"state": State.ABSENT}])
def test_what_else_is_wanted_is_done_although_one_is_kept(host: FakeDocker, desired: dict[str, Any]) -> None:
    converge(host)
    converge(host, WANT_NEW, keep_previous=True)
    assert converge(host, WANT_NEW, keep_previous=True, **desired).plan.changed
    assert [name for name, runs in host.names().items() if runs] == ([] if "state" in desired else [NAME])


def test_a_cause_that_has_a_known_remedy_is_told_with_it(host: FakeDocker) -> None:
    converge(host)
    host.behaviours[NEW] = Behaviour(ends_with=1, log="cp: error writing: No space left on device")
    with pytest.raises(ApplyError, match=r"free some space on it\.\nThe old container was put back and serves again"):
        converge(host, WANT_NEW)
    host.taken_ports.add("81")
    with pytest.raises(ApplyError, match="Another program has this port"):
        converge(host, changed(ports=(Port("0.0.0.0", 81, 8080),)))


# Restart and memory -------------------------------------------------------------------------------------------------


def test_a_restart_that_was_asked_for_is_done_each_time(host: FakeDocker) -> None:
    converge(host)
    before = host.named(NAME)["Id"]
    for _ in range(2):
        assert reasons(converge(host, restart=True)) == ["restart: asked for"]
        assert host.calls[-2:] == [f"stop {NAME}", f"start {NAME}"]
    assert host.named(NAME)["Id"] == before


def test_a_restart_is_part_of_a_replacement_already(host: FakeDocker) -> None:
    converge(host)
    assert reasons(converge(host, changed(shm_size=128), restart=True)) == ["shared memory: 64 -> 128"]
    host.named(NAME)["State"]["Running"] = False
    assert reasons(converge(host, changed(shm_size=128), restart=True)) == [f"container {NAME}: stopped -> started"]


def test_a_restart_that_is_cut_off_by_a_signal_ends_with_a_container_that_runs(host: FakeDocker) -> None:
    converge(host)
    host.refuse = f"start {NAME}"
    with pytest.raises(ApplyError, match="put back and serves again"):
        converge(host, restart=True)
    assert host.names() == {NAME: True}


def test_a_restart_of_what_is_to_be_stopped_is_refused(host: FakeDocker) -> None:
    with pytest.raises(PlanError, match="restart needs the state started, not stopped"):
        converge(host, state=State.STOPPED, restart=True)


def test_a_limit_that_the_kernel_cannot_keep_is_not_set_and_said(host: FakeDocker) -> None:
    host.keeps_memory_limits = False
    outcome = converge(host)
    assert host.named(NAME)["HostConfig"]["Memory"] == 0
    assert [w for w in outcome.plan.warnings if "cgroup_enable=memory" in w] == list(outcome.plan.warnings) != []
    again = converge(host)
    assert not again.plan.changed
    assert again.plan.warnings == outcome.plan.warnings
    host.keeps_memory_limits = True
    assert reasons(converge(host)) == ["memory limit: 0 -> 256"]


@pytest.mark.parametrize(
    ("state", "healthy"),
    [
        ({"Running": True}, True),
        ({"Running": True, "Health": {"Status": "healthy"}}, True),
        ({"Running": True, "Health": {"Status": "none"}}, True),
        ({"Running": True, "Health": {"Status": "starting"}}, False),
        ({"Running": True, "Health": {"Status": "unhealthy"}}, False),
        ({"Running": False}, False),
        ({"Running": False, "Health": {"Status": "healthy"}}, False),
        ({"Running": True, "Restarting": True, "Health": {"Status": "healthy"}}, False),
        ({"Running": True, "Paused": True, "Health": {"Status": "healthy"}}, False),
        ({"Running": True, "Paused": False, "Health": {"Status": "healthy"}}, True),
    ],
)
def test_what_counts_as_healthy(state: dict[str, Any], healthy: bool) -> None:
    assert plan.is_healthy({"State": state}) is healthy


@pytest.mark.parametrize("step", [2, 6])
def test_mending_that_fails_goes_back_to_the_one_set_aside(host: FakeDocker, step: int) -> None:
    cut_off(host, step)
    host.refuse = f"start {NAME}"
    with pytest.raises(ApplyError, match="The old container was put back and serves again"):
        converge(host)
    assert host.names() == {NAME: True}


def test_mending_says_what_it_found(host: FakeDocker) -> None:
    cut_off(host, 6)
    said = f"{PREVIOUS}: kept by an earlier run, or left by one that was cut off"
    assert reasons(converge(host, changed(image=NEW))) == [said]


@pytest.mark.parametrize("step", [2, 3, 4])
def test_what_only_a_cut_leaves_is_said_to_be_left_by_one(host: FakeDocker, step: int) -> None:
    cut_off(host, step)
    assert reasons(converge(host, WANT_NEW))[0] == f"{PREVIOUS}: left by a run that was cut off"


def test_one_that_runs_beside_its_successor_is_not_said_to_be_kept(host: FakeDocker) -> None:
    cut_off(host, 6)
    host.named(PREVIOUS)["State"]["Running"] = True
    host.named(PREVIOUS)["Mounts"] = []
    assert reasons(converge(host, WANT_NEW)) == [f"{PREVIOUS}: left by a run that was cut off"]


def test_one_that_docker_would_start_is_not_said_to_be_kept(host: FakeDocker) -> None:
    cut_off(host, 6)
    host.update_container(PREVIOUS, {"Name": "always"})
    assert reasons(converge(host, WANT_NEW)) == [f"{PREVIOUS}: left by a run that was cut off"]


# What the steps are -------------------------------------------------------------------------------------------------


def healthy_after(host: FakeDocker, step: int) -> None:
    cut_off(host, step)
    for _ in range(2):
        host.inspect_container(NAME)


def rebooted_after(host: FakeDocker, step: int) -> None:
    cut_off(host, step)
    host.boot()


def paused_after(host: FakeDocker, step: int, name: str) -> None:
    rebooted_after(host, step)
    host.pause(name)


def ends_again_and_again(host: FakeDocker) -> None:
    host.behaviours[OLD] = Behaviour(ends_with=1)
    with pytest.raises(ApplyError):
        converge(host)


START, STOP = DesiredState(), DesiredState(State.STOPPED)
ABSENT, RESTART = DesiredState(State.ABSENT), DesiredState(restart=True)
SERVE = "set restart policy N: always, start N, wait until N is healthy"
REPLACE = f"rename N: P, create N, set restart policy P: no, {SERVE}, remove P"
HAND_BACK = "stop N, set restart policy N: no, set restart policy P: always, remove N"
# What there is, what is wanted, and the steps, in which N, P and C are the names of the one in place, of the one that
# is set aside, and of the candidate. A number is that of the change of a replacement after which it was cut off.
STEPS: list[tuple[Callable[[FakeDocker], object], ContainerSpec, DesiredState, str]] = [
    (lambda host: None, SPEC, START, f"create network poppyfield, create N, {SERVE}"),
    (lambda host: None, SPEC, STOP, "create network poppyfield, create N"),
    (deployed, SPEC, START, ""),
    (deployed, SPEC, RESTART, "stop N, start N, wait until N is healthy"),
    (deployed, SPEC, STOP, "stop N, set restart policy N: no"),
    (deployed, SPEC, ABSENT, "stop N, remove N"),
    (deployed, WANT_NEW, START, f"stop N, {REPLACE}"),
    (deployed, WANT_NEW, STOP, "stop N, rename N: P, create N, set restart policy P: no, remove P"),
    (stopped, SPEC, START, SERVE),
    (stopped, WANT_NEW, START, REPLACE),
    (ends_again_and_again, SPEC, START, "stop N, start N, wait until N is healthy"),
    (ends_again_and_again, WANT_NEW, START, f"stop N, {REPLACE}"),
    (
        deployed_beside,
        BESIDE_NEW,
        START,
        f"create C, start C, wait until C is healthy, stop C, remove C, stop N, {REPLACE}",
    ),
    (paused, SPEC, START, "unpause N, wait until N is healthy"),
    (paused, SPEC, RESTART, "stop N, start N, wait until N is healthy"),
    (paused, SPEC, STOP, "stop N, set restart policy N: no"),
    (paused, WANT_NEW, START, f"stop N, {REPLACE}"),
    (unhealthy, SPEC, START, "stop N, start N, wait until N is healthy"),
    (unhealthy, SPEC, STOP, "stop N, set restart policy N: no"),
    (unhealthy, WANT_NEW, START, f"stop N, {REPLACE}"),
    (lambda host: cut_off(host, 1), SPEC, START, "start N, wait until N is healthy"),
    (lambda host: cut_off(host, 2), SPEC, START, "rename P: N, start N, wait until N is healthy"),
    (lambda host: cut_off(host, 2), SPEC, STOP, "rename P: N, set restart policy N: no"),
    (lambda host: cut_off(host, 2), WANT_NEW, START, f"create N, set restart policy P: no, {SERVE}, remove P"),
    (lambda host: cut_off(host, 3), WANT_NEW, START, f"set restart policy P: no, {SERVE}, remove P"),
    (lambda host: rebooted_after(host, 3), WANT_NEW, START, f"stop P, set restart policy P: no, {SERVE}, remove P"),
    (lambda host: cut_off(host, 3), SPEC, START, "remove N, rename P: N, start N, wait until N is healthy"),
    (lambda host: cut_off(host, 4), WANT_NEW, START, f"{SERVE}, remove P"),
    (lambda host: cut_off(host, 6), WANT_NEW, START, "wait until N is healthy, remove P"),
    (lambda host: cut_off(host, 6), WANT_NEW, RESTART, "stop N, start N, wait until N is healthy, remove P"),
    (lambda host: cut_off(host, 6), WANT_NEW, STOP, "stop N, set restart policy N: no, remove P"),
    (lambda host: cut_off(host, 6), WANT_NEW, ABSENT, "stop N, remove N, remove P"),
    (
        lambda host: cut_off(host, 6),
        WANT_NEW,
        DesiredState(recreate=Recreate.ALWAYS),
        f"{HAND_BACK}, create N, set restart policy P: no, {SERVE}, remove P",
    ),
    (
        lambda host: cut_off(host, 6),
        changed(image=THIRD),
        START,
        f"{HAND_BACK}, create N, set restart policy P: no, {SERVE}, remove P",
    ),
    (lambda host: cut_off(host, 6), SPEC, START, f"{HAND_BACK}, rename P: N, start N, wait until N is healthy"),
    (lambda host: cut_off(host, 6), SPEC, STOP, "stop N, set restart policy N: no, remove N, rename P: N"),
    (lambda host: healthy_after(host, 6), SPEC, START, f"remove P, stop N, {REPLACE}"),
    (lambda host: paused_after(host, 2, PREVIOUS), SPEC, START, "rename P: N, unpause N, wait until N is healthy"),
    (lambda host: paused_after(host, 6, NAME), WANT_NEW, START, "unpause N, wait until N is healthy, remove P"),
]


def snapshot_of(before: Callable[[FakeDocker], object], wanted: ContainerSpec) -> Snapshot:
    host = fresh()
    host.add_image(THIRD, "3")
    before(host)
    snapshot: Snapshot = container_module.take_snapshot(Engine(host, errors), wanted)
    return snapshot


def in_words(steps: Iterable[plan.Step]) -> str:
    words = ", ".join(map(str, steps))
    return words.replace(PREVIOUS, "P").replace(CANDIDATE, "C").replace(NAME, "N")


def in_turn(planned: plan.Plan | None) -> list[plan.Plan]:
    """Give the plan, and those for when it does not help."""
    return [planned, *in_turn(planned.otherwise)] if planned else []


AGAIN = "stop N, start N, wait until N is healthy"


@pytest.mark.parametrize(
    ("before", "wanted", "desired", "further"),
    [
        (deployed, SPEC, START, []),
        (stopped, SPEC, START, []),
        (deployed, SPEC, RESTART, []),
        (paused, SPEC, START, [AGAIN, f"stop N, {REPLACE}"]),
        (paused, SPEC, RESTART, [f"stop N, {REPLACE}"]),
        (paused, SPEC, DesiredState(recreate=Recreate.NEVER), [AGAIN]),
        (paused, SPEC, STOP, []),
        (paused, WANT_NEW, START, []),
        (unhealthy, SPEC, START, [f"stop N, {REPLACE}"]),
        (unhealthy, SPEC, DesiredState(recreate=Recreate.NEVER), []),
        (unhealthy, SPEC, DesiredState(keep_previous=True), [f"stop N, {REPLACE.removesuffix(', remove P')}"]),
        (unhealthy, SPEC, STOP, []),
        (ends_again_and_again, SPEC, START, [f"stop N, {REPLACE}"]),
        (lambda host: cut_off(host, 6), WANT_NEW, RESTART, []),
        (lambda host: paused_after(host, 2, PREVIOUS), SPEC, START, []),
        (lambda host: paused_after(host, 6, NAME), WANT_NEW, START, []),
    ],
)
def test_what_follows_when_the_steps_do_not_help(
    before: Callable[[FakeDocker], object], wanted: ContainerSpec, desired: DesiredState, further: list[str]
) -> None:
    snapshot = snapshot_of(before, wanted)
    planned = in_turn(plan.plan(wanted, snapshot, desired))
    assert [in_words(part.steps) for part in planned[1:]] == further
    for part in planned[1:]:
        assert snapshot.current is not None
        assert (part.rollback_to, part.rollback_runs) == (snapshot.current["Id"], True)
        assert part.rollback_is_ill
    assert not planned[0].rollback_is_ill


@pytest.mark.parametrize(("before", "wanted", "desired", "steps"), STEPS)
def test_the_steps_in_words(
    before: Callable[[FakeDocker], object], wanted: ContainerSpec, desired: DesiredState, steps: str
) -> None:
    snapshot = snapshot_of(before, wanted)
    assert in_words(plan.plan(wanted, snapshot, desired).steps) == steps
    made = fresh()
    converge(made, changed(name=CANDIDATE, ports=(), exclusive_folders=()))
    left = dataclasses.replace(snapshot, candidate=made.named(CANDIDATE))
    found = in_words(plan.plan(wanted, left, desired).steps)
    sweep = "stop C, remove C"
    network, create, rest = steps.rpartition("create network poppyfield, ")
    expected = [steps, sweep] if desired.state is State.ABSENT else [network + create + sweep, rest]
    assert found == ", ".join(filter(None, expected))


@pytest.mark.parametrize(("before", "wanted", "desired", "steps"), STEPS)
def test_a_step_is_on_one_container_whatever_its_name(
    before: Callable[[FakeDocker], object], wanted: ContainerSpec, desired: DesiredState, steps: str
) -> None:
    snapshot = snapshot_of(before, wanted)
    names = {container["Id"]: container["Name"].lstrip("/") for container in snapshot.own}
    planned = plan.plan(wanted, snapshot, desired)
    for step in [step for part in in_turn(planned) for step in part.steps]:
        if step.action in (plan.Action.CREATE, plan.Action.CREATE_NETWORK):
            assert step.name not in names.values()
            # What this plan makes has no id yet, and goes by its name.
            names[step.name] = step.name
        assert names[step.container or step.name] == step.name
        if step.action is plan.Action.RENAME:
            names[step.container] = step.argument
        if step.action is plan.Action.REMOVE:
            del names[step.container or step.name]


# Properties of the plan ---------------------------------------------------------------------------------------------

WORDS = st.text("abcXYZ09_-", min_size=1, max_size=6)
SPECS = st.builds(
    ContainerSpec,
    name=st.just(NAME),
    resource=st.just("postgis"),
    image=st.sampled_from([OLD, NEW]),
    network=st.just("poppyfield"),
    network_aliases=st.lists(WORDS, max_size=2, unique=True).map(tuple),
    command=st.lists(WORDS, max_size=3).map(tuple),
    environment=st.dictionaries(WORDS, WORDS, max_size=3),
    mounts=st.dictionaries(WORDS, st.booleans(), max_size=3).map(
        lambda d: tuple(Mount("/srv", f"/{name}", read_only=read_only) for name, read_only in d.items())
    ),
    tmpfs=st.dictionaries(WORDS, WORDS, max_size=2),
    ports=st.lists(st.integers(1, 65535), max_size=2, unique=True).map(
        lambda numbers: tuple(Port("0.0.0.0", number, number) for number in numbers)
    ),
    health=st.builds(HealthTiming, interval=st.none() | st.integers(1, 99), retries=st.none() | st.integers(1, 9)),
    shm_size=st.integers(1, 10**9),
    stop_timeout=st.integers(1, 999),
    secret_stamps=st.dictionaries(WORDS, WORDS, max_size=2),
)


@given(SPECS)
def test_planning_from_what_was_just_applied_gives_no_step(wanted: ContainerSpec) -> None:
    docker = fresh()
    converge(docker, wanted)
    assert converge(docker, wanted).plan.steps == ()


@given(SPECS, SPECS)
def test_a_plan_is_empty_only_when_nothing_differs_and_names_why_otherwise(
    first: ContainerSpec, second: ContainerSpec
) -> None:
    docker = fresh()
    converge(docker, first)
    outcome = converge(docker, second)
    assert bool(outcome.plan.steps) == bool(reasons(outcome))
    if first == second:
        assert not outcome.plan.changed
    assert not converge(docker, second).plan.changed


@given(
    st.sampled_from(list(State)),
    st.sampled_from(list(Recreate)),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_no_plan_has_a_step_on_what_is_not_ours(
    state: State, recreate: Recreate, ours: tuple[bool, bool, bool]
) -> None:
    docker = fresh()
    converge(docker)
    converge(docker, changed(name=PREVIOUS, exclusive_folders=(), mounts=(), ports=()))
    engine = Engine(docker, errors)
    snapshot = container_module.take_snapshot(engine, SPEC)
    things = (snapshot.current["Config"], snapshot.previous["Config"], snapshot.network)  # type: ignore[index]
    for own, thing in zip(ours, things, strict=True):
        if not own:
            thing["Labels"] = {}
    try:
        steps = plan.plan(SPEC, snapshot, DesiredState(state, recreate)).steps
    except PlanError:
        assert not all(ours)
        return
    named = {step.container for step in steps}
    if not ours[0]:
        assert snapshot.current["Id"] not in named  # type: ignore[index]
    if not ours[1]:
        assert snapshot.previous["Id"] not in named  # type: ignore[index]


# A bare host --------------------------------------------------------------------------------------------------------


def test_on_a_bare_host_a_change_is_predicted() -> None:
    outcome = container_module.bare_host(SPEC, DesiredState(), "No Docker yet.")
    assert outcome.result()["changed"]
    assert not container_module.bare_host(SPEC, DesiredState(State.ABSENT), "No Docker yet.").result()["changed"]


def test_the_result_says_everything_and_holds_no_stamp_of_a_secret(host: FakeDocker) -> None:
    result = converge(host).result()
    assert result["container"] == {
        "id": host.named(NAME)["Id"],
        "name": NAME,
        "image": OLD,
        "running": True,
        "health": "healthy",
    }
    assert result["steps"][-1] == f"wait until {NAME} is healthy"
    assert result["seconds_without_service"] == 0


def test_errors_of_the_engine_are_sentences(host: FakeDocker) -> None:
    engine = Engine(host, errors)
    with pytest.raises(EngineError, match="Docker could not start the container none"):
        engine.start("none")


def test_a_snapshot_of_nothing_is_empty(docker: FakeDocker) -> None:
    assert container_module.take_snapshot(Engine(docker, errors), SPEC) == Snapshot(neighbours=[])


# The host's memory --------------------------------------------------------------------------------------------------

GIB = 1024**3


def test_a_kernel_that_reports_a_little_less_changes_nothing() -> None:
    sizes = [
        container_module.total_memory(f"MemFree: 1 kB\nMemTotal:  {kilobytes} kB\n") for kilobytes in (948_000, 930_000)
    ]
    assert sizes == [GIB, GIB]


def test_a_share_of_the_memory_is_the_limit() -> None:
    assert container_module.memory_limit({"memory_limit_share": 0.75}, 4 * GIB) == 3 * GIB
    assert container_module.memory_limit({"memory_limit_share": 0}, 4 * GIB) == 0
    with pytest.raises(PlanError, match=r"memory_limit_share must be between 0 .* not 1\.5"):
        container_module.memory_limit({"memory_limit_share": 1.5}, GIB)
