"""The table at the end of a run: what became of each Pi, and what to do. Pure, on the laptop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible.module_utils.poppyfield.host import ways_in
from ansible.module_utils.poppyfield.runs.lock import short

WHOLE = "site.yml"
PLAYBOOKS = (WHOLE, "deploy.yml", "deliver.yml", "provision.yml", "rebuild.yml", "rollback.yml")
"""Those of the stages, which bring a Pi to what the inventory says, or from there."""
MOST_CHANGES = 3
HEAD = ("Pi", "what changed", "seconds without a map", "what to do")
RUN_AGAIN = "Then run the same command again."
REACH = f"See that it has power and network. {RUN_AGAIN} It said: {{why}}"
TOLD_APART = f"This laptop is not let in: what helps is told apart from this table. {RUN_AGAIN}"
WAITED = "It was not touched, because the release failed on Pis before it. Mend these, then run the same command again."
NOTHING = "-"


@dataclass
class PiOutcome:
    """What a run did to one Pi."""

    changes: list[str] = field(default_factory=list)
    """Names of tasks, in order."""
    seconds: float = 0.0
    unreachable: str = ""
    """Why it can't be reached."""
    failed: str = ""
    """What was wrong."""
    waited: bool = False
    """Whether its turn for the release never came."""

    @property
    def changed(self) -> str:
        """Say what changed, in a few words."""
        names = [short(name) for name in dict.fromkeys(self.changes)]
        more = len(names) - MOST_CHANGES
        return "; ".join([*names[:MOST_CHANGES], *([f"{more} more"] if more > 0 else [])]) or "nothing"

    @property
    def remedy(self) -> str:
        """Say what to do, but for what the callback remedies says in more words."""
        if ways_in.remedy(self.unreachable or self.failed):
            return TOLD_APART
        if self.unreachable:
            return REACH.format(why=short(self.unreachable, 120))
        if self.failed:
            return f"{short(self.failed, 200)} {RUN_AGAIN}"
        return WAITED if self.waited else NOTHING


def lines(outcomes: Mapping[str, PiOutcome]) -> list[str]:
    """Give the table, those with something to do first."""
    in_order = sorted(outcomes.items(), key=lambda one: (one[1].remedy == NOTHING, one[0]))
    rows = [HEAD, *((name, one.changed, f"{one.seconds:.1f}", one.remedy) for name, one in in_order)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD) - 1)]
    return [_line(row, widths) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([*(text.ljust(width) for text, width in zip(row[:-1], widths, strict=True)), row[-1]])
