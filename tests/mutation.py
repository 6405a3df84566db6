"""Mutation testing of what decides: the planner, the specification and the digest of a build context.

A mutant is a small change of the code that some test must notice. The tests run on a copy of the checkout in
build/mutation, so that the sources are never touched. The result goes to build/reports/mutation.json, and it fails when
in one of the files too few mutants are noticed. Those that survive are explained in tests/mutation-survivors.toml; any
other is printed.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

ROOT = Path(__file__).resolve().parents[1]
COPY = ROOT / "build" / "mutation"
SOURCES = Path("ansible/module_utils/poppyfield")
REPORT = ROOT / "build" / "reports" / "mutation.json"
EXPLANATIONS = ROOT / "tests" / "mutation-survivors.toml"
LEAST_PERCENT = 90.0
MOST_MEMORY = 4 * 1024**3
"""For each process, in bytes: a mutant may go on for ever and gather memory."""
# A mutant that never ends is noticed too.
NOTICED = ("killed", "timeout")
UNTRIED = ("not checked", "check was interrupted by user")


@dataclass(frozen=True)
class Mutant:
    """A change in one function: its lines before and after, without their indentation."""

    file: str
    function: str
    before: str
    after: str

    def __str__(self) -> str:
        """Show it as a difference."""
        return f"{self.file}, {self.function}:\n  - {self.before}\n  + {self.after}"


def lay_out() -> None:
    """Copy what the tests need, with the code where its name as a Python module says."""
    shutil.rmtree(COPY, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for source, target in (
        ("module_utils", SOURCES.parent),
        ("tests", "tests"),
        ("library", "library"),
        ("plugins", "plugins"),
    ):
        shutil.copytree(ROOT / source, COPY / target, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", COPY)
    # Where the tests look for it.
    (COPY / "mutants").mkdir()
    (COPY / "mutants" / "module_utils").symlink_to(SOURCES.parent)


def try_all() -> None:
    """Make the mutants, and run the tests on each."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    log = COPY / "log"
    print(f"This takes some minutes; {log} tells how far it is.", flush=True)
    with log.open("w", encoding="utf-8") as stream:
        command = [str(Path(sys.executable).with_name("mutmut")), "run"]
        subprocess.run(command, cwd=COPY, check=True, stdout=stream, stderr=subprocess.STDOUT)


def results() -> dict[str, list[tuple[str, Mutant]]]:
    """Read what became of the mutants of each file."""
    found: dict[str, list[tuple[str, Mutant]]] = {}
    with contextlib.chdir(COPY):
        for path in sorted((COPY / "mutants" / SOURCES).rglob("*.py.meta")):
            codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
            found[path.stem] = [
                (status_by_exit_code[code], mutant_of(key, path.relative_to(COPY / "mutants").with_suffix("")))
                for key, code in codes.items()
            ]
    return {file: mutants for file, mutants in found.items() if mutants}


def mutant_of(key: str, path: Path) -> Mutant:
    """Describe a mutant by what it changes, which stays the same while other code changes."""
    function, owner = orig_function_and_class_names_from_key(key)
    difference = get_diff_for_mutant(key, path=path).splitlines()[2:]
    before, after = (" ".join(line[1:].strip() for line in difference if line.startswith(sign)) for sign in ("-", "+"))
    return Mutant(path.name, f"{owner}.{function}" if owner else function, before, after)


def explained() -> set[Mutant]:
    """Read which mutants are known to survive."""
    return {
        Mutant(entry["file"], entry["function"], entry["before"], after)
        for entry in tomllib.loads(EXPLANATIONS.read_text(encoding="utf-8"))["survivor"]
        for after in entry["after"]
    }


def main() -> int:
    """Try, report, judge, return the exit status."""
    lay_out()
    try_all()
    known = explained()
    survivors: set[Mutant] = set()
    report = {}
    for file, mutants in results().items():
        if any(status in UNTRIED for status, _ in mutants):
            print(f"Not every mutant of {file} was tried.", file=sys.stderr)
            return 1
        alive = [mutant for status, mutant in mutants if status not in NOTICED]
        survivors.update(alive)
        killed = len(mutants) - len(alive)
        report[file] = {
            "mutants": len(mutants),
            "killed": killed,
            "survived": len(alive),
            "explained": sum(mutant in known for mutant in alive),
            "percent": round(100 * killed / len(mutants), 1),
        }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for what, which in (("Survived", survivors - known), ("Explained, but did not survive", known - survivors)):
        for mutant in sorted(which, key=str):
            print(f"{what}: {mutant}")
    for file, counts in report.items():
        print(f"{file}: {counts['killed']} of {counts['mutants']} mutants were noticed: {counts['percent']} %")
    return int(any(counts["percent"] < LEAST_PERCENT for counts in report.values()))


if __name__ == "__main__":
    sys.exit(main())
