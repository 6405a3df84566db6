"""Whether what was restored is what was saved: what differs, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Say all that differs between what a backup held, as it was recorded then, and what was restored from it."""
    said = _of_rights("", recorded["roles"], found["roles"])
    for name, content in recorded["databases"].items():
        if name not in found["databases"]:
            said.append(f"The database {name} is missing.")
            continue
        restored = found["databases"][name]
        said += _of_tables(f"{name}: ", content["tables"], restored["tables"])
        said += _of_sequences(f"{name}: ", content["sequences"], restored["sequences"])
        said += _of_rights(f"{name}: ", content["rights"], restored["rights"])
    return said + _of_files(recorded["files"], found["files"])


def _of_tables(where: str, recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    said = [f"{where}{name} was not saved, and is there." for name in found if name not in recorded]
    for name, content in recorded.items():
        if name not in found:
            said.append(f"{where}{name} is missing.")
        # One that was emptied or rewritten while it was saved looks empty to whoever began before.
        elif content is None or content == found[name]:
            continue
        elif found[name] is None:
            said.append(f"{where}{name} can't be read.")
        elif content[0] != found[name][0]:
            said.append(f"{where}{name} has {found[name][0]} rows, and had {content[0]}.")
        else:
            said.append(f"{where}{name} has other values in its {content[0]} rows than it had.")
    return said


def _of_sequences(where: str, recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Compare the next value: a sequence goes on while it is saved, so that there is a first and a last one."""
    said = [f"{where}the sequence {name} was not saved, and is there." for name in found if name not in recorded]
    for name, between in recorded.items():
        if name not in found:
            said.append(f"{where}the sequence {name} is missing.")
        elif between is not None and (found[name] is None or not between[0] <= found[name][0] <= between[1]):
            value = "nothing" if found[name] is None else found[name][0]
            said.append(f"{where}the sequence {name} would give {value} next, and not {between[0]}.")
    return said


def _of_rights(where: str, recorded: Sequence[str], found: Sequence[str]) -> list[str]:
    missing = [f"{where}missing: {line}." for line in sorted({*recorded} - {*found})]
    return missing + [f"{where}was not so: {line}." for line in sorted({*found} - {*recorded})]


def _of_files(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    said = []
    for path, saved in recorded.items():
        restored = found.get(path)
        if restored is None:
            said.append(f"{path} is missing.")
        elif restored["bytes"] != saved["bytes"]:
            said.append(f"{path} has {restored['bytes']} bytes, and had {saved['bytes']}.")
        elif restored["digest"] != saved["digest"]:
            said.append(f"{path} has another content than it had.")
        elif restored["owner"] != saved["owner"]:
            said.append(f"{path} has another owner or other rights than it had.")
    return said


def faults_of_maps(maps: Mapping[str, str]) -> list[str]:
    """Say which maps do not draw from what was restored, and why."""
    return [f"The map {name} does not draw from it: {why}" for name, why in maps.items() if why]


def objects_of(content: Mapping[str, Any]) -> dict[str, int]:
    """Count what a proof compares."""
    databases_in = content["databases"].values()
    tables = [table for one in databases_in for table in one["tables"].values() if table is not None]
    return {
        "databases": len(content["databases"]),
        "tables": len(tables),
        "rows": sum(rows for rows, _ in tables),
        "sequences": sum(len(one["sequences"]) for one in databases_in),
        "rights": len(content["roles"]) + sum(len(one["rights"]) for one in databases_in),
        "files": len(content["files"]),
    }
