"""What is said of an image is what its archive holds: packages, licences, updates, programs of another processor."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from image_contents import __main__ as command
from image_contents import archive, comparison, features, lock, packages, report, sbom, updates
from image_contents.report import Subject

ARM64, AMD64 = 183, 62
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: arm64
Source: glibc (2.41-12)
Version: 2.41-12+b1

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1

Package: tool
Status: install ok installed
Architecture: all
Version: 1:2.0-1
"""
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Somebody
License: GPL-2+

Files: src/*
Copyright: 2021 Somebody else
License: Expat

License: GPL-2+
 The text.
"""
OS_RELEASE = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n'


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little") + bytes(44)


def layer(files: dict[str, bytes | str]) -> bytes:
    """Return a layer's tar; a value that begins with -> is a link, a name that begins with = a hard link."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str) and content.startswith("->"):
                member.type, member.linkname = tarfile.SYMTYPE, content.removeprefix("->")
                tar.addfile(member)
            else:
                data = content.encode() if isinstance(content, str) else content
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def saved(folder: Path, *layers: dict[str, bytes | str], name: str = "a.tar", compressed_layers: bool = False) -> Path:
    """Write what `docker save` writes of an image with these layers."""
    blobs = [layer(files) for files in layers]
    about = {
        "architecture": "arm64",
        "os": "linux",
        "created": "2026-01-02T03:04:05.123456789Z",
        "config": {"Labels": {"one": "1"}},
        "rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in blobs]},
        "history": [
            {"created_by": "ENV A=1", "empty_layer": True},
            *({"created_by": f"step {number}"} for number, _ in enumerate(blobs)),
        ],
    }
    names = [f"{number}/layer.tar" for number, _ in enumerate(blobs)]
    manifest = [{"Config": "config.json", "RepoTags": ["example/map:trixie-arm64-1"], "Layers": names}]
    members = {"config.json": json.dumps(about), "manifest.json": json.dumps(manifest)}
    kept = [gzip.compress(blob) if compressed_layers else blob for blob in blobs]
    content = layer({**members, **dict(zip(names, kept, strict=True))})
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    path = saved(
        tmp_path,
        {
            "./usr/lib/os-release": OS_RELEASE,
            "./var/lib/dpkg/status": STATUS,
            "usr/share/doc/libc6/copyright": COPYRIGHT,
            "usr/share/doc/tool": "->libc6",
            "usr/lib/libc.so.6": elf(ARM64),
        },
        {
            "usr/lib/python3/dist-packages/numpy-2.0.dist-info/METADATA": "Name: numpy\nVersion: 2.0\n",
            "opt/x/Py_Thing-1.0.dist-info/METADATA": "Name: Py_Thing\nVersion: 1.0\nLicense-Expression: MIT\n",
        },
        name="example-map-trixie-arm64-1.tar.gz",
    )
    return Subject(archive.read(path), path, tmp_path)


def test_layers_are_told_with_the_steps_that_made_them(subject: Subject) -> None:
    first, second = report.layers(subject)
    assert (first["created_by"], second["created_by"]) == ("step 0", "step 1")
    assert second["size"] == sum(len(t) for t in ("Name: numpy\nVersion: 2.0\n", "Name: Py_Thing\nVersion: 1.0\n")) + 24
    sizes = report.size(subject)
    whole = subject.archive.stat().st_size
    assert (sizes["unpacked"], sizes["compressed"]) == (first["size"] + second["size"], whole)
    assert 0 < sizes["last_layer"] < whole


def test_of_a_single_layer_the_last_one_is_all(tmp_path: Path) -> None:
    path = saved(tmp_path, {"usr/lib/libc.so.6": elf(ARM64)})
    assert report.size(Subject(archive.read(path), path, tmp_path))["last_layer"] == path.stat().st_size


def test_packages_are_those_installed_with_source_and_licences(subject: Subject) -> None:
    libc, tool = packages.debian_packages(subject.image.files)
    assert (libc.name, libc.source, libc.source_version) == ("libc6", "glibc", "2.41-12")
    assert (tool.name, tool.source, tool.source_version) == ("tool", "tool", "1:2.0-1")
    assert libc.licences == tool.licences == ("GPL-2.0-or-later", "MIT")


def test_python_modules_of_debians_own_packages_are_not_told_twice(subject: Subject) -> None:
    assert packages.python_distributions(subject.image.files) == [packages.Distribution("Py_Thing", "1.0", "MIT")]


@pytest.mark.parametrize(
    ("debian", "identifier"),
    [
        ("GPL-2", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-1.3-only", "GFDL-1.3-only"),
        ("BSD-3-clause", "BSD-3-clause"),
        ("GPL-2+ or Artistic", "GPL-2+ or Artistic"),
        ("Expat", "MIT"),
    ],
)
def test_licences_have_spdx_identifiers_where_they_can(debian: str, identifier: str) -> None:
    assert packages.spdx(debian) == identifier


def test_a_copyright_file_that_only_people_can_read_gives_no_licence() -> None:
    assert packages.licences("This package was debianized by Somebody.\nIt is GPL-2+.\n") == ()


def test_the_bill_of_materials_names_every_package_for_a_scanner(subject: Subject) -> None:
    text = sbom.text(subject.image)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    found = {component["name"]: component for component in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    assert set(found) == {"debian", "libc6", "tool", "Py_Thing"}
    assert found["libc6"]["purl"] == "pkg:deb/debian/libc6@2.41-12%2Bb1?arch=arm64&distro=debian-13"
    assert found["Py_Thing"]["purl"] == "pkg:pypi/py-thing@1.0"
    licences = [entry["license"].get("id") for entry in found["libc6"]["licenses"]]
    assert sorted(licences) == ["GPL-2.0-or-later", "MIT"]
    assert bill["metadata"]["component"]["version"] == "trixie-arm64-1"


def test_the_same_archive_gives_the_same_bill_beside_it(subject: Subject) -> None:
    first = report.write_sbom(subject)
    text = first.read_text()
    assert first.name == "example-map-trixie-arm64-1.cdx.json"
    assert sbom.text(archive.read(subject.archive)) == text


def test_what_an_upper_layer_removed_or_replaced_is_not_in_the_image(tmp_path: Path) -> None:
    lower: dict[str, bytes | str] = {
        "bin/a": elf(AMD64),
        "bin/b": elf(AMD64),
        "lib/x/c": elf(AMD64),
        "lib/y/d": elf(AMD64),
        "lib/yy/e": elf(ARM64),
        "f": elf(AMD64),
    }
    upper: dict[str, bytes | str] = {
        "bin/.wh.a": b"",
        "bin/b": elf(ARM64),
        "lib/x/.wh..wh..opq": b"",
        "lib/.wh.y": b"",
        "f": "->bin/b",
    }
    image = archive.read(saved(tmp_path, lower, upper))
    assert image.files.elf_machines == {"bin/b": ARM64, "lib/yy/e": ARM64}


def test_layers_that_the_engine_keeps_compressed_are_read_too(tmp_path: Path) -> None:
    path = saved(tmp_path, {"bin/own": elf(ARM64)}, compressed_layers=True)
    assert archive.read(path).files.elf_machines == {"bin/own": ARM64}


def test_a_program_for_another_processor_is_found_by_its_header(tmp_path: Path) -> None:
    path = saved(tmp_path, {"bin/own": elf(ARM64), "bin/odd": elf(AMD64), "bin/script": b"#!/bin/sh\n", "empty": b""})
    found = report.foreign_elf(Subject(archive.read(path), path, tmp_path))
    assert found == {"files": {"bin/odd": "x86-64"}, "own": 1}
    assert not report.is_sound({"foreign_elf": found, "behind": {"security": [], "other": []}})
    assert report.is_sound({"foreign_elf": {"files": {}, "own": 1}, "behind": {"security": ["late"], "other": []}})


def test_a_big_endian_program_is_told_apart() -> None:
    header = b"\x7fELF\x01\x02" + bytes(12) + b"\x00\x14"
    assert archive.elf_machine(header) == 0x14


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst"])
def test_an_archive_that_was_cut_short_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(saved(tmp_path, {"bin/own": elf(ARM64)}, name="whole.tar.gz").read_bytes()[:200])
    with pytest.raises(archive.ImageArchiveError, match="build the image again") as refused:
        archive.read(path)
    assert str(path) in str(refused.value)


def repository(folder: Path, suite: str, *entries: tuple[str, str]) -> str:
    """Write an apt repository without packages, only its index; return its line for sources.list."""
    index = "\n".join(
        f"Package: {name}\nVersion: {version}\nArchitecture: arm64\nSource: src\nFilename: ./x.deb\nSize: 1\n"
        f"SHA256: {'0' * 64}\n"
        for name, version in entries
    )
    folder.mkdir()
    (folder / "Packages").write_text(index)
    digest = hashlib.sha256(index.encode()).hexdigest()
    release = f"Suite: {suite}\nCodename: trixie\nSHA256:\n {digest} {len(index)} Packages\n"
    (folder / "Release").write_text(release)
    return f"deb [trusted=yes] file:{folder} ./\n"


def test_apt_compares_the_images_own_packages_with_the_images_own_sources(tmp_path: Path) -> None:
    status = "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: arm64\nSource: src\nVersion: {version}\n\n"
        for name, version in [("one", "1.9"), ("two", "1.9"), ("same", "3"), ("newer", "5~rc1")]
    )
    sources = repository(
        tmp_path / "apt", "stable-security", ("one", "1.10"), ("two", "1.10"), ("same", "3"), ("newer", "4")
    )
    path = saved(tmp_path, {"var/lib/dpkg/status": status, "etc/apt/sources.list": sources})
    found = report.behind(Subject(archive.read(path), path, tmp_path))
    assert (found["suites"], found["other"]) == (("stable-security",), [])
    assert [(p["source"], p["packages"], p["installed"], p["available"]) for p in found["security"]] == [
        ("src", ("one", "two"), "1.9", "1.10")
    ]


def test_it_is_said_when_nobody_could_know_of_security_updates(tmp_path: Path) -> None:
    sources = repository(tmp_path / "apt", "stable", ("libc6", "2.41-13"))
    path = saved(tmp_path, {"var/lib/dpkg/status": STATUS, "etc/apt/sources.list": sources})
    said = report.summary(report.about(Subject(archive.read(path), path, tmp_path)))
    assert "no suite of security updates, only stable" in said
    assert "  update: glibc 2.41-12+b1 -> 2.41-13 (stable)" in said


def test_suites_that_do_not_answer_are_no_good_news(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"var/lib/dpkg/status": STATUS}
    absent = {**files, "etc/apt/sources.list": "deb [trusted=yes] http://127.0.0.1:1/ ./\n"}
    for given, words in ((absent, "Connect this machine"), (files, "no apt sources")):
        path = saved(tmp_path, given)
        found = report.about(Subject(archive.read(path), path, tmp_path))
        assert words in found["behind"]["unknown"]
        assert not report.is_sound(found)
        assert f"updates: unknown. {found['behind']['unknown']}" in report.summary(found)


def test_an_update_from_another_suite_is_no_security_update() -> None:
    listing = "Listing...\nlibc6/stable-updates,stable 2.42 arm64 [upgradable from: 2.41-12+b1]\n"
    libc = packages.Package("libc6", "2.41-12+b1", "arm64", "glibc", "2.41-12")
    (found,) = updates.parse(listing, [libc])
    assert (found.source, found.suites, found.security) == ("glibc", ("stable-updates", "stable"), False)


def test_the_newest_archive_of_each_image_is_checked(tmp_path: Path) -> None:
    ages = {"map-arm64-2.tar.zst": 1, "map-arm64-1.tar.zst": 2, "map-armhf-1.tar.gz": 1, ".map-arm64-3.tar.zst.99": 3}
    for name, age in ages.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    found = command.newest(tmp_path / name for name in ages)
    assert [path.name for path in found] == ["map-arm64-1.tar.zst", "map-armhf-1.tar.gz"]


def test_a_lock_holds_the_packages_of_all_images_of_a_set(tmp_path: Path) -> None:
    dash, qgis = "dash\t1\tarm64\taa\n", "qgis\t3\tarm64\tbb\n"
    saved(tmp_path, {archive.RECORD: dash}, name="poppyfield-postgis-trixie-arm64-0123456789ab.tar")
    saved(tmp_path, {archive.RECORD: dash + qgis}, name="poppyfield-lizmap-trixie-arm64-ba9876543210.tar")
    renamed = [path.rename(f"{path}.tar") for path in tmp_path.glob("*.tar")]
    assert lock.locks(renamed) == {"trixie-arm64": dash + qgis}


def test_images_of_different_times_make_no_lock() -> None:
    with pytest.raises(archive.ImageArchiveError, match="different versions of dash"):
        lock.text("trixie-arm64", ["dash\t1\tarm64\taa", "dash\t2\tarm64\tcc"])


def test_two_trees_are_compared_by_content_permissions_owner_and_links(tmp_path: Path) -> None:
    tree = comparison.entries(saved(tmp_path, {"same": b"1", "gone": b"2"}, {"changed": b"3", ".wh.gone": b""}))
    assert set(tree) == {"same", "changed"}
    other = {**tree, "changed": replace(tree["changed"], digest="x", mode=0o600), "new": tree["same"]}
    found = comparison.compare(tree, other)
    assert found.compared == len(other)
    assert found.differing == {"changed": "mode, digest", "new": "only in the second"}


def test_failed_tests_of_the_images_are_named(tmp_path: Path) -> None:
    cases = '<testcase classname="images.a" name="x"/><testcase classname="images.a" name="y"><error/></testcase>'
    (tmp_path / "report.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert features.tested(tmp_path / "report.xml") == {"tests": {"a": 2}, "failed": ["a::y"]}
