"""What the images hold.

`python -m image_contents sbom ARCHIVE` writes the bill of materials beside an image's archive.
`python -m image_contents check [IMAGE ...]` reports on archives, or on images of this machine's Docker Engine, to
build/reports/images.json; without a name on the newest archive of each image in the cache. It asks Debian's suites for
updates. The exit status is 1 when an image holds a program for another processor, or the suites did not answer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from image_contents import report
from image_contents.archive import ArchiveError, read
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
    options = parser.parse_args()
    try:
        if options.command == "sbom":
            print(report.write_sbom(Subject(read(options.archive), options.archive, options.archive.parent)))
            return 0
        return check(options.images or [str(path) for path in newest(cache().glob("*.tar.*"))])
    except ArchiveError as error:
        print(error, file=sys.stderr)
        return 1


def check(images: list[str]) -> int:
    """Write the report and print its summary; return the exit status."""
    if not images:
        raise ArchiveError(f"There is no archive in {cache()}: run ansible-playbook playbooks/build.yml first.")
    REPORTS.mkdir(parents=True, exist_ok=True)
    found = []
    for name in images:
        with archive(name) as path:
            found.append(report.about(Subject(read(path), path, path.parent if Path(name).exists() else REPORTS)))
        print(report.summary(found[-1]), flush=True)
    path = REPORTS / "images.json"
    path.write_text(json.dumps({"images": found}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"Everything: {path.relative_to(ROOT)}")
    return int(not all(map(report.is_sound, found)))


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
    with ExitStack() as stack:
        if Path(name).is_file():
            yield Path(name)
            return
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="poppyfield-image-"))
        path = Path(folder) / f"{name.replace('/', '-').replace(':', '-')}.tar.zst"
        save(name, path)
        yield path


def save(reference: str, path: Path) -> None:
    """Save an image of this machine's engine, compressed as the build compresses its archives."""
    with path.open("wb") as target, subprocess.Popen(["docker", "save", reference], stdout=subprocess.PIPE) as saving:
        packed = subprocess.run(["zstd", "-q", "-T0", "-3", "-c"], stdin=saving.stdout, stdout=target, check=False)
    if saving.returncode or packed.returncode:
        raise ArchiveError(f"{reference} is neither an archive nor an image of this machine's Docker Engine.")


if __name__ == "__main__":
    sys.exit(main())
