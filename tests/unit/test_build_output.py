"""BuildKit's own words, recorded from two of its clients, become steps for the user and one message on failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.images import build_output
from ansible.module_utils.poppyfield.images.build_output import Failure, StepLines

RECORDED = Path(__file__).resolve().parents[1] / "doubles" / "build_output"
CLIENTS = ["docker-20.10", "buildx-0.13"]


def recorded(client: str, kind: str) -> str:
    return (RECORDED / client / f"{kind}.txt").read_text(encoding="utf-8")


def explain(output: str, platform: str = "linux/amd64") -> str:
    message: str = build_output.explain_failure(output, platform, "linux/amd64")
    return message


def steps(output: str) -> list[str]:
    lines = StepLines()
    return [line for line in output.splitlines() if lines.tells(line)]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_step_is_told_when_it_begins_and_when_it_ends(client: str) -> None:
    told = [line.split(" ", 1)[1].split(" 0.")[0] for line in steps(recorded(client, "good"))]
    assert told == ["[1/2] COPY busybox /bin/sh", "DONE", "[2/2] RUN echo done", "DONE", "exporting to image", "DONE"]


@pytest.mark.parametrize("client", CLIENTS)
def test_of_steps_at_the_same_time_each_is_told_once(client: str) -> None:
    told = [line.split(" ", 1)[1] for line in steps(recorded(client, "parallel"))]
    assert [text for text in told if text.startswith("[one 1/1] RUN")] == [
        "[one 1/1] RUN for i in $(seq 8); do echo one $i; sleep 1; done"
    ]
    assert len([text for text in told if text.startswith("[two 1/1] RUN")]) == 1
    assert "CANCELED" in told


def test_what_a_command_writes_is_no_step() -> None:
    assert steps("#5 [1/1] RUN x\n#5 0.2 DONE\n#5 0.3 [2/5] RUN y\n[1/2] z\n#6 DONE 0.1s\n") == ["#5 [1/1] RUN x"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("kind", "begins", "ends"),
    [
        ("run", "The build failed at step [2/2] RUN for i in $(seq 30); ", "exit 7: exit code: 7. Its last lines:"),
        ("parallel", "The build failed at step [two 1/1] RUN for i in", "exit 3: exit code: 3. Its last lines:"),
        ("copy", 'The build failed at step [1/1] COPY nothing /: "/nothing" not found', "not found."),
        ("instruction", "The build failed. Its last lines:", ""),
        ("base", "The build needs the image registry.example/pf-base:arm for linux/amd64.", "reach its registry."),
        ("disk", "The disk of the builder's Docker Engine is full", "then build again. Its last lines:"),
    ],
)
def test_a_failure_names_the_step_and_the_remedy(client: str, kind: str, begins: str, ends: str) -> None:
    first = explain(recorded(client, kind)).splitlines()[0]
    assert first.startswith(begins)
    assert first.endswith(ends)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_last_lines_are_those_of_the_step_that_failed(client: str) -> None:
    lines = explain(recorded(client, "run")).splitlines()[1:]
    assert lines == [f"line {number}" for number in range(17, 31)] + ["oh no"]
    assert explain(recorded(client, "parallel")).splitlines()[1:] == ["two 1", "two 2", "two 3"]
    assert explain(recorded(client, "instruction")).endswith(
        "dockerfile parse error line 2: unknown instruction: COPPY"
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_a_program_of_another_platform_asks_for_an_emulator_only_where_one_would_help(client: str) -> None:
    foreign = explain(recorded(client, "emulator"), "linux/arm64")
    assert "cannot run programs for linux/arm64" in foreign
    assert "sudo python3 -m workshop.emulator.binfmt register" in foreign
    assert "qemu-user-static" in foreign
    native = explain(recorded(client, "emulator"))
    assert "a program in it is not for linux/amd64" in native
    assert "emulator" not in native


def test_an_engine_without_buildkit_is_named() -> None:
    assert "no BuildKit" in explain("buildkit not supported by daemon\n")


def test_a_failure_of_a_newer_engine_does_not_repeat_the_command() -> None:
    output = '#5 [1/1] RUN make\n#5 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 2\n'
    assert Failure.of(output) == Failure("[1/1] RUN make", "exit code: 2", ())


def test_a_long_command_is_cut_and_what_a_command_says_of_disks_elsewhere_does_not_count() -> None:
    output = (
        f"#4 [1/2] RUN df\n#4 0.1 no space left on device\n#4 DONE\n#5 [2/2] RUN {'x' * 500}\n#5 ERROR: exit code: 1\n"
    )
    message = explain(output)
    assert message.startswith("The build failed at step [2/2] RUN xxx")
    assert message.endswith("xxx...: exit code: 1.")
    assert len(message) < 250
