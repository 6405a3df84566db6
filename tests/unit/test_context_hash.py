"""The digest of a build context depends on every byte and nothing else, and .dockerignore is read as Docker does."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.images import context_digest
from ansible.module_utils.poppyfield.images.context_digest import ContextEntry, ContextError
from docker.utils.build import PatternMatcher
from hypothesis import given, settings
from hypothesis import strategies as st

ENTRIES = st.lists(
    st.builds(
        ContextEntry,
        path=st.text("abc/.", min_size=1, max_size=8),
        executable=st.booleans(),
        link_target=st.none() | st.text("ab", min_size=1, max_size=3),
        content=st.text("0123456789abcdef", max_size=6),
    ),
    unique_by=lambda entry: entry.path,
    max_size=6,
)


def digest_of(folder: Path, additions: dict[str, str] | None = None, **facts: str) -> str:
    sources = context_digest.scan(folder, additions or {})
    entries, missing = context_digest.read_entries(sources)
    assert not missing
    digest: str = context_digest.digest(entries, facts)
    return digest


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "sub").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "sub" / "a").write_text("a")
    (folder / "link").symlink_to("sub/a")
    (folder / "to-folder").symlink_to("sub")
    return folder


@given(ENTRIES, st.randoms())
def test_the_order_of_entries_does_not_count(entries: list[ContextEntry], random: object) -> None:
    shuffled = sorted(entries, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert context_digest.digest(entries, {}) == context_digest.digest(shuffled, {})


@given(ENTRIES, ENTRIES)
def test_other_entries_give_another_digest(first: list[ContextEntry], second: list[ContextEntry]) -> None:
    def key(entries: list[ContextEntry]) -> set[tuple[object, ...]]:
        return {(e.path, e.executable, e.link_target or "", e.content) for e in entries}

    same = context_digest.digest(first, {}) == context_digest.digest(second, {})
    assert same == (key(first) == key(second))


@given(st.binary(min_size=1, max_size=64), st.data())
def test_every_byte_counts(tmp_path_factory: pytest.TempPathFactory, content: bytes, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "file").write_bytes(content)
    before = digest_of(folder)
    position = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[position] ^= data.draw(st.integers(1, 255))
    (folder / "file").write_bytes(bytes(changed))
    assert digest_of(folder) != before


def test_a_digest_is_the_same_in_each_release_and_whatever_the_order() -> None:
    entries = [
        ContextEntry("run", executable=True, content="01"),
        ContextEntry("Dockerfile", content="02"),
        ContextEntry("link", link_target="run"),
    ]
    document = (
        b'{"entries": [["Dockerfile", false, "", "02"], ["link", false, "run", ""], ["run", true, "", "01"]], '
        b'"facts": {"platform": "linux/arm64", "target": ""}, "version": 1}'
    )
    expected = hashlib.sha256(document).hexdigest()
    assert context_digest.digest(entries, {"platform": "linux/arm64", "target": ""}) == expected
    assert context_digest.digest(reversed(entries), {"target": "", "platform": "linux/arm64"}) == expected


def test_content_counts(context: Path) -> None:
    before = digest_of(context)
    (context / "sub" / "a").write_text("b")
    assert digest_of(context) != before


@pytest.mark.parametrize("mode", [0o700, 0o610, 0o601])
def test_who_may_execute_a_file_does_not_count(context: Path, mode: int) -> None:
    (context / "sub" / "a").chmod(mode)
    entries, _ = context_digest.read_entries(context_digest.scan(context, {}))
    assert [entry.path for entry in entries if entry.executable] == ["sub/a"]


def test_dates_owners_other_modes_and_empty_folders_do_not_count(context: Path) -> None:
    before = digest_of(context)
    os.utime(context / "sub" / "a", (1, 1))
    (context / "sub" / "a").chmod(0o600)
    (context / "empty").mkdir()
    assert digest_of(context) == before


def test_the_executable_bit_link_target_name_and_facts_count(context: Path) -> None:
    seen = {digest_of(context)}
    (context / "sub" / "a").chmod(0o755)
    seen.add(digest_of(context))
    (context / "link").unlink()
    (context / "link").symlink_to("sub/b")
    seen.add(digest_of(context))
    (context / "sub" / "a").rename(context / "sub" / "b")
    seen.add(digest_of(context))
    seen.add(digest_of(context, platform="linux/arm64"))
    assert len(seen) == 5


def test_a_link_to_a_folder_counts_as_a_link(context: Path) -> None:
    entries, _ = context_digest.read_entries(context_digest.scan(context, {}))
    assert ContextEntry("to-folder", link_target="sub") in entries
    assert not [e for e in entries if e.path.startswith("to-folder/")]


def test_an_addition_counts_replaces_and_is_not_ignored(context: Path, tmp_path: Path) -> None:
    (context / ".dockerignore").write_text("*.tar\nsub\n")
    (context / "rootfs.tar").write_text("ignored")
    (tmp_path / "made.tar").write_text("made")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("page")
    sources = context_digest.scan(
        context, {"rootfs.tar": str(tmp_path / "made.tar"), "dist/page": str(tmp_path / "page")}
    )
    assert set(sources) == {"Dockerfile", "link", "to-folder", "rootfs.tar", "dist/page/index.html"}
    assert sources["rootfs.tar"].read_text() == "made"


def test_an_addition_takes_the_place_of_a_whole_folder(context: Path, tmp_path: Path) -> None:
    (context / "subway").write_text("another")
    (tmp_path / "made").write_text("made")
    sources = context_digest.scan(context, {"sub": str(tmp_path / "made")})
    assert set(sources) == {"Dockerfile", "link", "to-folder", "subway", "sub"}


def test_what_went_after_the_scan_is_an_error(context: Path) -> None:
    sources = context_digest.scan(context, {})
    (context / "Dockerfile").unlink()
    with pytest.raises(ContextError, match="Dockerfile cannot be read: No such file or directory"):
        context_digest.read_entries(sources)


def test_an_addition_that_is_missing_is_an_error_or_a_stand_in(context: Path) -> None:
    additions = {"rootfs.tar": "/no/such/file"}
    with pytest.raises(ContextError, match=r"rootfs\.tar.*does not exist"):
        context_digest.scan(context, additions)
    sources = context_digest.scan(context, additions, missing_allowed=True)
    entries, missing = context_digest.read_entries(sources, missing_allowed=True)
    assert missing == ["rootfs.tar"]
    assert ContextEntry("rootfs.tar", content="missing") in entries


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", ".", "a/../../x"])
def test_an_addition_stays_inside_the_context(context: Path, path: str) -> None:
    with pytest.raises(ContextError, match="must name a path inside"):
        context_digest.scan(context, {path: "/etc/hostname"})


def test_what_is_neither_file_nor_link_is_refused(context: Path) -> None:
    os.mkfifo(context / "fifo")
    with pytest.raises(ContextError, match="fifo is neither"):
        digest_of(context)


def test_a_context_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="is not a folder"):
        context_digest.scan(tmp_path / "none", {})


@pytest.fixture
def unreadable() -> Iterator[Path]:
    """A context that anyone may enter, with a folder and a file that may not be read; meanwhile we are not root."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        context.chmod(0o777)
        (context / "data").mkdir(mode=0)
        (context / "secret").touch(mode=0)
        os.seteuid(os.getuid() or 65534)
        try:
            yield context
        finally:
            os.seteuid(os.getuid())
            (context / "data").chmod(0o700)


def test_what_cannot_be_read_is_named_with_the_remedy(unreadable: Path) -> None:
    with pytest.raises(ContextError, match=r"cannot be read: Permission denied: .*/data\. The user that builds must"):
        context_digest.scan(unreadable, {})
    with pytest.raises(ContextError, match=r"/secret cannot be read: Permission denied\. The user that builds must"):
        context_digest.read_entries({"secret": unreadable / "secret"})


def test_what_is_left_out_whole_need_not_be_readable(unreadable: Path) -> None:
    (unreadable / ".dockerignore").write_text("data\nsecret\n")
    assert context_digest.scan(unreadable, {}) == {}
    (unreadable / ".dockerignore").write_text("data\n!data/page\nsecret\n")
    with pytest.raises(ContextError, match="data"):
        context_digest.scan(unreadable, {})


def test_names_and_rules_need_not_be_utf8(context: Path) -> None:
    (context / ".dockerignore").write_bytes(b"caf\xe9\n")
    Path(os.fsdecode(os.fsencode(context) + b"/caf\xe9")).write_text("left out")
    Path(os.fsdecode(os.fsencode(context) + b"/caf\xe8")).write_text("taken")
    before = digest_of(context)
    Path(os.fsdecode(os.fsencode(context) + b"/caf\xe9")).write_text("still left out")
    assert digest_of(context) == before
    Path(os.fsdecode(os.fsencode(context) + b"/caf\xe8")).write_text("changed")
    assert digest_of(context) != before


def test_what_is_staged_has_the_digest_and_the_modes_that_were_counted(context: Path, tmp_path: Path) -> None:
    (context / "run").write_text("#!/bin/sh\n")
    (context / "run").chmod(0o700)
    (context / "sub" / "a").chmod(0o600)
    before = digest_of(context)
    sources = context_digest.scan(context, {})
    entries, _ = context_digest.read_entries(sources)
    staged = tmp_path / "staged"
    staged.mkdir(mode=0o755)
    old = os.umask(0o077)
    try:
        context_digest.stage(sources, entries, staged)
    finally:
        os.umask(old)
    assert digest_of(staged) == before
    modes = {p.name: stat.S_IMODE(p.lstat().st_mode) for p in staged.rglob("*") if not p.is_symlink()}
    assert modes == {"Dockerfile": 0o644, "run": 0o755, "sub": 0o755, "a": 0o644}
    assert stat.S_IMODE((context / "sub" / "a").stat().st_mode) == 0o600


# .dockerignore ------------------------------------------------------------------------------------------------------

CASES = [
    ("*.md", "README.md", True),
    ("*.md", "docs/README.md", False),
    ("**/*.md", "docs/deep/README.md", True),
    ("**/*.md", "README.md", True),
    ("docs", "docs/deep/README.md", True),
    ("/docs/", "docs/a", True),
    ("docs/**", "docs/a/b", True),
    ("**/docs", "a/b/docs/c/d", True),
    ("docs/?.md", "docs/a.md", True),
    ("docs/?.md", "docs/ab.md", False),
    ("[a-c].txt", "b.txt", True),
    ("[^a-c].txt", "b.txt", False),
    ("[^a-c].txt", "d.txt", True),
    (r"\*.md", "x.md", False),
    ("*\n!keep.md", "keep.md", False),
    ("*\n!keep.md", "other.md", True),
    ("docs\n!docs/keep", "docs/keep", False),
    ("!keep\nkeep", "keep", True),
    ("# comment\n\n   \na", "a", True),
    ("./a/../b", "b", True),
    ("a.b", "axb", False),
    (".", "a", False),
    ("#a", "#a", False),
    ("  #a", "#a", True),
    ("\ufeffXa", "Xa", True),
    ("/Xa", "Xa", True),
    ("a/**/d", "a/d", True),
    ("a/**/d", "a/b/c/d", True),
    ("**/b", "xb", False),
    ("a**b", "ab", True),
    ("a**b", "ax/y/b", True),
    ("a**b", "axb", False),
    ("b**", "b\nc", True),
    ("][a]", "]a", True),
    ("[a][b]", "ab", True),
    ("[a].txt", "a.txt", True),
    ("[a", "[a", True),
    (r"[\x]", "x", True),
    (r"[\x]", "X", False),
    (r"\*.md", "*.md", True),
    (r"ab\*", "ab*", True),
    (r"a\*b", "a*b", True),
    ("a\\", "a\\", True),
]


@pytest.mark.parametrize(("text", "path", "ignored"), CASES)
def test_dockerignore(text: str, path: str, ignored: bool) -> None:
    assert context_digest.is_ignored(path, context_digest.parse_dockerignore(text)) is ignored


@pytest.mark.parametrize("line", ["[z-a]", "[^]"])
def test_a_line_of_dockerignore_that_is_no_pattern_is_named(context: Path, line: str) -> None:
    (context / ".dockerignore").write_text(f"a\n{line}\n")
    with pytest.raises(ContextError, match=re.escape(f"The line '{line}' of .dockerignore is not a pattern: ")):
        context_digest.scan(context, {})


NAMES = st.sampled_from(["a", "b", "ab", "a.b", "ba"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
# Without **, with which the SDK, unlike the engine, overlooks what is further below a folder that matches.
PATTERNS = st.lists(NAMES | st.sampled_from(["*", "?", "a*", "*b", "a?b"]), min_size=1, max_size=4).map("/".join)
LINES = st.lists(st.tuples(st.sampled_from(["", "!"]), PATTERNS).map("".join), min_size=1, max_size=4)


@settings(max_examples=500)
@given(LINES, PATHS)
def test_dockerignore_agrees_with_the_docker_sdk(lines: list[str], path: str) -> None:
    ours = context_digest.is_ignored(path, context_digest.parse_dockerignore("\n".join(lines)))
    assert ours == PatternMatcher(lines).matches(path)  # type: ignore[arg-type]  # its stub is wrong
