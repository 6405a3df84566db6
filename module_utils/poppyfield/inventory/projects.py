"""The folders of projects and the names under which they are published. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.poppyfield.inventory.laptop import Laptop, local_path
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown
from ansible.module_utils.poppyfield.projects.published_folder import BASEMAPS

REPOSITORY = re.compile(r"[A-Za-z0-9_-]+")


def findings(host: Host, laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong."""
    projects = host.values["lizmap_projects"]
    yield from names([project["repository"] for project in projects])
    yield from _of_servers(projects, host.values["lizmap_may_reach"])
    for folder in dict.fromkeys(project["folder"] for project in projects):
        if not laptop.is_folder(folder):
            yield Finding("lizmap_projects", "it is not a folder on this laptop", "Correct the folder", shown(folder))


def _of_servers(projects: Iterable[Mapping[str, Any]], may_reach: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    with_servers = [project["repository"] for project in projects if project.get("internet", False)]
    if with_servers and not list(may_reach):
        yield Finding(
            "lizmap_projects",
            f"internet is true for {', '.join(with_servers)}, but the firewall lets the map server reach no server",
            "Name the servers' addresses in lizmap_may_reach, and that of the DNS server (port 53, udp); or leave "
            "internet out",
        )


def names(repositories: Iterable[str]) -> Iterator[Finding]:
    """Give names of repositories that cannot be, or that are there twice."""
    counted = Counter(name.lower() for name in repositories)
    for name, times in counted.items():
        if times > 1:
            yield Finding(
                "lizmap_projects",
                f"it names the repository {name} twice (upper and lower case do not tell them apart)",
                "Give each its own name, or put their files into one folder",
            )
    for name in dict.fromkeys(repositories):
        if not REPOSITORY.fullmatch(name):
            yield Finding(
                "lizmap_projects",
                "it cannot be the name of a repository",
                "Use letters, digits and underscores",
                shown(name),
            )
        elif name.lower() == BASEMAPS:
            yield Finding(
                "lizmap_projects",
                "a repository cannot have this name, which is that of the folder with the base maps",
                "Give it another name",
                shown(name),
            )


def repositories_of_all(hosts: Iterable[Host]) -> list[dict[str, Any]]:
    """Give what all hosts publish, each folder once: they mostly have the same."""
    found: list[dict[str, Any]] = []
    for host in hosts:
        for project in host.values["lizmap_projects"]:
            entry = _entry(project)
            if entry not in found:
                found.append(entry)
    return found


def _entry(project: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "repository": project["repository"],
        "folder": str(local_path(project["folder"])),
        "accept_newer_qgis": bool(project.get("accept_newer_qgis", False)),
        "internet": bool(project.get("internet", False)),
    }
