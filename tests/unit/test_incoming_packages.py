"""Packages of others: what pip, npm and apt fetch is what was chosen, and runs nothing while it is installed."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from workshop.laptop.prepare import install_command

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "images/lizmap/map-page"
NPM_CI = re.compile(r"npm (?:ci|install|add|update|i)\b.*")
UNSIGNED = re.compile(
    r"trusted=|allow-unauthenticated|AllowUnauthenticated|allow-insecure|AllowInsecure|allow-downgrade-to-insecure|"
    r"force-yes|no-check-gpg|no-debsig|force-bad-verify|trusted-host|check-valid-until"
)
INSTALL = "npm ci --silent --no-audit --no-fund --offline"
INFO = {
    "a-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: a\nVersion: 1\n",
    "a-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "a-1.dist-info/RECORD": "",
}


def sources(*places: str) -> Iterator[tuple[str, str]]:
    """Give each line of the repository's files, with its file; not those of the tests, which speak of attacks."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *places]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix in {"", ".py", ".yml", ".json", ".conf", ".txt", ".cfg", ".npmrc", ".md"}:
            yield from ((name, line) for line in path.read_text("utf-8", "replace").splitlines())


# pip -----------------------------------------------------------------------------------------------------------------


def wheel(folder: Path, text: str) -> str:
    """Write the wheel of a package, and give its digest."""
    folder.mkdir(exist_ok=True)
    path = folder / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"a.py": text, **INFO}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pip(tmp_path: Path, *command: str) -> int:
    """Run pip on the folder of wheels; give its exit status."""
    here = ["--no-index", f"--find-links={tmp_path / 'wheels'}", "--target", str(tmp_path / "installed")]
    run = [sys.executable, "-m", "pip", "--isolated", *command[1:], *here]
    return subprocess.run(run, capture_output=True, check=False, cwd=tmp_path).returncode


@pytest.mark.attack(kind="package of another content", on="laptop", proof=None)
def test_a_package_that_became_another_one_is_not_installed(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"a==1 --hash=sha256:{wheel(tmp_path / 'wheels', 'good')}\n")
    assert pip(tmp_path, *install_command(Path("pip"), lock)) == 0
    shutil.rmtree(tmp_path / "installed")

    wheel(tmp_path / "wheels", "harm")
    assert pip(tmp_path, *install_command(Path("pip"), lock)) != 0
    assert not (tmp_path / "installed/a.py").exists()
    # A version alone says nothing of the content.
    (tmp_path / "pins.txt").write_text("a==1\n")
    assert pip(tmp_path, "pip", "install", "-r", str(tmp_path / "pins.txt")) == 0
    assert (tmp_path / "installed/a.py").read_text() == "harm"


def test_every_installation_by_pip_has_digests() -> None:
    called = re.compile(r"pip install|\"install\", .*pip")
    calls = [
        line
        for _, line in sources("Makefile", "docs/fleet-at-scale.md", "docs/fr/fleet-at-scale.md", "workshop/laptop")
        if called.search(line)
    ]
    assert len(calls) >= 3
    assert [line for line in calls if "--require-hashes" not in line] == []


# npm -----------------------------------------------------------------------------------------------------------------


def node_project(folder: Path) -> None:
    """Make a project whose one dependency would write a file while it is installed."""
    (folder / "dependency").mkdir(parents=True)
    script = '"scripts": {"postinstall": "touch ../harm"}'
    (folder / "dependency/package.json").write_text(f'{{"name": "dependency", "version": "1.0.0", {script}}}')
    named = '"name": "page", "version": "1.0.0", "dependencies": {"dependency": "file:dependency"}'
    (folder / "package.json").write_text(f"{{{named}}}")
    (folder / "package-lock.json").write_text(
        f'{{"name": "page", "version": "1.0.0", "lockfileVersion": 3, "packages": {{"": {{{named}}}, '
        '"dependency": {"version": "1.0.0", "hasInstallScript": true}, '
        '"node_modules/dependency": {"resolved": "dependency", "link": true}}}'
    )


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is missing")
@pytest.mark.attack(kind="script of a package", on="laptop", proof=None)
@pytest.mark.parametrize("by", ["option", "settings"])
def test_a_dependency_of_the_page_runs_nothing_while_it_is_installed(tmp_path: Path, by: str) -> None:
    for name in ("defended", "bare"):
        node_project(tmp_path / name)
    if by == "settings":
        shutil.copy(PAGE / ".npmrc", tmp_path / "defended")
    options = ["--ignore-scripts"] if by == "option" else []
    subprocess.run([*INSTALL.split(), *options], cwd=tmp_path / "defended", check=True)
    subprocess.run(INSTALL.split(), cwd=tmp_path / "bare", check=True)
    assert (tmp_path / "defended/node_modules/dependency").exists()
    assert not (tmp_path / "defended/harm").exists()
    assert (tmp_path / "bare/harm").exists()


def test_no_call_of_npm_runs_scripts_of_packages() -> None:
    calls = [
        call[0]
        for _, line in sources("Makefile", "images", "workshop", "roles", "library")
        if (call := NPM_CI.search(line))
    ]
    assert len(calls) >= 2
    assert [call for call in calls if "--ignore-scripts" not in call] == []
    assert "ignore-scripts=true" in (PAGE / ".npmrc").read_text()


# apt -----------------------------------------------------------------------------------------------------------------


def apt_update(tmp_path: Path, options: str) -> int:
    """Let apt, with nothing of this machine, read a repository that nobody signed; give its exit status."""
    repository, state = tmp_path / "repository", tmp_path / "apt"
    for folder in (repository, state / "lists/partial", state / "cache/archives/partial", state / "parts"):
        folder.mkdir(parents=True, exist_ok=True)
    (repository / "Packages").write_text(
        "Package: harm\nVersion: 1\nArchitecture: all\nFilename: ./harm.deb\nSize: 1\n"
    )
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb {options} file:{repository} ./\n")
    given = {
        "Etc::sourcelist": "sources.list",
        "Etc::sourceparts": "parts",
        "Etc::trustedparts": "parts",
        "Etc::parts": "parts",
        "Etc::main": "none",
        "State::lists": "lists",
        "State::status": "status",
        "Cache": "cache",
    }
    settings = [word for name, file in given.items() for word in ("-o", f"Dir::{name}={state / file}")]
    command = ["apt-get", "update", "-o", "APT::Sandbox::User=", "--error-on=any", *settings]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is missing")
@pytest.mark.attack(kind="package without signature", on="laptop", proof=None)
def test_apt_takes_no_packages_of_a_repository_that_nobody_signed(tmp_path: Path) -> None:
    assert apt_update(tmp_path, "") != 0
    assert apt_update(tmp_path, "[trusted=yes]") == 0


OF_A_BUNDLE = ("module_utils/poppyfield/bundle/apt.py", '    return f"deb [trusted=yes] file:{folder} ./"')
"""The operator's own signature covers each file of that folder, apt's index among them: see test_bundle_taken.py."""


def test_nothing_takes_packages_of_debian_without_their_signature() -> None:
    assert [
        found
        for found in sources("images", "workshop", "roles", "library", "module_utils", "plugins", "Makefile")
        if UNSIGNED.search(found[1])
    ] == [OF_A_BUNDLE]


@pytest.mark.parametrize(
    "line",
    [
        "deb [trusted=yes] http://example.org trixie main",
        "apt-get install --allow-unauthenticated x",
        'APT::Get::AllowUnauthenticated "true";',
        'Acquire::AllowInsecureRepositories "true";',
        "apt-get update --allow-insecure-repositories",
        "pip install --trusted-host example.org x",
    ],
)
def test_what_takes_unsigned_packages_is_noticed(line: str) -> None:
    assert UNSIGNED.search(line)
