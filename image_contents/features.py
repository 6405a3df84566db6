"""What the tests of the images showed, from the report that pytest writes (JUnit's XML)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from image_contents.archive import Json


def tested(report: Path) -> Json:
    """Give the number of tests by module, and the names of those that failed."""
    modules: dict[str, int] = {}
    failed = []
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by our own test run
        module = case.get("classname", "").rpartition(".")[2]
        modules[module] = modules.get(module, 0) + 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{module}::{case.get('name')}")
    return {"tests": modules, "failed": failed}
