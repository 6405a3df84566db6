"""Action plugin: reads a folder of projects on the controller, and sends to the host only the files that it lacks."""

from __future__ import annotations

import runpy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ansible.constants
from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.projects.findings import ProjectFinding, as_message, withheld_warning  # noqa: E402
from ansible.module_utils.poppyfield.projects.folder_difference import (  # noqa: E402
    File,
    FolderError,
    beginning,
    digest,
    of_projects,
    wanted_files,
)
from ansible.module_utils.poppyfield.projects.qgis_project import (  # noqa: E402
    ENDINGS,
    LARGEST_PROJECT,
    ProjectError,
    describe,
    parse_project,
    unpack,
    unpacked_name,
)
from ansible.module_utils.poppyfield.projects.sending import SendsFiles  # noqa: E402

display = Display()


class WantedRepository(NamedTuple):
    """A repository as it should be: the module's arguments, and where each file lies by its digest."""

    arguments: dict[str, Any]
    sources: dict[str, Path]

    def without(self, projects: set[str]) -> WantedRepository:
        """Give it without these projects, of which what is published stays."""
        own = self.arguments
        left_out = of_projects(projects)
        files = {name: file for name, file in own["_files"].items() if name not in left_out}
        others = {name: described for name, described in own["_projects"].items() if name not in projects}
        withheld = [*(own.get("withheld") or []), *sorted(projects)]
        return self._replace(arguments={**own, "_files": files, "_projects": others, "withheld": withheld})


class ActionModule(SendsFiles, ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Look, send what is missing a batch at a time, publish."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once to look and, only where something is to be done, to receive and to publish."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        entries = arguments.pop("repositories", None)
        if entries is not None:
            return result | self._publish_all(entries, arguments, task_vars)
        if arguments.get("state", "present") == "absent":
            return result | self._module(arguments, task_vars)
        wanted = self._read(arguments, unpacks=boolean(arguments.get("unpack", False)))
        looked = self._module({**wanted.arguments, "_step": "look"}, task_vars)
        return result | self._publish(wanted, looked, task_vars)

    def _publish_all(
        self, entries: list[dict[str, Any]], shared: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Look at all repositories in one execution, and publish those that differ."""
        unpacks = boolean(shared.get("unpack", False))
        wanted = [self._read(entry, unpacks=unpacks) for entry in entries]
        everything = {**shared, "repositories": [want.arguments for want in wanted], "_step": "look"}
        looked = self._module(everything, task_vars)
        if looked.get("failed"):
            return looked
        results: dict[str, dict[str, Any]] = {}
        for want, found in zip(wanted, looked["results"], strict=True):
            name = want.arguments["repository"]
            own = want._replace(arguments={**shared, **want.arguments})
            results[name] = self._publish(own, found, task_vars)
            if results[name].get("failed") and not refused(results[name]):
                return {**results[name], "msg": f"{name}: {results[name].get('msg')}"}
        failed = [done for done in results.values() if done.get("failed")]
        if failed and len(failed) == len(results):
            return {**failed[0], "msg": "\n".join(done["msg"] for done in failed)}
        told = {name: as_withheld(done) if done in failed else done for name, done in results.items()}
        return combined(told, looked["others"]) | {"has_basemaps": bool(looked.get("has_basemaps"))}

    def _read(self, arguments: dict[str, Any], *, unpacks: bool) -> WantedRepository:
        """Read what a folder on the controller holds."""
        folder = self._folder(arguments)
        try:
            left_out = of_projects(arguments.get("withheld") or [])
            files = {name: file for name, file in wanted_files(folder).items() if name not in left_out}
        except FolderError as error:
            raise AnsibleActionFail(str(error)) from error
        except OSError as error:
            raise AnsibleActionFail(f"{error.strerror}: {error.filename}.") from error
        sources = {name: folder / name for name in files}
        if unpacks:
            # Beside the .qgz, from which other projects may embed layers.
            more = {unpacked_name(name): unpacked(path) for name, path in sources.items() if is_zipped(name)}
            # Settings go with their project: those of a .qgs that is gone may still lie there.
            more = {name: path for name, path in more.items() if name.removesuffix(".cfg") not in sources}
            sources |= more
            files |= {name: file_of(path) for name, path in more.items()}
        shown = [name for name in files if is_project(name) and not (unpacks and is_zipped(name))]
        described = {name: describe_file(sources[name]) for name in shown}
        own = {"_files": {name: list(file) for name, file in files.items()}, "_projects": described}
        return WantedRepository({**arguments, **own}, {file.sha256: sources[name] for name, file in files.items()})

    def _publish(
        self, wanted: WantedRepository, looked: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Send what the host lacks, a batch at a time, and publish it."""
        missing, begun = looked.pop("_missing", {}), looked.pop("_begun", {})
        if looked.get("failed") or not looked.get("changed") or self._task.check_mode:
            return _with_warning(looked, task_vars)
        try:
            failed, sent = self.send_files(
                wanted.sources,
                sizes_of(missing, wanted),
                begun,
                lambda archive: self._module({**wanted.arguments, "_step": "receive", "_archive": archive}, task_vars),
                lambda part: display.display(f"Sending {part} to {_host(task_vars)}"),
            )
        except FolderError as error:
            raise AnsibleActionFail(str(error)) from error
        if failed:
            return failed
        published = self._module({**wanted.arguments, "_step": "publish"}, task_vars)
        bad = refused(published)
        if bad and set(wanted.arguments["_projects"]) - bad:
            published = self._publish_rest(wanted.without(bad), published, task_vars)
        published["uploaded_bytes"] = published.get("uploaded_bytes", 0) + sent
        return _with_warning(published, task_vars)

    def _publish_rest(
        self, rest: WantedRepository, first: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Publish without the projects that QGIS Server refused in a first attempt."""
        looked = self._module({**rest.arguments, "_step": "look"}, task_vars)
        done = self._publish(rest, looked, task_vars)
        if done.get("failed"):
            return done
        told = as_withheld(first)
        return {**done, **{key: told[key] for key in ("findings", "withheld", "refused", "warnings")}}

    def _folder(self, arguments: Mapping[str, Any]) -> Path:
        if not arguments.get("folder"):
            raise AnsibleActionFail("folder is missing: the folder on this laptop whose projects are to be published.")
        folder = Path(unfrackpath(str(arguments["folder"]), follow=False))
        if not folder.is_dir():
            raise AnsibleActionFail(f"There is no folder {folder} on this laptop.")
        return folder

    def _module(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(
            module_name="published_projects", module_args=arguments, task_vars=task_vars
        )
        return done


def sizes_of(missing: Any, wanted: WantedRepository) -> dict[str, int]:
    """Give the digests of what a host says that it lacks, with the sizes that the files have here."""
    if not isinstance(missing, Mapping) or not set(missing) <= set(wanted.sources):
        raise AnsibleActionFail("The host asks for files that are not of the folder: nothing more was sent to it.")
    sizes = {sha256: size for size, sha256 in wanted.arguments["_files"].values()}
    return {sha256: sizes[sha256] for sha256 in missing}


def refused(result: dict[str, Any]) -> set[str]:
    """Name the projects that QGIS Server refused."""
    return {finding["project"] for finding in result.get("findings", [])} if result.get("failed") else set()


def as_withheld(result: dict[str, Any]) -> dict[str, Any]:
    """Give a failure to publish some projects as a success without these."""
    names, told = sorted(refused(result)), result["msg"]
    return {
        **{"changed": False, "findings": result["findings"], "withheld": names, "refused": told},
        "warnings": [withheld_warning(names, told)],
    }


def combined(results: dict[str, dict[str, Any]], others: list[str]) -> dict[str, Any]:
    """Give the results of several repositories as one; `others` are published, too, and not named."""
    sides = {
        side: {name: result["diff"][side] for name, result in results.items() if result.get("changed")}
        for side in ("before", "after")
    }
    return {
        "changed": any(result.get("changed") for result in results.values()),
        "reasons": [f"{name}: {reason}" for name, result in results.items() for reason in result.get("reasons", [])],
        "warnings": [words for result in results.values() for words in result.pop("warnings", [])],
        "withheld": [f"{name}/{project}" for name, done in results.items() for project in done.get("withheld", [])],
        "refused": "\n".join(result["refused"] for result in results.values() if result.get("refused")),
        "results": results,
        "others": others,
        "diff": sides,
    }


def unpacked(path: Path) -> Path:
    """Give a project out of a .qgz, in a file that Ansible removes at its end; its .cfg as it is."""
    if path.suffix != ".qgz":
        return path
    try:
        content = unpack(path.name, beginning(path, LARGEST_PROJECT))
    except ProjectError as error:
        raise AnsibleActionFail(f"{path} is not a QGIS project: {error}") from error
    unpacked_into = (
        Path(tempfile.mkdtemp(prefix="poppyfield-", dir=ansible.constants.DEFAULT_LOCAL_TMP)) / f"{path.stem}.qgs"
    )
    unpacked_into.write_bytes(content)
    return unpacked_into


def is_zipped(name: str) -> bool:
    """Tell a project at the top of the folder that is saved as .qgz, and its .cfg."""
    return name.endswith((".qgz", ".qgz.cfg")) and "/" not in name


def file_of(path: Path) -> File:
    """Describe a file of the controller."""
    return File(path.stat().st_size, digest(path))


def is_project(name: str) -> bool:
    """Tell a project that is published: one at the top of the folder."""
    return name.endswith(ENDINGS) and "/" not in name


def describe_file(path: Path) -> dict[str, dict[str, Any]]:
    """Give what the Pi needs to name the layers of a project."""
    try:
        described: dict[str, dict[str, Any]] = describe(parse_project(path.name, beginning(path, LARGEST_PROJECT)))
    except ProjectError as error:
        raise AnsibleActionFail(f"{path} is not a QGIS project: {error}") from error
    return described


def _with_warning(result: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
    """Add warnings of what makes maps slow, and of files that are on the host only."""
    if slow := [ProjectFinding(**one) for one in result.get("slow", [])]:
        result.setdefault("warnings", []).extend(as_message(slow).splitlines())
    left = result.get("left", [])
    if left:
        names = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")  # noqa: PLR2004
        result.setdefault("warnings", []).append(
            f"{_host(task_vars)} still has files that are not in the folder any more: {names}. They stay, unless prune "
            "is true and no project is withheld."
        )
    return result


def _host(task_vars: dict[str, Any] | None) -> str:
    """Give the name of the host that the task runs on."""
    return str((task_vars or {}).get("inventory_hostname", "the host"))
