"""The chores over SSH, as an operator's laptop does them, and what became of the map and of the data."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from testinfra.host import Host

from emulated_pi import (
    CONTAINERS,
    END,
    ENDS_OF_A_LOG,
    INVENTORY,
    ROOT,
    ansible_playbook,
    do,
    inspect,
    serves,
    sql,
    typed_at_a_terminal,
    wait_until_healthy,
)

ROWS = "SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM sample.departments t"
# Some make both containers again, twice, on a Pi that is emulated by a machine with something else to do.
pytestmark = pytest.mark.timeout(45 * 60)


def in_this_terminal(*words: str) -> tuple[list[str], dict[str, str]]:
    """Give the command of make shell, logs or watch, and its environment."""
    ours = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_INVENTORY": str(INVENTORY)}
    return [sys.executable, "-m", "pi_terminal", *words], {**os.environ, **ours}


def said(*words: str, answers: Mapping[str, str]) -> str:
    """Give what make shell, logs or watch shows at a terminal."""
    command, environment = in_this_terminal(*words)
    return typed_at_a_terminal(command, environment, ROOT, answers)[1]


def compose(pi: Host, words: str) -> tuple[int, str]:
    """Type a command of docker-compose on the Pi; give its exit status and what it said."""
    done = pi.run(f"cd /srv/poppyfield && docker-compose {words}")
    return done.rc, done.stdout + done.stderr


def ids(pi: Host) -> dict[str, str]:
    return {name: inspect(pi, name)["Id"] for name in CONTAINERS}


def test_the_status_tells_how_the_pi_and_its_map_fare() -> None:
    do("status")
    (found,) = json.loads((ROOT / "build" / "status" / "status.json").read_text())["pis"]
    assert found["name"] == "demo-pi" and found["level"] in ("fine", "attention"), found["wrong"]
    (shown,) = found["maps"]
    page = (ROOT / "build" / "status" / "index.html").read_text()
    # A busy laptop may not get its answer in the time that the status waits.
    assert "sample/france" in page and ("data:image/" in page) == shown["reached"] == shown["draws"]


def test_a_service_is_restarted_and_its_container_stays(pi: Host) -> None:
    before = inspect(pi, "websig-lizmap")
    said = do("service", "-e", "state=restarted", "-e", "service=lizmap")
    after = inspect(pi, "websig-lizmap")
    assert "demo-pi: " in said
    assert after["Id"] == before["Id"] and after["State"]["StartedAt"] != before["State"]["StartedAt"]
    assert after["State"]["Health"]["Status"] == "healthy" and serves()


def test_a_stopped_service_is_away_until_it_is_started(pi: Host) -> None:
    before = ids(pi)
    do("service", "-e", "state=stopped", "-e", "service=lizmap")
    try:
        assert not inspect(pi, "websig-lizmap")["State"]["Running"] and not serves()
    finally:
        do("service", "-e", "state=started", "-e", "service=lizmap")
    assert ids(pi) == before and serves()


def test_images_are_listed_and_those_in_use_stay(pi: Host) -> None:
    used = {inspect(pi, name)["Image"] for name in CONTAINERS}
    said = do("images", "-e", "remove_unused=true", "-e", "confirmed=true")
    assert "postgis" in said and "lizmap" in said
    assert used <= set(pi.check_output("docker images --quiet --no-trunc").split())


def test_a_command_runs_as_the_services_user(pi: Host) -> None:
    assert '"postgres"' in do("exec", "-e", "service=postgis", "-e", "command='id -un'")


def test_a_shell_and_what_one_pi_says_are_in_this_terminal() -> None:
    assert "I am postgres" in said("shell", "demo-pi", "postgis", answers={"$ ": "echo I am $(id -un); exit"})
    assert "database system is ready" in said("logs", "demo-pi", "postgis", answers=dict.fromkeys(ENDS_OF_A_LOG, END))
    assert "websig-postgis" in said("watch", "demo-pi", answers={"websig-": END})


def test_logs_are_collected(pi: Host, tmp_path: Path) -> None:
    do("logs", "-e", "service=postgis", "-e", f"folder={tmp_path}")
    assert "database system is ready" in (tmp_path / "demo-pi.postgis.log").read_text()


def test_a_file_goes_in_and_comes_out_again(pi: Host, tmp_path: Path) -> None:
    picture = tmp_path / "logo.png"
    picture.write_bytes(bytes(range(256)) * 500)
    folder = "/var/lib/postgresql/data"
    do("put", "-e", "service=postgis", "-e", f"file={picture}", "-e", f"path={folder}/")
    try:
        digest = pi.check_output("docker exec websig-postgis sha256sum %s/logo.png", folder).split()[0]
        assert digest == hashlib.sha256(picture.read_bytes()).hexdigest()
        assert pi.check_output("docker exec websig-postgis stat -c %%U %s/logo.png", folder) == "postgres"
        do("fetch", "-e", "service=postgis", "-e", f"path={folder}/logo.png", "-e", f"to={tmp_path}/fetched")
        assert (tmp_path / "fetched" / "demo-pi" / "logo.png").read_bytes() == picture.read_bytes()
    finally:
        pi.check_output("docker exec websig-postgis rm %s/logo.png", folder)


def test_the_wrong_name_deletes_nothing(pi: Host) -> None:
    rows, containers = sql(pi, ROWS), ids(pi)
    run = ansible_playbook("-e", "delete_data_of=demo-pj", playbook="playbooks/delete_data.yml")
    assert run.returncode != 0
    assert (sql(pi, ROWS), ids(pi)) == (rows, containers)


def test_everything_is_made_again_with_the_data_that_are_there(pi: Host) -> None:
    rows, before = sql(pi, ROWS), ids(pi)
    do("rebuild")
    after = ids(pi)
    assert all(after[name] != before[name] for name in CONTAINERS)
    assert sql(pi, ROWS) == rows and serves()


def test_two_commands_on_the_pi_itself_make_everything_again(pi: Host) -> None:
    rows, before = sql(pi, ROWS), ids(pi)
    assert compose(pi, "down")[0] == 0
    assert pi.check_output("docker ps --all --quiet") == "" and not serves()
    assert compose(pi, "up -d")[0] == 0
    after = ids(pi)
    assert all(after[name] != before[name] for name in CONTAINERS)
    wait_until_healthy(pi)
    assert sql(pi, ROWS) == rows and serves()
    refused, said = compose(pi, "up -d --scale postgis=2")
    assert refused, said
    _, said = compose(pi, "pull")
    assert "images-come-from-the-laptop" in said
    failed, said = compose(pi, "build")
    assert failed and "Images come from the laptop" in said
    assert ids(pi) == after
    # What compose has made is what the laptop wants.
    assert " changed=0 " in do("deploy")


def test_the_trail_tells_what_was_deployed_by_whom() -> None:
    said = do("history", "-e", "service=postgis")
    assert "deployed" in said and "demo-pi: " in said


def test_containers_that_were_removed_are_deployed_again_with_their_data(pi: Host) -> None:
    rows = sql(pi, ROWS)
    do("remove", "-e", "confirmed=true")
    assert pi.check_output("docker ps --all --quiet") == "" and not serves()
    do("deploy")
    assert sql(pi, ROWS) == rows and serves()
