"""References, archives, and which old versions go: ours only, never the newest, never the present one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.poppyfield.images import image_names
from ansible.module_utils.poppyfield.images.image_names import ImageName
from hypothesis import given
from hypothesis import strategies as st

NAME = ImageName("poppyfield/postgis", "trixie-arm64")


def image(number: int, *tags: str, ours: bool = True, tagged: bool = True) -> dict[str, Any]:
    return {
        "Id": f"sha256:{number}",
        "Created": "2026-01-01T00:00:00Z",
        "Metadata": {"LastTagTime": f"2026-01-{number:02d}T00:00:00Z"} if tagged else {},
        "RepoTags": list(tags),
        "Config": {"Labels": image_names.labels("f" * 64) if ours else {}},
    }


def tag(number: int) -> str:
    return f"poppyfield/postgis:trixie-arm64-{number:012d}"


def test_references_and_archives() -> None:
    digest = "0123456789abcdef"
    assert NAME.reference(digest) == "poppyfield/postgis:trixie-arm64-0123456789ab"
    assert NAME.archive(digest, ".zst") == "poppyfield-postgis-trixie-arm64-0123456789ab.tar.zst"
    assert image_names.split(NAME.reference(digest)) == NAME


@pytest.mark.parametrize(
    ("reference", "owned"),
    [
        ("poppyfield/postgis:trixie-arm64-0123456789ab", True),
        ("poppyfield/postgis:trixie-amd64-0123456789ab", False),
        ("poppyfield/postgis:trixie-arm64-latest", False),
        ("poppyfield/postgis:trixie-arm64-experimental", False),
        ("poppyfield/postgis:latest", False),
        ("poppyfield/lizmap:trixie-arm64-0123456789ab", False),
        ("localhost:5000/poppyfield/postgis:trixie-arm64-0123456789ab", False),
    ],
)
def test_which_references_are_versions(reference: str, owned: bool) -> None:
    assert NAME.owns(reference) is owned


@pytest.mark.parametrize(
    ("file", "owned"),
    [
        ("poppyfield-postgis-trixie-arm64-0123456789ab.tar.zst", True),
        ("poppyfield-postgis-trixie-arm64-0123456789ab.tar.gz", True),
        ("poppyfield-postgis-trixie-arm64-0123456789ab.tar", False),
        ("poppyfield-postgis-trixie-arm64-0123456789ab.tar.gz.partial", False),
        ("poppyfield-postgis-trixie-amd64-0123456789ab.tar.gz", False),
        ("poppyfield-postgis-trixie-arm64-experimental.tar.gz", False),
        ("trixie-arm64.tar.gz", False),
    ],
)
def test_which_archives_are_versions(file: str, owned: bool) -> None:
    assert NAME.owns_archive(file) is owned


def test_the_newest_and_the_present_one_stay() -> None:
    existing = [image(n, tag(n)) for n in range(1, 5)]
    assert image_names.to_prune(NAME, existing, keep=2, current=tag(1)) == [tag(3), tag(2)]
    assert image_names.to_prune(NAME, existing, keep=1, current=tag(4)) == [tag(3), tag(2), tag(1)]
    assert image_names.to_prune(NAME, existing, keep=0) == [tag(4), tag(3), tag(2), tag(1)]


def test_what_is_used_stays_beside_the_newest() -> None:
    existing = [image(n, tag(n)) for n in range(1, 6)]
    assert image_names.to_prune(NAME, existing, keep=2, current=tag(5), used={tag(1), tag(4)}) == [tag(3), tag(2)]
    files = [(float(n), f"{NAME.archive_of(tag(n))}.tar.zst") for n in range(1, 6)]
    kept = {files[4][1], files[3][1], files[0][1]}
    pruned = image_names.archives_to_prune(NAME, files, keep=2, current=files[4][1], used={tag(1), tag(4)})
    assert {file for _, file in files} - set(pruned) == kept


def test_what_is_not_ours_is_never_pruned() -> None:
    existing = [image(1, tag(1), ours=False), image(2, "poppyfield/postgis:latest"), image(3, "other/postgis:1")]
    assert image_names.to_prune(NAME, existing, keep=0) == []
    assert image_names.archives_to_prune(NAME, [(1.0, "holiday.tar.gz")], keep=0) == []


@given(st.lists(st.integers(1, 28), unique=True, max_size=8), st.integers(1, 5))
def test_no_more_than_asked_for_stays(numbers: list[int], keep: int) -> None:
    existing = [image(n, tag(n)) for n in numbers]
    current = tag(numbers[0]) if numbers else ""
    pruned = image_names.to_prune(NAME, existing, keep, current)
    assert current not in pruned
    assert len(numbers) - len(pruned) == min(len(numbers), keep)


DIGITS = st.text("0123456789abcdef", min_size=12, max_size=12)
OWN_TAGS = DIGITS.map("poppyfield/postgis:trixie-arm64-{}".format)
OTHER_TAGS = st.one_of(
    DIGITS.map("poppyfield/postgis:trixie-amd64-{}".format),
    DIGITS.map("poppyfield/lizmap:trixie-arm64-{}".format),
    DIGITS.map("example:5000/poppyfield/postgis:trixie-arm64-{}".format),
    st.sampled_from(["poppyfield/postgis:latest", "poppyfield/postgis:trixie-arm64-experimental", "debian:trixie"]),
)
OURS = image_names.labels("f" * 64)
OTHER_LABELS = st.sampled_from(
    [None, {}, {**OURS, "fr.poppyfield.managed": "false"}, {**OURS, "fr.poppyfield.resource": "container"}]
)


@given(
    st.dictionaries(OWN_TAGS, st.dates(), max_size=6),
    st.dictionaries(OTHER_TAGS, OTHER_LABELS | st.just(OURS), max_size=6),
    st.dictionaries(OWN_TAGS, OTHER_LABELS, max_size=3),
    st.integers(0, 4),
    st.data(),
)
def test_neither_a_foreign_nor_the_current_reference_is_ever_pruned(
    own: dict[str, Any], others: dict[str, Any], clashing: dict[str, Any], keep: int, data: st.DataObject
) -> None:
    foreign = {**others, **clashing}
    existing = [
        *({"RepoTags": [r], "Created": str(date), "Config": {"Labels": OURS}} for r, date in own.items()),
        *({"RepoTags": [r], "Config": {"Labels": labels}} for r, labels in foreign.items() if r not in own),
        {"RepoTags": None, "Config": None},
    ]
    current = data.draw(st.sampled_from(["", *own, *foreign]))
    pruned = image_names.to_prune(NAME, existing, keep, current)  # type: ignore[arg-type]
    prunable = set(own) - {current}
    assert set(pruned) <= prunable
    stay = prunable - set(pruned)
    assert len(stay) == min(len(prunable), max(keep - bool(current), 0))
    assert all(own[old] <= own[newer] for old in pruned for newer in stay)


@given(
    st.dictionaries(DIGITS.map("poppyfield-postgis-trixie-arm64-{}.tar.gz".format), st.integers(0, 9), max_size=6),
    st.dictionaries(
        st.text("abc.-/gz", min_size=1)
        | DIGITS.map("poppyfield-postgis-trixie-arm64-{}.tar".format)
        | DIGITS.map("poppyfield-postgis-trixie-amd64-{}.tar.gz".format),
        st.integers(0, 9),
        max_size=6,
    ),
    st.integers(0, 4),
    st.data(),
)
def test_neither_a_foreign_nor_the_current_archive_is_ever_pruned(
    own: dict[str, int], others: dict[str, int], keep: int, data: st.DataObject
) -> None:
    files = [(float(time), file) for file, time in {**own, **others}.items()]
    current = data.draw(st.sampled_from(["", *own, *others]))
    pruned = image_names.archives_to_prune(NAME, files, keep, current)
    prunable = set(own) - {current}
    assert set(pruned) <= prunable
    stay = prunable - set(pruned)
    assert len(stay) == min(len(prunable), max(keep - bool(current), 0))
    assert all(own[old] <= own[newer] for old in pruned for newer in stay)


def test_a_base_of_ours_counts_by_its_digest_and_others_by_what_they_hand_on() -> None:
    plain = {"Id": "sha256:1", "RootFS": {"Layers": ["a", "b"]}, "Config": {"Env": ["A=1"], "Hostname": "x"}}
    digest = image_names.base_digest(plain)
    assert image_names.base_digest({**plain, "Id": "sha256:2", "Created": "now"}) == digest
    assert image_names.base_digest({**plain, "Config": {"Env": ["A=1"], "User": ""}}) == digest
    assert image_names.base_digest({**plain, "RootFS": {"Layers": ["b", "a"]}}) != digest
    assert image_names.base_digest({**plain, "Config": {"Env": ["A=2"]}}) != digest
    assert image_names.base_digest({"Id": "sha256:1", "RootFS": None, "Config": None}) != digest
    assert image_names.base_digest(image(1, tag(1))) == "f" * 64


def test_an_image_counts_as_ours_by_its_labels() -> None:
    assert image_names.digest_of(image(1, tag(1))) == "f" * 64
    assert image_names.digest_of(image(1, tag(1), ours=False)) == ""
    assert image_names.digest_of(None) == ""


def test_platforms() -> None:
    assert image_names.is_platform({"Architecture": "arm"}, "linux/arm/v7")
    assert not image_names.is_platform({"Architecture": "arm64"}, "linux/arm/v7")
