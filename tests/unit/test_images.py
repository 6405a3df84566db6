"""References, archives, and which old versions go: ours only, never the newest, never the present one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.poppyfield import images
from ansible.module_utils.poppyfield.images import ImageName
from hypothesis import given
from hypothesis import strategies as st

NAME = ImageName("poppyfield/postgis", "trixie-arm64")


def image(number: int, *tags: str, ours: bool = True, tagged: bool = True) -> dict[str, Any]:
    return {
        "Id": f"sha256:{number}",
        "Created": "2026-01-01T00:00:00Z",
        "Metadata": {"LastTagTime": f"2026-01-{number:02d}T00:00:00Z"} if tagged else {},
        "RepoTags": list(tags),
        "Config": {"Labels": images.labels("f" * 64) if ours else {}},
    }


def tag(number: int) -> str:
    return f"poppyfield/postgis:trixie-arm64-{number:012d}"


def test_references_and_archives() -> None:
    digest = "0123456789abcdef"
    assert NAME.reference(digest) == "poppyfield/postgis:trixie-arm64-0123456789ab"
    assert NAME.archive(digest, ".zst") == "poppyfield-postgis-trixie-arm64-0123456789ab.tar.zst"
    assert images.split(NAME.reference(digest)) == NAME


@pytest.mark.parametrize(
    ("reference", "owned"),
    [
        ("poppyfield/postgis:trixie-arm64-0123456789ab", True),
        ("poppyfield/postgis:trixie-amd64-0123456789ab", False),
        ("poppyfield/postgis:trixie-arm64-latest", False),
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
        ("trixie-arm64.tar.gz", False),
    ],
)
def test_which_archives_are_versions(file: str, owned: bool) -> None:
    assert NAME.owns_archive(file) is owned


def test_the_newest_and_the_present_one_stay() -> None:
    existing = [image(n, tag(n)) for n in range(1, 5)]
    assert images.to_prune(NAME, existing, keep=2, current=tag(1)) == [tag(3), tag(2)]
    assert images.to_prune(NAME, existing, keep=1, current=tag(4)) == [tag(3), tag(2), tag(1)]
    assert images.to_prune(NAME, existing, keep=0) == [tag(4), tag(3), tag(2), tag(1)]


def test_what_is_not_ours_is_never_pruned() -> None:
    existing = [image(1, tag(1), ours=False), image(2, "poppyfield/postgis:latest"), image(3, "other/postgis:1")]
    assert images.to_prune(NAME, existing, keep=0) == []
    assert images.archives_to_prune(NAME, [(1.0, "holiday.tar.gz")], keep=0) == []


@given(st.lists(st.integers(1, 28), unique=True, max_size=8), st.integers(1, 5))
def test_no_more_than_asked_for_stays(numbers: list[int], keep: int) -> None:
    existing = [image(n, tag(n)) for n in numbers]
    current = tag(numbers[0]) if numbers else ""
    pruned = images.to_prune(NAME, existing, keep, current)
    assert current not in pruned
    assert len(numbers) - len(pruned) == min(len(numbers), keep)


def test_an_image_counts_as_ours_by_its_labels() -> None:
    assert images.digest_of(image(1, tag(1))) == "f" * 64
    assert images.digest_of(image(1, tag(1), ours=False)) == ""
    assert images.digest_of(None) == ""


def test_platforms() -> None:
    assert images.is_platform({"Architecture": "arm"}, "linux/arm/v7")
    assert not images.is_platform({"Architecture": "arm64"}, "linux/arm/v7")
