"""What the images hold.

`python -m image_contents sbom ARCHIVE` writes the bill of materials beside an image's archive.
`python -m image_contents check [IMAGE ...]` reports on archives, or on images of this machine's Docker Engine, to
build/reports/images.json; without a name on the newest archive of each image in the cache. It asks Debian's suites for
updates. The exit status is 1 when an image holds a program for another processor, or the suites did not answer.
`python -m image_contents lock FOLDER` writes the packages of the newest archives to FOLDER/PROFILE-ARCHITECTURE.tsv, to
be built again with arm_images_lock_folder.
`python -m image_contents compare [PROFILE [ARCHITECTURE]]` builds each image under emulation and, twice, as the product
does; it writes to build/reports/comparison.json whether the files are the same, and the layers of the two. The exit
status is 1 when they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.poppyfield.containers.engine import DockerCommand, EngineError

from image_contents import builds, comparison, features, lock, report
from image_contents.archive import ImageArchiveError, read
from image_contents.report import Subject

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "reports"


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="image_contents", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sbom").add_argument("archive", type=Path)
    commands.add_parser("check").add_argument("images", nargs="*", metavar="IMAGE")
    commands.add_parser("lock").add_argument("folder", type=Path)
    comparing = commands.add_parser("compare")
    comparing.add_argument("profile", nargs="?", default="trixie")
    comparing.add_argument("architecture", nargs="?", default="arm64")
    comparing.add_argument("--only", action="append", choices=list(builds.SUBJECTS), help="may be given several times")
    comparing.add_argument("--mirror", default="", help="of Debian: an address, or a line of sources.list")
    options = parser.parse_args()
    try:
        if options.command == "sbom":
            print(report.write_sbom(Subject(read(options.archive), options.archive, options.archive.parent)))
            return 0
        if options.command == "lock":
            return write_locks(options.folder)
        if options.command == "compare":
            subjects = options.only or list(builds.SUBJECTS)
            return compare(options.profile, options.architecture, subjects, options.mirror)
        return check(options.images or [str(path) for path in newest(cache().glob("*.tar.*"))])
    except ImageArchiveError as error:
        print(error, file=sys.stderr)
        return 1


def check(images: list[str]) -> int:
    """Write the report and print its summary; return the exit status."""
    if not images:
        raise ImageArchiveError(f"There is no archive in {cache()}: run ansible-playbook playbooks/build.yml first.")
    REPORTS.mkdir(parents=True, exist_ok=True)
    found = []
    for name in images:
        with archive(name) as path:
            found.append(report.about(Subject(read(path), path, path.parent if Path(name).exists() else REPORTS)))
        print(report.summary(found[-1]), flush=True)
    write_report("images.json", {"images": found, **of_earlier_runs()})
    return int(not all(map(report.is_sound, found)))


def write_locks(folder: Path) -> int:
    """Write the lock of each set of images in the cache; return the exit status."""
    written = lock.locks(newest(cache().glob("*.tar.*")))
    if not written:
        raise ImageArchiveError(f"There is no archive in {cache()}: run ansible-playbook playbooks/build.yml first.")
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, text in written.items():
        path = folder / f"{prefix}.tsv"
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


def of_earlier_runs() -> dict[str, object]:
    """Give what the comparison of the builds and the tests of the images have reported."""
    given: dict[str, object] = {}
    if (path := REPORTS / "comparison.json").exists():
        given["compared"] = json.loads(path.read_text(encoding="utf-8"))
    if (path := REPORTS / "images-tests.xml").exists():
        given["features_tested"] = features.tested(path)
    return given


def compare(profile: str, architecture: str, subjects: list[str], mirror: str) -> int:
    """Build each image in two ways, write what differs and print a summary; return the exit status."""
    found = {}
    in_ways = builds.ways(builds.own_architecture(), architecture)
    with builds.prepared(profile, mirror) as trial:
        for way in (in_ways.plain, in_ways.assisted):
            trial.make_tools(way)
        for subject in ["base", *(subject for subject in subjects if subject != "base")]:
            found[subject] = comparison.of_builds(trial, in_ways, subject)
            print(comparison.summary(subject, found[subject]), flush=True)
    write_report("comparison.json", {"profile": profile, "architecture": architecture, "images": found})
    return int(not all(map(comparison.is_sound, found.values())))


def write_report(name: str, content: dict[str, object]) -> None:
    """Write a report and say where it is."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    path = REPORTS / name
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"Everything: {path.relative_to(ROOT)}")


def cache() -> Path:
    """Return where the build keeps the archives, unless arm_images_cache_folder says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poppyfield" / "images"


def newest(archives: Iterable[Path]) -> list[Path]:
    """Return the newest archive of each image: their names differ in the digits at the end only."""
    by_age = sorted(archives, key=lambda path: path.stat().st_mtime)
    return sorted({path.name.rpartition("-")[0]: path for path in by_age if not path.name.startswith(".")}.values())


@contextmanager
def archive(name: str) -> Iterator[Path]:
    """Give the archive that is named, or one made for the time being of an image of the engine."""
    if Path(name).is_file():
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="poppyfield-image-") as folder:
        path = Path(folder) / f"{name.replace('/', '-').replace(':', '-')}.tar.zst"
        try:
            DockerCommand.find().save(name, path)
        except EngineError as error:
            raise ImageArchiveError(
                f"{name} is neither an archive nor an image of this machine's Docker Engine. {error}"
            ) from error
        yield path


if __name__ == "__main__":
    sys.exit(main())
