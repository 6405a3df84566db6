"""Docker's own packages need a repository and its key."""

from __future__ import annotations

from tests.unit.inventory_of import problems, told


def test_dockers_own_repository_must_be_named_with_its_key() -> None:
    assert told(docker_engine_source="distribution") == []
    found = problems(docker_engine_source="docker")
    assert [one.finding.variable for one in found] == ["docker_engine_repository", "docker_engine_repository_key"]
    assert "or set docker_engine_source to distribution" in found[0].finding.remedy
    named = {"docker_engine_repository": "https://example.org", "docker_engine_repository_key": "/key"}
    assert told(docker_engine_source="docker", **named) == []


def test_docker_keeps_a_log() -> None:
    assert told(docker_engine_log_max_files=0) == ["docker_engine_log_max_files: Docker keeps one log file at least"]


def test_apt_is_waited_for_or_not() -> None:
    assert told(raspberry_pi_apt_timeout=0) == []
    assert told(raspberry_pi_apt_timeout=-1) == ["raspberry_pi_apt_timeout: it is how many seconds to wait for apt"]
