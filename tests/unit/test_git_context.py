"""A git URL as a build context: how it is read, that its content comes, and that its credentials stay unseen."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.images import git_command, git_context
from ansible.module_utils.poppyfield.images.context_digest import ContextError
from ansible.module_utils.poppyfield.images.git_context import GitContext
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.git_server import serving

COMMIT = "0123456789012345678901234567890123456789"
Git = Callable[..., str]
CheckOut = Callable[[str], Path]


@pytest.mark.parametrize(
    ("context", "url", "ref", "subfolder"),
    [
        ("https://example.org/a/b.git", "https://example.org/a/b.git", "HEAD", ""),
        ("https://example.org/b.git#main", "https://example.org/b.git", "main", ""),
        ("https://example.org/b.git#feature/x:sub/folder", "https://example.org/b.git", "feature/x", "sub/folder"),
        ("https://example.org/b.git#:sub", "https://example.org/b.git", "HEAD", "sub"),
        ("https://example.org/b.git#:/sub/", "https://example.org/b.git", "HEAD", "sub"),
        ("https://example.org/b.git#v1:.", "https://example.org/b.git", "v1", ""),
        ("https://example.org/b.git#", "https://example.org/b.git", "HEAD", ""),
        (f"HTTPS://Example.org:8443/b.git#{COMMIT}", "https://example.org:8443/b.git", COMMIT, ""),
        ("http://[::1]:80/b.git", "http://[::1]:80/b.git", "HEAD", ""),
        ("git://example.org/b", "git://example.org/b", "HEAD", ""),
        ("ssh://git@example.org:2222/b#main:x", "ssh://git@example.org:2222/b", "main", "x"),
        ("ssh://example.org/b", "ssh://example.org/b", "HEAD", ""),
        ("git@example.org:a/b.git#main:x", "git@example.org:a/b.git", "main", "x"),
        ("file:///srv/git/b#:..sub", "file:///srv/git/b", "HEAD", "..sub"),
    ],
)
def test_what_docker_takes_as_a_git_url(context: str, url: str, ref: str, subfolder: str) -> None:
    assert git_context.parse(context) == GitContext(url, ref, subfolder)


@pytest.mark.parametrize("context", ["images/base", "/srv/a b", "~/images", "./git@home", "a:b", "user@host", ""])
def test_anything_else_is_a_folder(context: str) -> None:
    assert git_context.parse(context) is None
    assert git_context.without_credentials(context) == context


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ("https://example.org/b.tar.gz", "neither a folder nor a git URL"),
        ("https://example.org/b.git?branch=main", "neither a folder nor a git URL"),
        ("ftp://example.org/b.git", "neither a folder nor a git URL"),
        ("https://example.org/b.git#--upload-pack=touch", "is not the name of a branch"),
        ("https://example.org/b.git#a b", "is not the name of a branch"),
        ("https://example.org/b.git#main:../../etc", "must be a folder inside the repository"),
        ("https://example.org/b.git#main:..", "must be a folder inside the repository"),
        ("https://me:se/cret@example.org/b.git", "must be percent-encoded"),
        ("https://me:s@e/cret@example.org/b.git", "must be percent-encoded"),
        ("ssh://me:22#cret@example.org/b.git", "must be percent-encoded"),
        ("git:///b.git", "names no host"),
        ("https://me:se#cret@example.org/b.git", "must be percent-encoded"),
    ],
)
def test_what_cannot_be_read_is_refused_and_not_shown(context: str, words: str) -> None:
    with pytest.raises(ContextError, match=words) as refused:
        git_context.parse(context)
    assert "cret" not in str(refused.value)
    assert "cret" not in git_context.without_credentials(context)


@pytest.mark.parametrize(
    ("context", "shown", "kept"),
    [
        ("https://me:secret@h/b.git#v:x", "https://h/b.git#v:x", "https://me:secret@h"),
        ("https://me:sec@ret@h:8/b.git", "https://h:8/b.git", "https://me:sec%40ret@h:8"),
        ("https://secret@h/b.git#v", "https://h/b.git#v", "https://secret:@h"),
        ("ssh://me:secret@h/b", "ssh://me@h/b", ""),
        ("git://me:secret@h/b", "git://h/b", ""),
    ],
)
def test_credentials_are_kept_apart(context: str, shown: str, kept: str) -> None:
    read = git_context.parse(context)
    assert read is not None
    assert (str(read), read.credentials) == (shown, kept)
    assert git_context.without_credentials(context) == shown
    assert "sec" not in repr(read)


SECRETS = st.text("abcXYZ123:@/#?%[] \\\n", min_size=1, max_size=12).map(lambda text: f"S3cr{text}et!")


@given(st.sampled_from(["https", "http", "ssh", "git", "ftp"]), SECRETS)
def test_no_secret_is_ever_shown(scheme: str, secret: str) -> None:
    for context in (f"{scheme}://me:{secret}@example.org/b.git#main:x", f"{scheme}://me:x{secret}@example.org"):
        shown = git_context.without_credentials(context)
        assert "S3cr" not in shown
        assert "et!" not in shown


# With git ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """Run git in a folder of the test, whatever its user has configured."""
    configuration = tmp_path / "gitconfig"
    configuration.write_text(
        '[user]\nname = a\nemail = a@example.org\n[init]\ndefaultBranch = main\n[protocol "file"]\nallow = always\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    def run(folder: str, *words: str) -> str:
        done = subprocess.run(["git", "-C", str(tmp_path / folder), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def repository(git: Git, tmp_path: Path) -> Path:
    """A bare repository: on main a file, and one in a folder; v1 is before the folder came; a branch of its own."""
    work = tmp_path / "work"
    work.mkdir()
    git("work", "init", "--quiet")
    (work / "Dockerfile").write_text("FROM scratch\n")
    git("work", "add", ".")
    git("work", "commit", "--quiet", "-m", "1")
    git("work", "tag", "v1")
    (work / "sub").mkdir()
    (work / "sub" / "run").write_text("#!/bin/sh\n")
    (work / "sub" / "run").chmod(0o755)
    (work / "sub" / "outside").symlink_to("/etc")
    git("work", "add", ".")
    git("work", "commit", "--quiet", "-m", "2")
    git(".", "clone", "--quiet", "--bare", "work", "bare.git")
    return tmp_path / "bare.git"


@pytest.fixture
def check_out(git: Git, tmp_path: Path) -> CheckOut:
    def bring(context: str) -> Path:
        read = git_context.parse(context)
        assert read is not None
        folder = tmp_path / "checkout"
        folder.mkdir()
        found: Path = git_command.check_out(read, folder)
        return found

    return bring


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_the_default_branch_comes_without_git(check_out: CheckOut, repository: Path) -> None:
    context = check_out(f"file://{repository}")
    assert names(context) == {"Dockerfile", "sub", "sub/run", "sub/outside"}
    assert (context / "sub" / "run").stat().st_mode & 0o111


def test_a_tag_a_commit_or_a_folder_comes(check_out: CheckOut, repository: Path, git: Git, tmp_path: Path) -> None:
    assert names(check_out(f"file://{repository}#v1")) == {"Dockerfile"}
    (tmp_path / "checkout").rename(tmp_path / "first")
    assert names(check_out(f"file://{repository}#{git('work', 'rev-parse', 'v1')}")) == {"Dockerfile"}
    (tmp_path / "checkout").rename(tmp_path / "second")
    assert names(check_out(f"file://{repository}#main:sub")) == {"run", "outside"}


def test_only_one_commit_is_fetched(
    check_out: CheckOut, repository: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path] = []
    monkeypatch.setattr(git_command, "_remove_repositories", kept.append)
    check_out(f"file://{repository}")
    assert git(str(kept[0]), "rev-list", "--count", "--all", "FETCH_HEAD") == "1"


def test_submodules_come_along(check_out: CheckOut, repository: Path, git: Git, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    git("outer", "init", "--quiet")
    git("outer", "submodule", "--quiet", "add", f"file://{repository}", "inner")
    git("outer", "commit", "--quiet", "-m", "1")
    context = check_out(f"file://{tmp_path / 'outer'}")
    assert (context / "inner" / "sub" / "run").is_file()
    assert not [name for name in names(context) if name.endswith(".git")]


@pytest.mark.parametrize(
    ("fragment", "message"),
    [
        ("#nothing", "There is no nothing in {url}: name a branch, a tag or a whole commit id."),
        (f"#{COMMIT}", f"There is no {COMMIT} in {{url}}: name a branch, a tag or a whole commit id."),
        ("#main:none", "There is no folder none in {url}#main:none."),
        ("#main:Dockerfile", "There is no folder Dockerfile in {url}#main:Dockerfile."),
        ("#main:sub/outside", "There is no folder sub/outside in {url}#main:sub/outside."),
    ],
)
def test_what_is_not_there_is_named(check_out: CheckOut, repository: Path, fragment: str, message: str) -> None:
    with pytest.raises(ContextError) as refused:
        check_out(f"file://{repository}{fragment}")
    assert str(refused.value) == message.format(url=f"file://{repository}")


def test_no_repository_there_is_said_in_gits_words(check_out: CheckOut, tmp_path: Path) -> None:
    with pytest.raises(
        ContextError, match=r"could not bring the build context file:.*not appear to be a git repository"
    ):
        check_out(f"file://{tmp_path}/none.git")


def test_a_builder_without_git_is_told_to_install_it(
    check_out: CheckOut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContextError, match="install the package git"):
        check_out("https://me:secret@example.org/b.git")


def test_a_repository_around_this_run_is_left_alone(
    check_out: CheckOut, repository: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "work" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "work" / ".git" / "index"))
    assert names(check_out(f"file://{repository}#v1")) == {"Dockerfile"}


# The environment of every process that a test starts holds the names of its parameters.
@pytest.mark.parametrize("credentials", ["me:sec@ret", "secret-token:"], ids=["password", "token"])
def test_a_password_reaches_the_server_but_no_command_line(
    check_out: CheckOut, repository: Path, tmp_path: Path, credentials: str
) -> None:
    with (tmp_path / "gitconfig").open("a") as configuration:  # a helper that knows another one, and is not asked
        configuration.write("[credential]\nhelper = \"!printf 'username=a\\npassword=b\\n' #\"\n")
    seen: list[str] = []

    def look_at_all_processes() -> None:
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    seen.append((process / name).read_bytes().decode("utf-8", "replace"))
                except OSError:
                    continue  # it has ended

    with serving(repository.parent, credentials, look_at_all_processes) as address:
        context = check_out(f"http://{credentials.removesuffix(':')}@{address}/bare.git#v1")
    assert names(context) == {"Dockerfile"}
    assert [text for text in seen if "fetch" in text]
    assert not [text for text in seen if "sec@ret" in text or "sec%40ret" in text or "secret-token" in text]


def test_a_wrong_password_is_an_error_without_it(check_out: CheckOut, repository: Path) -> None:
    with (
        serving(repository.parent, "me:right", lambda: None) as address,
        pytest.raises(ContextError, match="Authentication failed for 'http://127") as refused,
    ):
        check_out(f"http://me:wrong-one@{address}/bare.git")
    assert "wrong-one" not in str(refused.value)
