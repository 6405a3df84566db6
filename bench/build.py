"""`python -m bench.build [PROFILE [ARCHITECTURE]]`: how long the images take to build, in three ways, side by side.

- plain: every program of the steps runs under emulation;
- assisted: as the product builds, with the machine's own tools;
- native: the same Dockerfiles for the machine's own architecture.

All ways use the same packages, fetched beforehand, and none syncs each file to the disk. Each image is built from its
first step (no cache of layers) upon the base of its own way. Writes build/bench/build.json, prints a table in Markdown.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from module_utils.poppyfield.engine import BuildRequest, DockerCommand
from module_utils.poppyfield.images import EMULATED_CPUS

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "images"
REPORT = ROOT / "build" / "bench" / "build.json"
PREFIX = "pf-bench-build"
PLATFORMS = {"arm64": "linux/arm64", "armhf": "linux/arm/v7", "amd64": "linux/amd64"}
VERSIONS = {
    "trixie": {"POSTGRESQL_VERSION": "17", "PHP_VERSION": "8.4"},
    "bookworm": {"POSTGRESQL_VERSION": "15", "PHP_VERSION": "8.2"},
}
# Image -> its context and target. The last has what Lizmap needs; Lizmap's own archive is no part of it.
SUBJECTS = {
    "base": ("base", ""),
    "postgis": ("postgis", ""),
    "lizmap, map page": ("lizmap", "map-page"),
    "lizmap, packages of Lizmap": ("lizmap", "packages-of-lizmap"),
}


@dataclass(frozen=True)
class Way:
    """A way to build: for which architecture, with the tools of which."""

    name: str
    architecture: str
    tools: str


def ways(own: str, target: str) -> list[Way]:
    """Give the three ways, the slowest first."""
    return [Way("plain", target, target), Way("assisted", target, own), Way("native", own, own)]


class Bench:
    """The images of one profile, made and timed."""

    def __init__(self, profile: str, scratch: Path) -> None:
        self._profile = profile
        self._scratch = scratch
        self._docker = DockerCommand.find()
        self._contexts = {name: self._copy(name) for name in ("base", "postgis", "lizmap", "tools")}
        page = subprocess.run(
            [str(IMAGES / "lizmap" / "bundle-map-page"), str(scratch)], check=True, capture_output=True, text=True
        ).stdout.strip()
        shutil.copytree(page, self._contexts["lizmap"] / "dist" / "map-page")

    def make_tools(self, way: Way) -> float:
        """Make the build tools of a way; give the seconds from nothing."""
        started = time.monotonic()
        archive = self._contexts["tools"] / "rootfs.tar"
        command = [str(IMAGES / "tools" / "bootstrap"), self._profile, way.tools, way.architecture, str(archive)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._build(self._reference(way, "tools"), PLATFORMS[way.tools], "tools", {}, "")
        return time.monotonic() - started

    def build(self, way: Way, subject: str) -> float:
        """Build an image; give the seconds."""
        context, target = SUBJECTS[subject]
        arguments = {
            **VERSIONS[self._profile],
            "TOOLS_IMAGE": self._reference(way, "tools"),
            "TOOLS_PLATFORM": PLATFORMS[way.tools],
            "BASE_IMAGE": self._reference(way, "base"),
        }
        if cpu := EMULATED_CPUS.get(PLATFORMS[way.architecture]):
            arguments["QEMU_CPU"] = cpu
        started = time.monotonic()
        self._build(self._reference(way, subject), PLATFORMS[way.architecture], context, arguments, target)
        return time.monotonic() - started

    def size(self, way: Way, subject: str) -> int:
        """Give the bytes of an image, unpacked."""
        image = self._docker.image(self._reference(way, subject))
        return int(image["Size"]) if image else 0

    def clean(self) -> None:
        """Remove the images."""
        for image in self._docker.images(PREFIX):
            for reference in image["RepoTags"]:
                self._docker.remove_image(reference)

    def _reference(self, way: Way, subject: str) -> str:
        return f"{PREFIX}:{self._profile}-{way.name}-{subject.replace(', ', '-').replace(' ', '-').lower()}"

    def _build(self, reference: str, wanted: str, context: str, arguments: dict[str, str], target: str) -> None:
        folder = self._contexts[context]
        request = BuildRequest(
            reference, wanted, folder, folder / "Dockerfile", {}, arguments, target=target, no_cache=True
        )
        self._docker.build(request, lambda _: None)

    def _copy(self, name: str) -> Path:
        ignore = shutil.ignore_patterns("dist", "node_modules", "rootfs.tar")
        return Path(shutil.copytree(IMAGES / name, self._scratch / name, ignore=ignore))


def main() -> int:
    """Run the benchmark; return the exit status."""
    profile, target = [*sys.argv[1:], *["trixie", "arm64"][len(sys.argv) - 1 :]][:2]
    own = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as folder:
        bench = Bench(profile, Path(folder))
        try:
            rows, tools = measure(bench, ways(own, target))
        finally:
            bench.clean()
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.platform()},
        "profile": profile,
        "architecture": target,
        "tools_s": tools,
        "images": rows,
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table(rows)}\n\nThe tools are made once: {tools:.0f} s. Every figure: {REPORT.relative_to(ROOT)}")
    return 0


def measure(bench: Bench, in_ways: list[Way]) -> tuple[dict[str, dict[str, float]], float]:
    """Give the figures of each image, and the seconds that the tools of the assisted way take."""
    tools = {way.name: bench.make_tools(way) for way in in_ways}
    _, assisted, native = in_ways
    for way in (assisted, native):
        for subject in SUBJECTS:
            print(f"Fetching the packages: {subject}, {way.architecture}", flush=True)
            bench.build(way, subject)
    rows = {}
    for subject in SUBJECTS:
        seconds = {}
        for way in in_ways:
            print(f"Timing: {subject}, {way.name}", flush=True)
            seconds[way.name] = round(bench.build(way, subject), 1)
        rows[subject] = {
            **{f"{name}_s": figure for name, figure in seconds.items()},
            "speedup": round(seconds["plain"] / seconds["assisted"], 2),
            "over_native": round(seconds["assisted"] / seconds["native"], 2),
            "unpacked_bytes": bench.size(assisted, subject),
        }
    return rows, round(tools["assisted"], 1)


def table(rows: dict[str, dict[str, float]]) -> str:
    """Give the figures as a table in Markdown."""
    lines = [
        "| image | emulated, s | with native tools, s | native, s | times faster | times native | unpacked, MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for subject, row in rows.items():
        lines.append(
            f"| {subject} | {row['plain_s']:.0f} | {row['assisted_s']:.0f} | {row['native_s']:.0f} "
            f"| {row['speedup']:.1f} | {row['over_native']:.2f} | {row['unpacked_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
