"""Which blocks of the French pages are played: most by `make test-docs`, as an operator comes to them."""

from __future__ import annotations

from typing import NamedTuple

from tests.documented import FRENCH, Block, blocks


class Step(NamedTuple):
    """A block of code of a French page, by what it begins with; the first one that does."""

    page: str
    begins: str


DEMO = Step("demo.md", "make demo")
COPY_THE_EXAMPLE = Step("start.md", "cp -r inventory/example inventory/fleet")
HOSTS = Step("start.md", "pis:")
CHOICES = Step("start.md", "lizmap_web_client: none")
PREFLIGHT = Step("start.md", "ansible-playbook playbooks/preflight.yml")
PROVISION = Step("start.md", "ansible-playbook site.yml")
NAME_PROJECTS = Step("projects.md", "lizmap_projects:")
PUBLISH = Step("projects.md", "ansible-playbook site.yml")
STATUS = Step("troubleshooting.md", "ansible-playbook playbooks/status.yml")
VERIFY = Step("troubleshooting.md", "ansible-playbook playbooks/verify.yml")
MEND = Step("troubleshooting.md", "ansible-playbook site.yml")
COMMAND_INSIDE = Step("chores.md", "ansible-playbook playbooks/exec.yml")
REBUILD = Step("chores.md", "ansible-playbook playbooks/rebuild.yml")
CONTAINERS_ON_THE_PI = Step("docker.md", "sudo docker ps")
COMPOSE_ON_THE_PI = Step("compose.md", "sudo docker-compose down")
VERIFY_FROM_OUTSIDE = Step("status.md", "make verify")
WATCH = Step("status.md", "make watch")
WHAT_WOULD_CHANGE = Step("status.md", "ansible-playbook site.yml --check")
FOLLOW_LOGS = Step("chores.md", "make logs")
SHELL = Step("chores.md", "make shell")
LOAD = Step("data.md", "ansible-playbook playbooks/load.yml -e database=gis -e files=10-gis.dump")
ADD = Step("data.md", "ansible-playbook playbooks/load.yml -e database=gis -e mode=add")
CREATE_INDEX = Step("projects.md", "ansible-playbook playbooks/exec.yml")
SECONDS_OF_LAYERS = Step("projects.md", "ansible-playbook playbooks/verify.yml -e lizmap_verify_seconds=true")
BACKUP = Step("backup.md", "ansible-playbook playbooks/backup.yml")
BACKUP_REPORT = Step("backup.md", "ansible-playbook playbooks/backup_report.yml")
EMERGENCY_SHEET = Step("backup.md", "ansible-playbook playbooks/emergency_sheet.yml")
RESTORE_BESIDE = Step(
    "restore.md", "ansible-playbook playbooks/restore.yml --limit pi-orchard -e restore_from=stick -e restore_databases"
)
BACKUP_ON_THE_PI = Step("backup.md", "sudo /usr/local/lib/poppyfield/backup run")
RESTORE_ON_THE_PI = Step("restore.md", "sudo /usr/local/lib/poppyfield/backup restore")
TAKE_LOCK = Step("fleet.md", "ansible-playbook site.yml --limit pi-orchard -e take_lock=true")
REMOVE = Step("chores.md", "ansible-playbook playbooks/remove.yml")
DELETE_DATA = Step("chores.md", "ansible-playbook playbooks/delete_data.yml")

# These are played on two Pis, by tests/engine/test_chores.py.
SERVICE = Step("chores.md", "ansible-playbook playbooks/service.yml")
LOGS = Step("chores.md", "ansible-playbook playbooks/logs.yml")
IMAGES = Step("chores.md", "ansible-playbook playbooks/images.yml")
FETCH = Step("chores.md", "ansible-playbook playbooks/fetch.yml")
PUT = Step("chores.md", "ansible-playbook playbooks/put.yml")
HISTORY = Step("chores.md", "ansible-playbook playbooks/history.yml")

THE_TESTS = (Step("testing.md", "make test"), Step("testing.md", "make lint"))
"""What runs all this is not run by it."""
STEPS = (
    DEMO,
    COPY_THE_EXAMPLE,
    HOSTS,
    CHOICES,
    PREFLIGHT,
    PROVISION,
    NAME_PROJECTS,
    PUBLISH,
    STATUS,
    VERIFY,
    MEND,
    COMMAND_INSIDE,
    REBUILD,
    CONTAINERS_ON_THE_PI,
    COMPOSE_ON_THE_PI,
    VERIFY_FROM_OUTSIDE,
    WATCH,
    WHAT_WOULD_CHANGE,
    FOLLOW_LOGS,
    SHELL,
    LOAD,
    ADD,
    CREATE_INDEX,
    SECONDS_OF_LAYERS,
    BACKUP,
    BACKUP_REPORT,
    EMERGENCY_SHEET,
    RESTORE_BESIDE,
    BACKUP_ON_THE_PI,
    RESTORE_ON_THE_PI,
    TAKE_LOCK,
    REMOVE,
    DELETE_DATA,
    SERVICE,
    LOGS,
    IMAGES,
    FETCH,
    PUT,
    HISTORY,
)


def block_of(step: Step) -> Block:
    """Give the block on its page; LookupError where the page has none."""
    for block in blocks(FRENCH / step.page):
        if block.text.startswith(step.begins):
            return block
    raise LookupError(f"docs/fr/{step.page} has no block that begins with {step.begins}")
