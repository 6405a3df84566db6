"""What is wrong with a project, in words for whoever made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible.module_utils.poppyfield.host.printable import printable

WITH_COMMA = (
    "no map can show it, and none checks it, because the comma in its name ends a name where maps ask for layers."
)
GIVE_SHORT_NAME = (
    "In QGIS Desktop, give it a short name without a comma (Layer Properties > QGIS Server > Short name), save the "
    "project, and run again."
)


@dataclass(frozen=True)
class ProjectFinding:
    """One thing that is wrong, in words for whoever made the project."""

    repository: str
    project: str
    problem: str
    remedy: str = ""
    layer: str = ""
    refuses: bool = True
    """Whether the project cannot be published like that; otherwise it is a warning."""

    def sentence(self, others: Sequence[str] = ()) -> str:
        """Tell it all, of other layers of the project as well."""
        where = "/".join(part for part in (self.repository, self.project) if part)
        layers = ", ".join(f"'{one_line(name)}'" for name in (self.layer, *others))
        layer = f", layer{'s' if others else ''} {layers}" if self.layer else ""
        return one_line(f"{where}{layer}: {self.problem}" + (f" {self.remedy}" if self.remedy else ""))

    def as_dict(self) -> dict[str, Any]:
        """Give it as a module returns it."""
        return asdict(self)


def one_line(text: str) -> str:
    """Give a text, in which names stand that a project gives, without what a terminal obeys or ends a line."""
    return printable(text).replace("\n", " ").replace("\t", " ")


def as_message(findings: Sequence[ProjectFinding]) -> str:
    """Tell several findings in one message, a line each; layers with the same trouble together."""
    same: dict[ProjectFinding, list[str]] = {}
    for finding in findings:
        same.setdefault(replace(finding, layer=""), []).append(finding.layer)
    return "\n".join(replace(key, layer=first).sentence(others) for key, (first, *others) in same.items())


def withheld_warning(projects: Sequence[str], why: str) -> str:
    """Tell that projects are withheld while others are published."""
    return f"These projects are withheld, and what is served of them stays: {', '.join(projects)}. {why}"
