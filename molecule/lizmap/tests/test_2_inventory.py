"""The inventory is edited and run again: a user, a right and a repository added, changed and removed, in one go."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import services
from testinfra.host import Host

from emulated_pi import INVENTORY, ROOT, STATE, ansible_playbook, inspect
from tests.lizmap.browser import Browser

Json = dict[str, Any]
CONTAINERS = services.containers()
SCENARIO = ROOT / "molecule" / "lizmap" / "inventory"
EDITED = STATE / "edited"
FOLDER = "{{ demo_project_folder }}"
SECRETS = "/etc/poppyfield/secrets"

# Beside what molecule/lizmap/inventory says: the user chris and the group surveyors are new, anna has another address
# and one group more, bruno is gone. On sample, the right to edit changes, links is taken away, and unfiltered is given.
# The repository fields is new, nests is changed, old is gone.
NEW: Json = {
    "lizmap_groups": [{"name": "mappers", "label": "Field mappers"}, {"name": "wardens"}, {"name": "surveyors"}],
    "lizmap_users": [
        {"login": "anna", "email": "anna@example.org", "groups": ["mappers", "surveyors"]},
        {"login": "chris", "groups": ["surveyors"]},
    ],
    "lizmap_projects": [
        {
            "repository": "sample",
            "folder": FOLDER,
            "label": "France",
            "view": "everyone",
            "export": "everyone",
            "edit": ["mappers", "user:chris"],
            "unfiltered": ["surveyors"],
        },
        {
            "repository": "nests",
            "folder": FOLDER,
            "label": "Nests of the valley",
            "view": ["surveyors"],
            "export": ["admins", "surveyors"],
        },
        {"repository": "fields", "folder": FOLDER, "view": "logged-in", "embedding_origins": ["https://example.org"]},
    ],
}
CHANGES: dict[str, Json] = {
    "Manage the groups of Lizmap's users": {
        "before": {"group mappers": {"label": "Mappers"}},
        "after": {
            "group mappers": {"label": "Field mappers"},
            "group surveyors": {"label": "surveyors", "rights": []},
        },
    },
    "Manage Lizmap's users": {
        "before": {
            "files": {f"{SECRETS}/lizmap_user_chris": "absent", f"{SECRETS}/lizmap_user_bruno": "present"},
            "user anna": {"email": "anna@localhost.localdomain", "groups": ["mappers", "users"]},
            "user bruno": {
                "email": "bruno@localhost.localdomain",
                "enabled": True,
                "groups": ["users", "wardens"],
                "rights": [],
            },
        },
        "after": {
            "files": {
                f"{SECRETS}/lizmap_user_chris": "created (content hidden)",
                f"{SECRETS}/lizmap_user_bruno": "absent",
            },
            "user anna": {"email": "anna@example.org", "groups": ["mappers", "surveyors", "users"]},
            "user chris": {
                "email": "chris@localhost.localdomain",
                "enabled": True,
                "groups": ["surveyors", "users"],
                "rights": [],
                "password": f"the one in {SECRETS}/lizmap_user_chris (hidden)",
            },
        },
    },
    "Manage Lizmap's repositories": {
        "before": {
            "repository sample": {"edit": ["mappers"], "links": ["mappers"], "unfiltered": []},
            "repository nests": {"label": "nests", "view": ["admins", "wardens"], "export": ["admins", "wardens"]},
            "repository old": {
                "label": "old",
                "path": "/srv/projects/old/",
                "themes": False,
                "allowed_origins": [],
                "embedding_origins": [],
                "view": ["__anonymous", "admins", "users"],
                "export": ["__anonymous", "users"],
            },
        },
        "after": {
            "repository sample": {"edit": ["user:chris", "mappers"], "links": [], "unfiltered": ["surveyors"]},
            "repository nests": {
                "label": "Nests of the valley",
                "view": ["admins", "surveyors"],
                "export": ["admins", "surveyors"],
            },
            "repository fields": {
                "label": "fields",
                "path": "/srv/projects/fields/",
                "embedding_origins": ["https://example.org"],
                "view": ["admins", "users"],
            },
        },
    },
}


@pytest.fixture(scope="module")
def containers(pi: Host) -> list[str]:
    return ids(pi)


@pytest.fixture(scope="module")
def password_of_bruno(pi: Host) -> str:
    return str(pi.check_output("cat %s", f"{SECRETS}/lizmap_user_bruno"))


def ids(pi: Host) -> list[str]:
    return [inspect(pi, name)["Id"] for name in CONTAINERS]


def deploy(*options: str) -> str:
    """Run the deploy stage with the edited inventory; give what it shows, with each diff as a whole."""
    (EDITED / "group_vars").mkdir(parents=True, exist_ok=True)
    (EDITED / "hosts.yml").write_text("pis: {}\n")
    (EDITED / "group_vars" / "pis.yml").write_text(json.dumps(NEW))
    run: subprocess.CompletedProcess[str] = ansible_playbook(
        "--diff",
        *options,
        playbook="playbooks/deploy.yml",
        inventories=[INVENTORY, SCENARIO, EDITED],
        environment={"ANSIBLE_DIFF_CONTEXT": "1000"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def predicted(containers: list[str], password_of_bruno: str) -> str:
    """Return what check mode says; nothing is changed by it, as what comes after shows."""
    assert containers and password_of_bruno
    return deploy("--check")


@pytest.fixture(scope="module")
def done(predicted: str) -> str:
    """Return what the run says."""
    assert predicted
    return deploy()


def tasks(output: str) -> dict[str, str]:
    """Give what was shown of each task, by "ROLE : NAME"."""
    parts = re.split(r"^TASK \[(.*)\] \**$", output, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def changed(output: str) -> set[str]:
    return {name for name, shown in tasks(output).items() if re.search(r"^changed: ", shown, re.MULTILINE)}


def diff(shown: str) -> Json:
    """Read a diff that is shown as a whole."""
    lines = re.sub(r"\A.*?^@@.*?\n", "", shown, flags=re.MULTILINE | re.DOTALL).partition("\n\n")[0].splitlines()
    sides = {"before": " -", "after": " +"}
    return {side: json.loads("".join(line[1:] for line in lines if line[0] in signs)) for side, signs in sides.items()}


@pytest.mark.parametrize("task", CHANGES)
def test_each_change_is_shown_and_was_predicted(predicted: str, done: str, task: str) -> None:
    assert diff(tasks(done)[f"lizmap : {task}"]) == CHANGES[task]
    assert diff(tasks(predicted)[f"lizmap : {task}"]) == CHANGES[task]


def test_nothing_else_changes_than_was_predicted(pi: Host, predicted: str, done: str, containers: list[str]) -> None:
    assert changed(predicted) == changed(done) >= {f"lizmap : {task}" for task in CHANGES}
    assert ids(pi) == containers


@pytest.mark.usefixtures("done")
def test_who_was_removed_is_kept_out_and_who_was_added_gets_in(
    browser: Callable[[], Browser], log_in: Callable[[str], Browser], password_of_bruno: str
) -> None:
    assert not browser().log_in("bruno", password_of_bruno)
    anybody, anna, chris = browser(), log_in("anna"), log_in("chris")
    seen = {
        repository: [who.sees(repository, "france") for who in (anybody, anna, chris)]
        for repository in ("sample", "nests", "fields", "old")
    }
    assert seen == {
        "sample": [True, True, True],
        "nests": [False, True, True],
        "fields": [False, True, True],
        "old": [False, False, False],
    }


def test_no_password_is_in_what_was_shown_or_logged(pi: Host, predicted: str, done: str) -> None:
    told = predicted + done + (STATE / "ansible.log").read_text()
    names = [
        name
        for name in pi.check_output("ls %s", SECRETS).split()
        if name.startswith(("postgis_", "lizmap_admin", "lizmap_user_"))
    ]
    assert {"postgis_lizmap", "lizmap_admin_password", "lizmap_user_chris"} <= set(names)
    for name in names:
        assert pi.check_output("cat %s", f"{SECRETS}/{name}") not in told, name
