"""The fake repeats what was recorded: asked for the same, it says word for word what the real engines said."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.doubles.docker_engine import Behaviour, FakeDocker
from tests.doubles.recording import VERSIONS, Json, Recording, nearest

NAME, IMAGE, NETWORK = "<name>", "<image>", "<network>"
ENDS_WITH = 3


class Repetition:
    """The fake of one version, in which the recorded request is made again."""

    def __init__(self, version: str) -> None:
        self.recording = Recording(version)
        self.docker = FakeDocker(recorded=version)
        self.docker.add_image(IMAGE, **self.recording.document("image")["Config"])
        self.docker.create_network(NETWORK, driver="bridge", labels={"org.example": "kept"}, check_duplicate=True)
        self.complete = self.recording.document("complete")
        self.docker.create_container_from_config(self.complete["request"], NAME)

    def seen(self) -> Json:
        found: Json = self.as_recorded(self.docker.inspect_container(NAME))
        return found

    def as_recorded(self, document: Any) -> Any:
        """Put the words of a recording where the fake has its ids."""
        container = self.docker.named(NAME)
        text = json.dumps(document)
        for part, word in (
            (container["Id"], "<container_id>"),
            (container["Id"][:12], "<short_id>"),
            (container["Image"], "<image_id>"),
            (self.docker.networks_by_name[NETWORK]["Id"], "<network_id>"),
        ):
            text = text.replace(part, word)
        return json.loads(re.sub("[0-9a-f]{64}", "<id>", text))

    def assert_state(self, name: str) -> None:
        recorded = self.recording.document(f"state-{name}")
        seen = self.seen()
        assert {key: seen[key] for key in recorded} == recorded
        untouched = seen.keys() - recorded.keys() - {"HostConfig"}
        assert {key: seen[key] for key in untouched} == {key: self.complete["container"][key] for key in untouched}


@pytest.fixture(params=VERSIONS)
def repetition(request: pytest.FixtureRequest) -> Repetition:
    return Repetition(request.param)


def test_a_container_is_described_as_it_was(repetition: Repetition) -> None:
    assert repetition.seen() == repetition.complete["container"]


def test_a_container_lives_as_it_did(repetition: Repetition) -> None:
    docker = repetition.docker
    docker.start(NAME)
    repetition.assert_state("starting")
    repetition.assert_state("healthy")
    assert repetition.as_recorded(docker.containers()) == [repetition.recording.document("listed")]
    docker.stop(NAME, timeout=1)
    repetition.assert_state("stopped")
    docker.start(NAME)
    docker.kill(NAME)
    repetition.assert_state("killed")
    docker.behaviours[IMAGE] = Behaviour(looks_until_healthy=-1)
    docker.start(NAME)
    docker.inspect_container(NAME)
    repetition.assert_state("unhealthy")
    docker.stop(NAME, timeout=1)
    docker.behaviours[IMAGE] = Behaviour(ends_with=ENDS_WITH)
    docker.start(NAME)
    repetition.assert_state("ended")
    docker.update_container(NAME, restart_policy={"Name": "always"})
    docker.start(NAME)
    repetition.assert_state("restarting")


def test_a_plain_container_image_and_network_are_described_as_they_were(repetition: Repetition) -> None:
    docker, recording = repetition.docker, repetition.recording
    network = repetition.as_recorded(docker.networks(names=[NETWORK]))
    assert network == [recording.document("network")]
    docker.remove_container(NAME, v=False, force=True)
    request = {
        "Image": IMAGE,
        "HostConfig": {"NetworkMode": NETWORK},
        "NetworkingConfig": {"EndpointsConfig": {NETWORK: {}}},
    }
    docker.create_container_from_config(request, NAME)
    assert repetition.seen() == recording.document("plain")


@pytest.mark.parametrize(
    ("version", "recorded"),
    [("19.03.1", "20.10.24"), ("20.10.24+dfsg1", "20.10.24"), ("27.5.1", "26.1.5"), ("99.0", "28.5.2")],
)
def test_an_engine_that_was_not_recorded_is_taken_for_the_one_before_it(version: str, recorded: str) -> None:
    assert nearest(version) == recorded
