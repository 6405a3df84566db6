"""arm_image against a fake docker command: run twice, change each option once, check mode, prune, explain failures."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import engine
from ansible.module_utils.poppyfield.containers.engine import DockerCommand, EngineError

DOUBLES = Path(__file__).resolve().parents[1] / "doubles"
Run = Callable[..., dict[str, Any]]
Build = Callable[..., dict[str, Any]]
PREDICTED = ("changed", "reasons", "image", "digest", "pruned", "failed", "msg")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only docker command is the fake one."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "version").write_text("Docker version 20.10.24+dfsg1, build 297e128")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").symlink_to(DOUBLES / "docker_command")
    # Not what is first on PATH: a version manager's python3 is a script that needs the rest of PATH.
    (programs / "python3").symlink_to(sys.executable)
    (programs / "env").symlink_to(shutil.which("env") or "")
    monkeypatch.setenv("FAKE_DOCKER", str(folder))
    monkeypatch.setenv("PATH", str(programs))
    return folder


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (folder / ".dockerignore").write_text("*.md\n")
    (folder / "README.md").write_text("ignored")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o700)
    return folder


@pytest.fixture
def build(state: Path, context: Path, run_module: Run) -> Build:
    def run(check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {
            "name": "poppyfield/test",
            "tag_prefix": "trixie-arm64",
            "platform": "linux/arm64",
            "context": str(context),
            **arguments,
        }
        return run_module("arm_image", check_mode=check_mode, **given)

    return run


@pytest.fixture
def build_as_predicted(state: Path, build: Build) -> Build:
    """Run in check mode, then in earnest; both must say the same, and the first must have done nothing."""

    def run(**arguments: Any) -> dict[str, Any]:
        before = {path.name: path.read_text() for path in state.iterdir()}
        predicted = build(check_mode=True, **arguments)
        assert {path.name: path.read_text() for path in state.iterdir()} == before
        done = build(**arguments)
        assert {key: predicted.get(key) for key in PREDICTED} == {key: done.get(key) for key in PREDICTED}
        return done

    return run


def builds(state: Path) -> list[dict[str, Any]]:
    path = state / "builds.json"
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def images(state: Path) -> dict[str, Any]:
    path = state / "images.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def foreign(number: int, architecture: str = "arm64", **config: Any) -> dict[str, Any]:
    """An image that this project did not make."""
    return {
        "Id": f"sha256:f{number:063x}",
        "Os": "linux",
        "Architecture": architecture,
        "Config": {"Env": ["PATH=/bin"], **config},
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{number:064x}"]},
    }


def add_image(state: Path, reference: str, image: dict[str, Any]) -> None:
    (state / "images.json").write_text(json.dumps({**images(state), reference: {**image, "RepoTags": [reference]}}))


def publish(state: Path, reference: str, **platforms: dict[str, Any]) -> None:
    """Make a registry that has one image, for the platforms linux/..., and can be reached."""
    (state / "registry.json").write_text(json.dumps({reference: {f"linux/{p}": i for p, i in platforms.items()}}))


# The digest decides ---------------------------------------------------------------------------------------------------


def test_the_first_run_builds_and_the_second_does_not(state: Path, build_as_predicted: Build) -> None:
    first = build_as_predicted()
    assert first["changed"] and first["built"]
    assert first["image"] == f"poppyfield/test:trixie-arm64-{first['digest'][:12]}"
    assert (first["bytes"], first["architecture"], first["archive"]) == (1234, "aarch64", "")
    assert not first["undetermined"]
    second = build_as_predicted()
    assert not second["changed"] and not second["built"]
    assert second["image_id"] == first["image_id"]
    assert len(builds(state)) == 1


def test_the_build_gets_the_context_as_it_was_counted(state: Path, build: Build, tmp_path: Path) -> None:
    (tmp_path / "rootfs").write_text("root")
    build(additions={"dist/rootfs.md": str(tmp_path / "rootfs")}, build_args={"VERSION": 17}, target="last")
    (received,) = builds(state)
    assert received["files"] == {"Dockerfile": "0o644", "run": "0o755", "dist/rootfs.md": "0o644"}
    assert received["arguments"] == {"VERSION": "17", "QEMU_CPU": "cortex-a72"}
    assert received["words"][0] == "build"
    assert received["words"][received["words"].index("--target") + 1] == "last"


CHANGES: list[tuple[str, dict[str, Any], bool]] = [
    ("name", {"name": "poppyfield/other"}, True),
    ("tag_prefix", {"tag_prefix": "bookworm-arm64"}, True),
    ("platform", {"platform": "linux/amd64"}, True),
    ("context", {"context": "{tmp}/other"}, True),
    ("dockerfile", {"dockerfile": "Dockerfile.other"}, True),
    ("additions", {"additions": {"more": "{tmp}/more"}}, True),
    ("target", {"target": "map-page"}, True),
    ("build_args", {"build_args": {"VERSION": "18"}}, True),
    ("build_args removed", {"build_args": {}}, True),
    ("base_image", {"base_image": "example/base:1"}, True),
    ("force", {"force": True}, True),
    ("archive_folder", {"archive_folder": "{tmp}/archives"}, True),
    ("a file that is left out", {"context": "{tmp}/documented"}, False),
    ("pull of the same", {"pull": True}, False),
    ("keep", {"keep": 5}, False),
    ("used_by", {"used_by": "this checkout"}, False),
    ("uses_folder", {"uses_folder": "{tmp}/uses"}, False),
    ("log_file", {"log_file": "{tmp}/build.log"}, False),
    ("emulated_cpu", {"emulated_cpu": "max"}, False),
    ("labels", {"labels": {"org.opencontainers.image.revision": "abc"}}, False),
    ("compression", {"compression": "gzip"}, False),
    ("docker_command", {"docker_command": "{tmp}/bin/docker"}, False),
    ("state", {"state": "absent"}, True),
]


def test_each_option_changed_once(
    state: Path, build: Build, build_as_predicted: Build, context: Path, tmp_path: Path
) -> None:
    add_image(state, "example/base:1", foreign(1))
    (context / "Dockerfile.other").write_text("FROM scratch\nCOPY run /\n")
    (tmp_path / "more").write_text("more")
    shutil.copytree(context, tmp_path / "other")
    (tmp_path / "other" / "run").write_text("#!/bin/bash\n")
    shutil.copytree(context, tmp_path / "documented")
    (tmp_path / "documented" / "README.md").write_text("Other words")
    baseline = {"build_args": {"VERSION": "17"}, "keep": 50}
    build_as_predicted(**baseline)
    for what, change, changes in CHANGES:
        given = {**baseline, **json.loads(json.dumps(change).replace("{tmp}", str(tmp_path)))}
        changed = build_as_predicted(**given)
        assert (what, changed["changed"], bool(changed["reasons"])) == (what, changes, changes)
        if changes:
            assert (what, build(**given)["changed"]) == (what, "force" in change)


def test_each_input_gives_another_digest(build: Build, context: Path) -> None:
    seen = [build(check_mode=True)["digest"], build(check_mode=True, target="map-page")["digest"]]
    (context / "run").chmod(0o600)
    seen.append(build(check_mode=True)["digest"])
    (context / "run").write_text("#!/bin/bash\n")
    seen.append(build(check_mode=True)["digest"])
    (context / "Dockerfile").write_text("FROM scratch\n")
    seen.append(build(check_mode=True)["digest"])
    assert len(set(seen)) == 5


def test_a_folder_is_given_as_a_person_would(build: Build, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(context.parent))
    monkeypatch.setenv("PLACE", context.name)
    assert build(check_mode=True, context="~/$PLACE")["digest"] == build(check_mode=True)["digest"]


@pytest.mark.parametrize(
    ("platform", "given", "cpu"),
    [("linux/amd64", None, None), ("linux/arm/v7", None, None), ("linux/arm/v7", "cortex-a15", "cortex-a15")],
)
def test_only_a_foreign_platform_is_told_its_processor(
    state: Path, build: Build, platform: str, given: str | None, cpu: str | None
) -> None:
    build(platform=platform, **({"emulated_cpu": given} if given else {}))
    assert builds(state)[0]["arguments"].get("QEMU_CPU") == cpu


def test_buildx_is_preferred_and_makes_no_attestations(state: Path, build: Build) -> None:
    (state / "buildx").touch()
    (state / "version").write_text("Docker version 28.2.2, build e6534b4")
    build()
    words = builds(state)[0]["words"]
    assert words[:2] == ["buildx", "build"]
    assert {"--load", "--provenance=false", "--sbom=false"} <= set(words)


def test_the_labels_describe_the_image_and_hide_those_of_its_base(state: Path, build: Build) -> None:
    add_image(state, "example/base:1", foreign(1))
    given = {"org.opencontainers.image.created": "2026-01-02T03:04:05+00:00", "fr.poppyfield.digest": "v1:another"}
    built = build(base_image="example/base:1", labels=given)
    labels = images(state)[built["image"]]["Config"]["Labels"]
    assert labels == {
        "org.opencontainers.image.title": "poppyfield/test",
        "org.opencontainers.image.version": f"trixie-arm64-{built['digest'][:12]}",
        "org.opencontainers.image.base.name": "example/base:1",
        "org.opencontainers.image.created": "2026-01-02T03:04:05+00:00",
        "org.opencontainers.image.revision": "",
        "fr.poppyfield.managed": "true",
        "fr.poppyfield.resource": "image",
        "fr.poppyfield.digest": f"v1:{built['digest']}",
    }


def test_force_builds_again_without_the_cache(state: Path, build_as_predicted: Build) -> None:
    build_as_predicted(force=True)
    result = build_as_predicted(force=True)
    assert result["reasons"] == [f"force: {result['image']}"]
    assert ["--no-cache" in made["words"] for made in builds(state)] == [True, True]


def test_keep_counts_the_present_version(build: Build) -> None:
    assert "keep must be at least 1" in build(keep=0)["msg"]


# The base image -------------------------------------------------------------------------------------------------------


def test_a_base_of_ours_counts_by_its_digest_and_reaches_the_build(state: Path, build_as_predicted: Build) -> None:
    base = build_as_predicted(name="poppyfield/base")["image"]
    first = build_as_predicted(base_image=base)
    assert builds(state)[-1]["arguments"]["BASE_IMAGE"] == base
    again = build_as_predicted(name="poppyfield/base", force=True)
    assert again["image_id"] != first["image_id"]
    assert not build_as_predicted(base_image=base)["changed"]


def test_another_base_counts_by_its_content_and_not_by_its_id(state: Path, build_as_predicted: Build) -> None:
    add_image(state, "example/base:1", foreign(1))
    build_as_predicted(base_image="example/base:1")
    add_image(state, "example/base:1", {**foreign(1), "Id": f"sha256:{7:064x}"})
    assert not build_as_predicted(base_image="example/base:1")["changed"]
    add_image(state, "example/base:1", foreign(1, Env=["PATH=/bin", "LANG=C"]))
    assert build_as_predicted(base_image="example/base:1")["changed"]
    add_image(state, "example/base:1", foreign(2))
    assert build_as_predicted(base_image="example/base:1")["changed"]


def test_a_base_of_another_platform_or_none_is_refused(state: Path, build: Build) -> None:
    add_image(state, "example/base:1", foreign(1, "amd64"))
    message = build(base_image="example/base:1")["msg"]
    assert "is for linux/amd64, but the image is to be for linux/arm64" in message
    assert "pull=true" in message
    message = build(base_image="example/none:1")["msg"]
    assert "example/none:1 is not on the builder" in message
    assert "pull=true" in message


def test_pull_brings_a_newer_base_and_it_counts(state: Path, build_as_predicted: Build) -> None:
    given = {"base_image": "example/base:1", "pull": True}
    add_image(state, "example/base:1", foreign(1))
    publish(state, "example/base:1", arm64=foreign(1), amd64=foreign(9, "amd64"))
    build_as_predicted(**given)
    assert not build_as_predicted(**given)["changed"]
    publish(state, "example/base:1", arm64=foreign(2), amd64=foreign(9, "amd64"))
    assert not build_as_predicted(base_image="example/base:1")["changed"]


def test_check_mode_pulls_nothing_and_says_that_the_digest_may_be_another(state: Path, build: Build) -> None:
    given = {"base_image": "example/base:1", "pull": True}
    publish(state, "example/base:1", arm64=foreign(1))
    missing = build(check_mode=True, **given)
    assert (missing["changed"], missing["undetermined"]) == (True, True)
    assert images(state) == {}
    add_image(state, "example/base:1", foreign(3, "amd64"))
    other_platform = build(check_mode=True, **given)
    assert (other_platform["changed"], other_platform["undetermined"]) == (True, True)
    built = build(**given)
    assert (built["changed"], built["undetermined"]) == (True, False)
    assert images(state)["example/base:1"]["Id"] == foreign(1)["Id"]
    publish(state, "example/base:1", arm64=foreign(2))
    assert build(check_mode=True, **given)["undetermined"]
    newer = build(**given)
    assert newer["changed"]
    assert newer["digest"] != built["digest"]


@pytest.mark.parametrize(
    ("registry", "words"),
    [
        (None, "no such host"),
        ({"example/other:1": {}}, "manifest for example/base:1 not found"),
        ({"example/base:1": {"linux/amd64": foreign(1, "amd64")}}, "no matching manifest for linux/arm64"),
    ],
    ids=["no network", "not found", "wrong platform"],
)
def test_a_pull_that_fails_is_one_sentence_with_dockers_last_line(
    state: Path, build: Build, registry: dict[str, Any] | None, words: str
) -> None:
    if registry is not None:
        (state / "registry.json").write_text(json.dumps(registry))
    message = build(base_image="example/base:1", pull=True)["msg"]
    assert message.startswith("The image example/base:1 could not be pulled for linux/arm64: ")
    assert words in message
    assert "\n" not in message


def test_a_registry_that_has_only_another_platform_may_give_that(state: Path, build: Build) -> None:
    publish(state, "example/base:1", arm64=foreign(1, "amd64"))
    message = build(base_image="example/base:1", pull=True)["msg"]
    assert "is for linux/amd64, but the image is to be for linux/arm64" in message


def test_check_mode_goes_on_without_what_earlier_tasks_make(build: Build) -> None:
    result = build(check_mode=True, additions={"a": "/no/such"}, base_image="poppyfield/none")
    assert result["changed"] and result["undetermined"]
    assert "does not exist" in build(additions={"a": "/no/such"})["msg"]


# A git repository as the context --------------------------------------------------------------------------------------


@pytest.fixture
def repository(state: Path, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """A git repository with the context in the folder `image`; call it to commit what is there now and get its URL."""
    monkeypatch.setenv("PATH", f"{state.parent / 'bin'}{os.pathsep}{os.defpath}")
    configuration = tmp_path / "gitconfig"
    configuration.write_text("[user]\nname = a\nemail = a@example.org\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    work = tmp_path / "work"

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(work), *words], check=True)

    work.mkdir()
    git("init", "--quiet")

    def commit() -> str:
        shutil.rmtree(work / "image", ignore_errors=True)
        shutil.copytree(context, work / "image")
        git("add", ".")
        git("commit", "--quiet", "--allow-empty", "-m", "x")
        return f"file://{work}#main:image"

    return commit


def test_a_repository_is_built_as_the_folder_would_be(
    state: Path, build_as_predicted: Build, repository: Callable[[], str]
) -> None:
    from_folder = build_as_predicted()
    from_git = build_as_predicted(context=repository())
    assert not from_git["changed"]
    assert from_git["digest"] == from_folder["digest"]
    assert build_as_predicted(context=repository(), force=True)["built"]
    assert builds(state)[1]["files"] == builds(state)[0]["files"]


def test_content_decides_and_not_the_commit(
    build_as_predicted: Build, repository: Callable[[], str], context: Path
) -> None:
    assert build_as_predicted(context=repository())["changed"]
    assert not build_as_predicted(context=repository())["changed"]
    (context / "run").write_text("#!/bin/bash\n")
    assert build_as_predicted(context=repository())["changed"]


def test_what_the_repository_lacks_is_named(build_as_predicted: Build, repository: Callable[[], str]) -> None:
    url = repository().partition("#")[0]
    assert build_as_predicted(context=f"{url}#none")["msg"].startswith(f"There is no none in {url}")
    assert build_as_predicted(context=f"{url}#main:none")["msg"] == f"There is no folder none in {url}#main:none."
    assert build_as_predicted(context=url)["msg"] == f"There is no Dockerfile at Dockerfile in the build context {url}."
    assert "neither a folder nor a git URL" in build_as_predicted(context="https://example.org/x.tar.gz")["msg"]


def test_nothing_of_a_repository_stays_on_the_builder(
    build: Build, repository: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    build(context=repository())
    assert list((tmp_path / "temporary").iterdir()) == []


SECRET_URL = "https://me:hunter2@127.0.0.1:1/x.git#main"  # nothing answers on that port


@pytest.mark.parametrize("changed", [{}, {"platform": "linux/riscv64"}, {"keep": "many"}, {"state": "absent"}])
def test_no_result_holds_the_credentials_of_a_url(
    build: Build, repository: Callable[[], str], changed: dict[str, Any]
) -> None:
    result = build(context=SECRET_URL, **changed)
    assert "hunter2" not in json.dumps(result)
    assert result["invocation"]["module_args"]["context"] == "https://127.0.0.1:1/x.git#main"


def test_ansible_does_not_write_the_options_to_the_systems_log(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []
    monkeypatch.setattr("syslog.syslog", lambda *words: logged.append(words))
    monkeypatch.setattr("ansible.module_utils.basic.has_journal", False)
    build(context="https://hunter2@127.0.0.1:1/x.git", check_mode=True)
    assert logged == []


# Archives, other versions, and images of others ----------------------------------------------------------------------


def sbom(archive: str) -> Path:
    """Give where the bill of materials of an archive would be."""
    return Path(archive.partition(".tar")[0] + ".cdx.json")


def test_the_archive_is_made_once_and_whole(build_as_predicted: Build, tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    first = build_as_predicted(archive_folder=str(folder))
    archive = Path(first["archive"])
    assert archive.name == f"poppyfield-test-trixie-arm64-{first['digest'][:12]}.tar.gz"
    assert gzip.decompress(archive.read_bytes()).decode() == f"archive of {first['image']}\n"
    assert first["archive_bytes"] == archive.stat().st_size
    assert [path.name for path in folder.iterdir()] == [archive.name]
    assert not build_as_predicted(archive_folder=str(folder))["changed"]
    archive.unlink()
    again = build_as_predicted(archive_folder=str(folder))
    assert again["reasons"] == [f"archive {archive.name}: absent -> present"]
    assert not again["built"]
    sbom(again["archive"]).touch()
    forced = build_as_predicted(archive_folder=str(folder), force=True)
    assert forced["reasons"][1] == f"archive {archive.name}: old -> present"
    assert not sbom(forced["archive"]).exists()


def test_zstd_is_taken_where_it_is_and_asked_for_where_it_is_not(
    state: Path, build_as_predicted: Build, tmp_path: Path
) -> None:
    given = {"archive_folder": str(tmp_path / "archives")}
    assert "install the package zstd" in build_as_predicted(compression="zstd", **given)["msg"]
    (state.parent / "bin" / "zstd").write_text("#!/bin/sh\nexec /bin/cat\n")
    (state.parent / "bin" / "zstd").chmod(0o755)
    archive = Path(build_as_predicted(**given)["archive"])
    assert archive.suffix == ".zst"
    assert archive.read_text().startswith("archive of poppyfield/test")
    assert not build_as_predicted(compression="zstd", **given)["changed"]
    assert build_as_predicted(compression="gzip", **given)["changed"]


def test_old_versions_and_archives_of_ours_are_pruned(
    state: Path, build_as_predicted: Build, context: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    (folder / "holiday.tar.gz").write_text("not ours")
    add_image(state, "poppyfield/test:trixie-arm64-0123456789ab", foreign(1))
    other = build_as_predicted(tag_prefix="trixie-amd64", platform="linux/amd64")["image"]
    made = []
    for number in range(3):
        (context / "run").write_text(f"{number}")
        made.append(build_as_predicted(archive_folder=str(folder)))
        os.utime(made[-1]["archive"], (number, number))
        sbom(made[-1]["archive"]).touch()
    assert list(images(state)) == [
        "poppyfield/test:trixie-arm64-0123456789ab",
        other,
        made[1]["image"],
        made[2]["image"],
    ]
    assert made[2]["pruned"] == [made[0]["image"], made[0]["archive"]]
    assert {path.name for path in folder.iterdir()} == {
        "holiday.tar.gz",
        Path(made[1]["archive"]).name,
        sbom(made[1]["archive"]).name,
        Path(made[2]["archive"]).name,
        sbom(made[2]["archive"]).name,
    }


def test_the_version_that_was_asked_for_last_is_kept(
    state: Path, build_as_predicted: Build, context: Path, tmp_path: Path
) -> None:
    """As two fleets of one laptop do, in turn, one of which is changed."""
    made = []
    for content in ("one fleet", "another", "one fleet", "another, changed"):
        (context / "run").write_text(content)
        made.append(build_as_predicted(archive_folder=str(tmp_path / "archives")))
    assert not made[2]["changed"]
    assert made[3]["pruned"] == [made[1]["image"], made[1]["archive"]]
    assert set(images(state)) == {made[0]["image"], made[3]["image"]}


@pytest.fixture
def fleet(build_as_predicted: Build, context: Path, tmp_path: Path) -> Build:
    """Let a fleet ask for the image with this content, as a checkout with its inventory does."""

    def ask(name: str, content: str, **more: Any) -> dict[str, Any]:
        (context / "run").write_text(content)
        cache = {"archive_folder": str(tmp_path / "archives"), "uses_folder": str(tmp_path / "uses")}
        return build_as_predicted(used_by=name, **cache, **more)

    return ask


def test_what_another_fleet_asked_for_last_stays_however_many_are_built_meanwhile(
    state: Path, fleet: Build, tmp_path: Path
) -> None:
    """FIELD A11."""
    orchard = fleet("orchard", "old")
    marsh = [fleet("marsh", f"{number}") for number in range(4)]
    assert set(images(state)) == {orchard["image"], marsh[2]["image"], marsh[3]["image"]}
    assert Path(orchard["archive"]).exists() and not Path(marsh[0]["archive"]).exists()
    assert not fleet("orchard", "old")["changed"]
    # Once it asks for another, its old one is one of many.
    fleet("orchard", "new")
    newest = [fleet("marsh", f"newer {number}")["image"] for number in range(3)]
    assert set(images(state)) == {*images(state), *newest[1:]} and orchard["image"] not in images(state)
    assert len(images(state)) == 3


def test_a_fleet_that_was_not_seen_for_long_is_forgotten(state: Path, fleet: Build, tmp_path: Path) -> None:
    orchard = fleet("orchard", "old")
    (noted,) = (tmp_path / "uses").iterdir()
    os.utime(noted, (0, 0))
    pruned = [fleet("marsh", f"{number}")["pruned"] for number in range(3)]
    assert [orchard["image"], orchard["archive"]] in pruned
    assert noted not in (tmp_path / "uses").iterdir()


def test_an_image_that_is_to_be_absent_is_used_by_nobody(state: Path, fleet: Build, tmp_path: Path) -> None:
    fleet("orchard", "old")
    fleet("marsh", "new")
    assert len(fleet("marsh", "new", state="absent")["pruned"]) == 4
    assert list((tmp_path / "uses").iterdir()) == [] and images(state) == {}


def test_what_a_cut_left_of_an_archive_is_swept_with_the_old_ones(fleet: Build, tmp_path: Path) -> None:
    made = fleet("orchard", "old")
    left = Path(made["archive"]).with_name(f".{Path(made['archive']).name}.abcd_123")
    left.touch()
    (tmp_path / "archives" / ".holiday.tar.gz.abcd_123").touch()
    fleet("orchard", "new")
    assert not left.exists() and (tmp_path / "archives" / ".holiday.tar.gz.abcd_123").exists()


def test_a_version_in_use_stays_and_check_mode_knows(state: Path, build_as_predicted: Build, context: Path) -> None:
    old = build_as_predicted()
    (state / "containers.json").write_text(json.dumps([old["image_id"]]))
    (context / "run").write_text("newer")
    newer = build_as_predicted(keep=1)
    assert newer["pruned"] == []
    refused = build_as_predicted(state="absent")
    assert refused["msg"].startswith(f"In use by a container, so not removed: {old['image']}.")
    assert list(images(state)) == [old["image"]]
    # Another tag keeps the image, so that this one can go.
    add_image(state, "example/kept:1", images(state)[old["image"]])
    assert build_as_predicted(state="absent")["pruned"] == [old["image"]]


def test_absent_removes_every_version_once(state: Path, build_as_predicted: Build, tmp_path: Path) -> None:
    built = build_as_predicted(archive_folder=str(tmp_path))
    (tmp_path / "holiday.tar.gz").write_text("not ours")
    gone = build_as_predicted(state="absent", archive_folder=str(tmp_path))
    assert gone["pruned"] == [built["image"], built["archive"]]
    assert images(state) == {}
    assert not Path(built["archive"]).exists()
    assert (tmp_path / "holiday.tar.gz").exists()
    assert not build_as_predicted(state="absent", archive_folder=str(tmp_path))["changed"]


def test_an_image_of_others_is_neither_replaced_nor_removed(state: Path, build_as_predicted: Build) -> None:
    reference = build_as_predicted()["image"]
    (state / "images.json").unlink()
    add_image(state, reference, foreign(1))
    before = images(state)
    refused = build_as_predicted(force=True)
    assert refused["failed"]
    assert f"{reference} on the builder was not made by Poppyfield" in refused["msg"]
    assert not build_as_predicted(state="absent")["changed"]
    assert images(state) == before
    assert len(builds(state)) == 1


def test_an_older_version_of_ours_under_the_same_tag_is_replaced(state: Path, build_as_predicted: Build) -> None:
    built = build_as_predicted()
    older = images(state)[built["image"]]
    for image in (
        {**older, "Architecture": "amd64"},
        {**older, "Config": {"Labels": {**older["Config"]["Labels"], "fr.poppyfield.digest": "v1:0"}}},
    ):
        add_image(state, built["image"], image)
        assert build_as_predicted()["reasons"] == [f"image {built['image']}: absent -> present"]


# Failures -------------------------------------------------------------------------------------------------------------


def test_the_output_goes_to_the_log_and_a_failure_says_where(state: Path, build: Build, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    build(log_file=str(log))
    assert "building poppyfield/test" in log.read_text()
    output = (DOUBLES / "build_output" / "docker-20.10" / "run.txt").read_text()
    (state / "fails").write_text(output)
    result = build(target="other", log_file=str(log))
    assert result["failed"]
    assert "failed at step [2/2] RUN for i" in result["msg"]
    assert result["msg"].endswith("line 30\noh no")
    assert log.read_text() == f"{output}\n"
    assert result["log_file"] == str(log)
    assert len(images(state)) == 1


@pytest.mark.parametrize(
    ("platform", "words"), [("linux/arm64", "no emulator is registered"), ("linux/amd64", "is not for linux/amd64")]
)
def test_the_engines_own_platform_needs_no_emulator(state: Path, build: Build, platform: str, words: str) -> None:
    (state / "fails").write_text((DOUBLES / "build_output" / "docker-20.10" / "emulator.txt").read_text())
    assert words in build(platform=platform)["msg"]


def test_a_docker_without_buildkit_is_an_error_that_names_it(state: Path, build: Build) -> None:
    (state / "version").write_text("Docker version 28.2.2, build e6534b4")
    result = build()
    assert "No docker command with BuildKit" in result["msg"]
    assert "Docker version 28.2.2" in result["msg"]
    assert "docker-buildx" in result["msg"]
    assert "does not run" in build(docker_command="/no/such/docker")["msg"]


def test_on_a_builder_without_docker_check_mode_predicts(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    predicted = build(check_mode=True, archive_folder=str(tmp_path / "archives"))
    assert predicted["changed"]
    assert "install Docker" in predicted["reasons"][0]
    assert not build(check_mode=True, state="absent")["changed"]
    assert "install Docker" in build()["msg"]


def test_an_engine_that_does_not_answer_is_said(state: Path, build: Build) -> None:
    (state / "down").touch()
    assert "does not answer: Cannot connect" in build()["msg"]


def test_a_disk_that_is_full_is_named(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = build(log_file="/dev/full")["msg"]
    assert message.startswith("The build log /dev/full cannot be written: No space left on device. Free some space")
    monkeypatch.setattr("shutil.copyfile", no_space)
    monkeypatch.setattr("os.link", no_space)
    message = build(archive_folder=str(tmp_path / "archives"), target="other")["msg"]
    assert message.startswith(f"The build context cannot be laid out in {tmp_path}/archives: No space left on device.")
    assert list((tmp_path / "archives").iterdir()) == []


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device", "the source, whose fault it is not")


def test_a_folder_that_cannot_be_made_is_named(build: Build, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = build(archive_folder=str(tmp_path / "file" / "archives"))["msg"]
    assert message.startswith(f"{tmp_path}/file/archives on the builder cannot be used: Not a directory")


def test_what_cannot_be_read_is_named(build_as_predicted: Build, context: Path) -> None:
    (context / "Dockerfile").unlink()
    assert build_as_predicted()["msg"] == f"There is no Dockerfile at Dockerfile in the build context {context}."
    # Even root cannot read the beginning of a process's memory.
    message = build_as_predicted(additions={"memory": "/proc/self/mem"})["msg"]
    assert "/mem cannot be read: Input/output error. The user that builds must be able to read" in message
    assert "is not a folder" in build_as_predicted(context=f"{context}/none")["msg"]


@pytest.mark.parametrize("lie", ["nothing", "platform"])
def test_an_image_that_did_not_come_out_right_is_an_error(
    state: Path, build: Build, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    def build_wrongly(command: DockerCommand, request: Any, on_line: Callable[[str], None]) -> None:
        on_line("#1 DONE\n")
        if lie == "platform":
            add_image(state, request.reference, foreign(1, "amd64", Labels=request.labels))

    monkeypatch.setattr(DockerCommand, "build", build_wrongly)
    assert {"nothing": "the engine does not have it", "platform": "came out for linux/amd64 instead"}[lie] in build()[
        "msg"
    ]


# The docker command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def command(state: Path) -> DockerCommand:
    return DockerCommand.find()


def test_what_cannot_be_inspected_or_listed_is_an_error(state: Path, command: DockerCommand) -> None:
    assert command.image("example/none:1") is None
    assert not command.is_in_use("example/none:1")
    (state / "down").touch()
    with pytest.raises(EngineError, match="docker cannot inspect example/none:1: Cannot connect"):
        command.image("example/none:1")
    with pytest.raises(EngineError, match="docker could not list the images: Cannot connect"):
        command.images("example/none")
    with pytest.raises(EngineError, match=r"could not be saved to .*: Cannot connect"):
        command.save("example/none:1", state / "archive.tar.gz")


def test_an_archive_is_there_whole_or_not_at_all(state: Path, command: DockerCommand) -> None:
    programs = state.parent / "bin"
    (programs / "zstd").write_text(
        "#!/bin/sh\n/bin/cat >/dev/null; echo 'Write error : No space left on device' >&2\nexit 70\n"
    )
    (programs / "zstd").chmod(0o755)
    with pytest.raises(EngineError, match=r"No space left on device\. Free some space there, then run again\.$"):
        command.save("example/image:1", state / "archive.tar.zst")
    with pytest.raises(EngineError, match=r"archive.tar.gz cannot be written: No such file or directory\.$"):
        command.save("example/image:1", state / "none" / "archive.tar.gz")
    assert not list(state.glob(".archive*")) + list(state.glob("archive*"))


@pytest.mark.parametrize(
    ("version", "inside"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", True),
        ("Docker version 18.09.1, build 4c52b90", True),
        ("Docker version 18.06.0-ce, build 0ffa825", False),
        ("Docker version 23.0.1, build a5ee5b1", False),
        ("Docker version 28.2.2, build e6534b4", False),
        ("podman version 4.3.1", False),
        ("", False),
    ],
)
def test_which_commands_have_buildkit_inside(version: str, inside: bool) -> None:
    assert engine.has_buildkit_inside(version) is inside


def test_every_docker_on_the_path_is_tried_in_order(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "docker").write_text("")
    (tmp_path / "a" / "docker").chmod(0o755)
    (tmp_path / "c" / "docker").chmod(0o755)
    path = ":".join(str(tmp_path / name) for name in ("c", "b", "a", "c", "none"))
    assert engine.docker_commands(path) == [str(tmp_path / name / "docker") for name in ("c", "a")]
