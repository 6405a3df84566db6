"""The queue of the map server's image: its connections suffice, however many addresses wait. No HAProxy is needed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "images" / "lizmap" / "services" / "queue" / "run"


def configuration(folder: Path, workers: int) -> str:
    """Give what the service writes for HAProxy, without starting it."""
    script = RUN.read_text("utf-8")
    for part, other in {"((EUID == 0))": "false", "/run/queue": str(folder), "exec /usr/sbin/haproxy": "echo"}.items():
        assert part in script
        script = script.replace(part, other)
    environment = {"QGIS_SERVER_WORKERS": str(workers), "PHP_CHILDREN": str(2 * workers), "PATH": "/usr/bin:/bin"}
    subprocess.run(["bash", "-c", script], env=environment, check=True, capture_output=True)
    return (folder / "haproxy.conf").read_text("utf-8")


def numbers(text: str, pattern: str) -> list[int]:
    """Give the numbers at the ends of lines that begin so."""
    return [int(number) for number in re.findall(rf"^{pattern}(\d+)(?: name \w+)?$", text, re.MULTILINE)]


@pytest.mark.parametrize("workers", [1, 4])
def test_no_number_of_addresses_takes_the_connections_of_the_line(tmp_path: Path, workers: int) -> None:
    """Otherwise nobody's request goes on, and all wait for ever."""
    text = configuration(tmp_path, workers)
    (most,) = numbers(text, "    maxconn (?=\\d+\\n    tune)")
    doors = numbers(text, "frontend .*-visitors\n    maxconn ")
    assert len(doors) == 2
    # What comes in by a door goes on into a lane, and from there into the line.
    assert 3 * sum(doors) < most
    # Each has two files, and each socket that is listened on one; some engines leave a container 20,000.
    assert 2 * most + text.count("    bind ") < 19000


@pytest.mark.parametrize("workers", [1, 4])
def test_each_address_takes_turns_and_is_let_in(tmp_path: Path, workers: int) -> None:
    text = configuration(tmp_path, workers)
    waiting = numbers(text, rf"    bind unix@{tmp_path}/\w+-lane-.* maxconn ")
    goes_on = numbers(text, rf"    server \w+ unix@{tmp_path}/\w+\.sock maxconn ")
    assert len(waiting) == len(goes_on) == 2 * (256 + 16)
    # One more, so that the next goes on at once.
    assert [most - 1 for most in waiting] == goes_on
    assert {*goes_on} == {workers, 2 * workers}
    doors = numbers(text, rf"    bind unix@{tmp_path}/\w+-(?!lane)x?\w+\.sock .* maxconn ")
    assert len(doors) == len(waiting)
    # Its turn comes, though it reads nothing of what it was given.
    assert all(door > 20 + most for door, most in zip(doors, waiting, strict=True))
