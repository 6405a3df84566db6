"""What `make test-docs` plays: blocks of the French pages, in the order in which an operator comes to them."""

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
)


def block_of(step: Step) -> Block:
    """Give the block on its page; LookupError where the page has none."""
    for block in blocks(FRENCH / step.page):
        if block.text.startswith(step.begins):
            return block
    raise LookupError(f"docs/fr/{step.page} has no block that begins with {step.begins}")
