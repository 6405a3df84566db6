"""Images are built once for all Pis of a run, so the Pis must agree; and the profile must have packages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.inventory_of import FakeLaptop, problems, problems_of, told


def test_an_architecture_that_the_profile_has_no_packages_for_is_named() -> None:
    assert told(arm_images_architectures=["arm64", "amd64"]) == []
    (found,) = problems(arm_images_architectures=["arm64", "armhf"])
    assert found.finding.wrong == "the profile trixie has no images for armhf"
    assert "The profile bookworm is for arm64 and armhf" in found.finding.remedy
    assert told(arm_images_architectures=["armhf"], arm_images_profile="bookworm") == []


PLUGINS = [{"source": "/a.zip"}]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("arm_images_profile", "bookworm"),
        ("arm_images_base_image", "example/base"),
        ("arm_images_mirror", "http://example.org"),
        ("lizmap_web_client", "none"),
        ("lizmap_archive", "/other.zip"),
        ("lizmap_archive_sha256", "a" * 64),
        ("lizmap_server_plugin", "/other.zip"),
        ("lizmap_server_extra_plugins", PLUGINS),
        ("lizmap_server_extra_plugins", [{"source": f"/{'a' * 200}.zip"}]),
    ],
)
def test_what_all_must_share_is_told_with_who_has_what(variable: str, value: Any) -> None:
    (found,) = problems_of({"a": {}, "b": {variable: value}, "c": {}})
    assert (found.finding.variable, found.hosts) == (variable, ("a", "b", "c"))
    assert "(a, c: " in found.finding.wrong and ", but b: " in found.finding.wrong
    assert "--limit" in found.finding.remedy
    assert problems_of({"a": {variable: value}, "b": {variable: value}}) == []


def test_long_values_that_differ_at_their_end_differ() -> None:
    long = "x" * 500
    assert len(problems_of({"a": {"lizmap_archive": f"{long}1"}, "b": {"lizmap_archive": f"{long}2"}})) == 1


def test_without_lizmap_its_archives_do_not_matter() -> None:
    page = {"lizmap_web_client": "none"}
    assert problems_of({"a": page, "b": {**page, "lizmap_archive": "/other.zip"}}) == []


def test_what_is_a_pis_own_may_differ() -> None:
    assert problems_of({"a": {}, "b": {"lizmap_port": 8080, "lizmap_users": [{"login": "x"}]}}) == []


def test_lists_of_packages_must_be_there() -> None:
    assert problems(FakeLaptop(), arm_images_lock_folder="/lists") == []
    (found,) = problems(FakeLaptop(missing=["/lists"]), arm_images_lock_folder="/lists")
    assert (found.finding.variable, found.finding.wrong) == (
        "arm_images_lock_folder",
        "it is not a folder on this laptop",
    )


def test_the_credentials_of_an_address_are_not_shown() -> None:
    mirrors = {"a": "http://me:hunter2@example.org/debian", "b": "http://example.org/x@y"}
    (found,) = problems_of({host: {"arm_images_mirror": mirror} for host, mirror in mirrors.items()})
    assert 'a: "http://(hidden)@example.org/debian", but b: "http://example.org/x@y"' in found.finding.wrong


@pytest.mark.parametrize(
    ("contexts", "wrong"),
    [
        ({"postgis": "/images/postgis", "lizmap": "https://example.org/images.git#main:lizmap"}, ""),
        ({"tiles": "/images/tiles"}, "there is no such service"),
        ({"postgis": "/none"}, "there is no Dockerfile in that folder of this laptop"),
        ({"postgis": "https://example.org/b.tar.gz"}, "it cannot be read: "),
        ({"postgis": "https://me:hunter2@example.org/b.git"}, "there is a password in it"),
        ({"postgis": "docker-image://registry.example.org:5000/a/postgis:17-3.5"}, ""),
        ({"postgis": f"docker-image://postgis@sha256:{'0a' * 32}"}, ""),
        ({"postgis": "docker-image://"}, "after docker-image:// is no name of an image"),
        ({"postgis": "docker-image://me:hunter2@example.org/b"}, "after docker-image:// is no name of an image"),
    ],
)
def test_where_an_image_is_built_from_is_judged(contexts: dict[str, str], wrong: str) -> None:
    found = problems(FakeLaptop(missing=["/none/Dockerfile"]), arm_images_contexts=contexts)
    assert [one.finding.wrong[: len(wrong)] for one in found] == ([wrong] if wrong else [])
    assert [one.finding.variable for one in found] == [f"arm_images_contexts.{name}" for name in contexts if wrong]
    assert "hunter2" not in str(found)


def test_the_password_in_a_git_address_is_not_shown_where_pis_differ() -> None:
    one = {"arm_images_contexts": {"postgis": "https://me:hunter2@example.org/b.git"}}
    assert "hunter2" not in str(problems_of({"a": one, "b": {}}))
