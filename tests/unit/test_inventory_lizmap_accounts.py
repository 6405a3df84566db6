"""Users, groups, rights and passwords that Lizmap could not have are told before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.inventory_of import problems, told


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, []),
        ({"lizmap_users": [{"login": "admin"}]}, ["lizmap_users: the account admin is set by lizmap_admin_email"]),
        (
            {"lizmap_users": [{"login": "x", "groups": ["mapers"]}]},
            ["lizmap_users: The user x: there is no group mapers"],
        ),
        ({"lizmap_users": [{"login": "x"}, {"login": "x"}]}, ["lizmap_users: The user x is given twice."]),
        (
            {"lizmap_users": [{"login": "ü"}, {"login": "x", "email": "y"}]},
            ["lizmap_users: 'ü' can", "lizmap_users: The us"],
        ),
        (
            {"lizmap_groups": [{"name": "admins", "state": "absent"}]},
            ["lizmap_groups: The group admins is Lizmap's own"],
        ),
        ({"lizmap_groups": [{"name": "x"}], "lizmap_users": [{"login": "y", "groups": ["x"]}]}, []),
        (
            {"lizmap_groups": [{"name": "x", "state": "absent"}], "lizmap_users": [{"login": "y", "groups": ["x"]}]},
            ["lizmap_users: The user y: there is no group x"],
        ),
        ({"lizmap_projects": [{"repository": "my-fields"}]}, ["lizmap_projects: 'my-fields' cannot be the name of a"]),
        (
            {"lizmap_projects": [{"repository": "a", "view": ["user:x"]}]},
            ["lizmap_projects: The repository a: there is no"],
        ),
        ({"lizmap_projects": [{"repository": "a", "view": ["user:x"]}], "lizmap_users": [{"login": "x"}]}, []),
        (
            {"lizmap_projects": [{"repository": "a", "view": ["admins"], "edit": ["users"]}]},
            ["lizmap_projects: The repository a: users would have the right 'edit', but not the right 'view'"],
        ),
        (
            {"lizmap_projects": [{"repository": "a"}, {"repository": "a"}]},
            ["lizmap_projects: it names the repository a twice"],
        ),
    ],
)
def test_what_lizmap_could_not_have_is_told_before_anything_is_done(given: dict[str, Any], words: list[str]) -> None:
    projects = [{"folder": "/x", **project} for project in given.get("lizmap_projects", [])]
    found = told(**{**given, "lizmap_projects": projects})
    assert len(found) == len(words)
    assert all(one.startswith(said) for one, said in zip(found, words, strict=True)), found


def test_the_administrator_has_an_address() -> None:
    (found,) = problems(lizmap_admin_email="nobody")
    assert (found.finding.variable, found.finding.wrong) == (
        "lizmap_admin_email",
        "The user admin: 'nobody' is not an e-mail address.",
    )


@pytest.mark.parametrize(
    ("password", "good"),
    [
        ("x" * 12, True),
        ("x" * 72, True),
        ("a b ~ \"'$#", False),
        ("x" * 73, False),
        ("é" * 12, False),
        ("x" * 12 + "\n", False),
        ("", False),
        (" " + "x" * 12, False),
        (123456789012, False),
        (True, False),
    ],
)
def test_a_password_that_lizmap_could_not_keep_is_told_by_its_user(password: Any, good: bool) -> None:
    users = [{"login": "anna", "password": password}, {"login": "bruno"}]
    found = told(lizmap_users=users)
    assert len(found) == (not good)
    assert good or isinstance(password, bool) or found[0].startswith("lizmap_users: the password of anna ")
    found = told(lizmap_admin_password=password)
    assert len(found) == (not good and password != "")
    assert all("lizmap_admin_password" in one for one in found)


def test_what_needs_lizmap_is_named() -> None:
    projects = [{"repository": "a", "folder": "/x"}, {"repository": "b", "folder": "/x", "view": "everyone"}]
    page: dict[str, Any] = {"lizmap_web_client": "none"}
    rest = ", but lizmap_web_client is none: the small map page has no users and rights"
    assert told(**page, lizmap_users=[{"login": "x"}], lizmap_projects=projects) == [
        f"lizmap_users: it needs Lizmap{rest}",
        f"lizmap_projects: view of b needs Lizmap{rest}",
    ]
    assert told(**page, lizmap_projects=projects[:1]) == []
    assert told(lizmap_users=[{"login": "x"}], lizmap_projects=projects) == []
    other = {"lizmap_groups": [{"name": "x"}], "lizmap_admin_password": "x" * 12}
    assert len(told(**page, **other)) == 2


def test_what_is_there_twice_is_told_beside_what_cannot_be() -> None:
    users = [{"login": "ü"}, {"login": "anna"}, {"login": "anna"}]
    found = [one.finding.wrong for one in problems(lizmap_users=users)]
    assert len(found) == 2
    assert found[0].startswith("'ü' cannot be a login")
    assert found[1] == "The user anna is given twice."
