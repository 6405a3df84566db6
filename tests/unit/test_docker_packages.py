"""Docker from elsewhere is used as it is or refused by name, before anything is changed, and never removed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import docker_packages, requirements
from ansible.module_utils.poppyfield.host.docker_packages import LOOKED_FOR, adopted

from tests.unit.test_requirements import NEEDS, PI

DEBIAN = {"docker.io": "26.1.5+dfsg1-9+b1", "docker-cli": "26.1.5+dfsg1-9+b1", "containerd": "1.7", "runc": "1.1"}
OF_DOCKER = {"docker-ce": "5:28.5.2-1~debian.13~trixie", "docker-ce-cli": "5:28.5.2", "containerd.io": "2.1"}


def problems(
    versions: dict[str, str], engine: str = "", source: str = "distribution", *, snap: bool = False
) -> list[str]:
    return list(docker_packages.problems(versions, engine, source, snap=snap))


@pytest.mark.field("B4", "docker-ce is installed")
@pytest.mark.parametrize(
    ("versions", "engine", "package"),
    [
        ({}, "", ""),
        (DEBIAN, "26.1.5", ""),
        (OF_DOCKER, "28.5.2", "docker-ce"),
        # Stopped: what dpkg says counts.
        (OF_DOCKER, "", "docker-ce"),
        ({"moby-engine": "28.0.1+azure-u1"}, "", "moby-engine"),
        # Docker's static binaries, or a package of a name that nobody foresaw.
        ({}, "28.5.2", "an unknown package"),
        ({"podman-docker": "4.3.1"}, "4.3.1", ""),
    ],
)
def test_an_engine_from_elsewhere_is_adopted(versions: dict[str, str], engine: str, package: str) -> None:
    assert adopted(versions, engine) == package
    if "podman-docker" not in versions:
        assert problems(versions, engine) == []


@pytest.mark.field("B4", "docker-ce is installed")
@pytest.mark.parametrize(
    ("versions", "source", "words"),
    [
        # The engine of Debian 11 from elsewhere, and an old one of Docker's that does not run.
        (
            {"docker-ce": "5:19.03.15~3-0~raspbian-buster"},
            "distribution",
            "Docker Engine 5:19.03.15~3-0~raspbian-buster",
        ),
        ({"docker.io": "20.9.1"}, "distribution", "of docker.io is too old: it must be 20.10 or later"),
        ({"podman-docker": "5.4"}, "distribution", "sudo apt-get remove podman-docker"),
        ({"podman-docker": "5.4", **DEBIAN}, "distribution", "sudo apt-get remove podman-docker"),
        ({"containerd.io": "2.1"}, "distribution", "apt would remove containerd.io. Set it to docker"),
        ({"docker-ce-cli": "5:28"}, "distribution", "apt would remove docker-ce-cli. Set it to docker"),
        (DEBIAN, "docker", "apt would remove docker.io, docker-cli, containerd, runc. Set it to distribution"),
        ({"moby-engine": "28.0.1"}, "docker", "there is an engine of moby-engine already"),
        ({"runc": "1.1"}, "docker", "apt would remove runc. Set it to distribution"),
    ],
)
def test_what_would_have_to_be_removed_or_is_too_old_is_refused(
    versions: dict[str, str], source: str, words: str
) -> None:
    (sentence,) = problems(versions, "", source)
    assert words in sentence


def test_an_engine_that_answers_tells_its_own_version() -> None:
    assert "Docker Engine 18.09.1 of an unknown package is too old" in problems({}, "18.09.1")[0]
    assert problems({"docker.io": "of nobody's numbering"}) == []
    assert "an engine of an unknown package already" in problems({}, "28.5.2", "docker")[0]


def test_a_snap_is_refused_unless_debians_engine_is_there() -> None:
    assert "sudo snap remove docker" in problems({}, "27.2.0", snap=True)[0]
    assert problems(DEBIAN, snap=True) == []
    assert problems(OF_DOCKER, source="docker") == []


def test_it_is_asked_only_by_a_run_that_installs() -> None:
    facts = dataclasses.replace(PI, versions={"podman-docker": "5.4"})
    assert requirements.problems(facts, NEEDS) == []
    assert len(requirements.problems(facts, dataclasses.replace(NEEDS, docker_source="distribution"))) == 1


def test_the_module_tells_what_is_installed_and_refuses(
    run_module: Any, library: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = library("host_requirements")
    asked: list[list[str]] = []

    def printed(argv: list[str]) -> str:
        asked.append(argv)
        return "docker-ce\tinstalled\t5:28.5.2-1\nrunc\tconfig-files\t1.1\nold\n"

    monkeypatch.setattr(module, "printed_by", printed)
    monkeypatch.setattr(module, "said_by", lambda argv: "")
    result = run_module("host_requirements", docker_source="distribution")
    assert set(LOOKED_FOR) <= set(asked[0])
    facts = result["ansible_facts"]["poppyfield_pi"]
    assert (facts["adopted"], facts["versions"]) == ("docker-ce", {"docker-ce": "5:28.5.2-1"})
    assert not any("Docker Engine" in sentence for sentence in result["problems"])
    monkeypatch.setattr(module, "printed_by", lambda argv: "podman-docker\tinstalled\t5.4\n")
    refused = run_module("host_requirements", docker_source="distribution")
    assert any("podman-docker is installed" in sentence for sentence in refused["problems"])
    # As snapd leaves it while it is not running.
    (tmp_path / "current").symlink_to("/no/such/revision")
    monkeypatch.setattr(module, "SNAP", str(tmp_path / "current"))
    monkeypatch.setattr(module, "printed_by", lambda argv: "")
    refused = run_module("host_requirements", docker_source="distribution")
    assert any("sudo snap remove docker" in sentence for sentence in refused["problems"])


def test_the_address_of_dockers_repository_is_read() -> None:
    text = "Types: deb\nURIs: https://example.org/debian\nSuites: trixie\n"
    assert requirements.repository_address(text) == "https://example.org/debian"
    assert requirements.repository_address("") == ""
