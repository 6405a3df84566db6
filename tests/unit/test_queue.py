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


@pytest.mark.parametrize("workers", [1, 4])
def test_no_number_of_addresses_takes_the_connections_of_the_line(tmp_path: Path, workers: int) -> None:
    """Otherwise nobody's request goes on, and all wait for ever."""
    text = configuration(tmp_path, workers)
    lanes = [int(most) for most in re.findall(r"^    bind .* maxconn (\d+) name ", text, re.MULTILINE)]
    goes_on = [int(most) for most in re.findall(rf"^    server .*@{tmp_path}/.* maxconn (\d+)$", text, re.MULTILINE)]
    (most,) = (int(most) for most in re.findall(r"^    maxconn (\d+)$", text, re.MULTILINE))
    assert len(lanes) == len(goes_on) == text.count(" name ") > 2 * 256
    assert sum(lanes) + sum(goes_on) < most
    # Each has two files, and a container may have 65536, see docker_settings.
    assert 2 * most < 60000
    # One more, so that the next goes on at once.
    assert all(taken > going for taken, going in zip(lanes, goes_on, strict=True))
