"""lizmap_user, lizmap_group and lizmap_repository as Ansible runs them, against a fake Lizmap."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import apply
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError
from docker import errors

from tests.doubles.docker_engine import FakeDocker
from tests.doubles.lizmap_accounts import FakeLizmap, PowerCut
from tests.doubles.recording import Json

Run = Callable[..., dict[str, Any]]
PASSWORD = "correct-horse-battery"
OTHER = "another-horse-battery"
IMAGE = "poppyfield/lizmap:trixie-arm64-000000000001"
ALL_THREE = ("lizmap_user", "lizmap_group", "lizmap_repository")


@pytest.fixture
def lizmap(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeLizmap:
    """A Pi whose container websig-lizmap runs Lizmap, and with the password of anna in a file."""
    fake = FakeLizmap()
    docker.add_image(IMAGE)
    docker.create_network("bridge", "bridge", {}, True)
    docker.create_container_from_config({"Image": IMAGE, "HostConfig": {"NetworkMode": "bridge"}}, "websig-lizmap")
    docker.start("websig-lizmap")
    monkeypatch.setattr(Engine, "connect", lambda: Engine(docker, errors, fake.execute))
    monkeypatch.setattr(apply, "LOCK_FOLDER", tmp_path)
    (tmp_path / "anna").write_text(PASSWORD)
    return fake


@pytest.fixture
def anna(tmp_path: Path) -> Json:
    return {"login": "anna", "email": "anna@example.org", "password_file": str(tmp_path / "anna")}


@pytest.fixture
def people(run_module: Run, lizmap: FakeLizmap, anna: Json) -> None:
    """The groups mappers and guests; anna is a mapper."""
    run_module("lizmap_group", groups=[{"name": "mappers"}, {"name": "guests"}])
    run_module("lizmap_user", **anna, groups=["mappers"])
    lizmap.edits.clear()


# Users --------------------------------------------------------------------------------------------------------------


def test_an_account_is_made_with_its_groups_and_its_password_is_nowhere(
    predict_and_run: Run, run_module: Run, lizmap: FakeLizmap, anna: Json, tmp_path: Path
) -> None:
    run_module("lizmap_group", name="mappers")
    done = predict_and_run("lizmap_user", ("changed", "reasons", "diff", "removed"), **anna, groups=["mappers"])
    assert done["reasons"] == ["user anna: added"]
    assert done["diff"] == {
        "before": {},
        "after": {
            "user anna": {
                "email": "anna@example.org",
                "enabled": True,
                "groups": ["mappers", "users"],
                "rights": [],
                "password": f"the one in {tmp_path}/anna (hidden)",
            }
        },
    }
    assert lizmap.users["anna"] == {"email": "anna@example.org", "status": 1, "password": PASSWORD}
    assert lizmap.groups_of("anna") == ["mappers", "users"]
    assert PASSWORD not in json.dumps(done) and PASSWORD not in " ".join(lizmap.requests)
    assert not predict_and_run("lizmap_user", **anna, groups=["mappers"])["changed"]


ANNAS_CHANGES: list[tuple[Json, str, Json, Json]] = [
    (
        {"email": "a@example.net"},
        "email: anna@example.org -> a@example.net",
        {"email": "anna@example.org"},
        {"email": "a@example.net"},
    ),
    (
        {"groups": ["guests"]},
        "groups: mappers, users -> guests, users",
        {"groups": ["mappers", "users"]},
        {"groups": ["guests", "users"]},
    ),
    ({"groups": []}, "groups: mappers, users -> users", {"groups": ["mappers", "users"]}, {"groups": ["users"]}),
    (
        {"rights": ["lizmap.admin.access", "view"]},
        "rights: none -> lizmap.admin.access, view",
        {"rights": []},
        {"rights": ["lizmap.admin.access", "view"]},
    ),
    ({"state": "disabled"}, "enabled: yes -> no", {"enabled": True}, {"enabled": False}),
]


@pytest.mark.field_changed_once
@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("case", ANNAS_CHANGES, ids=[case[1] for case in ANNAS_CHANGES])
def test_each_field_of_an_account_is_changed_once(
    predict_and_run: Run, anna: Json, case: tuple[Json, str, Json, Json]
) -> None:
    change, reason, before, after = case
    done = predict_and_run("lizmap_user", **{**anna, **change})
    assert done["reasons"] == [f"user anna: {reason}"]
    assert done["diff"] == {"before": {"user anna": before}, "after": {"user anna": after}}
    assert not predict_and_run("lizmap_user", **{**anna, **change})["changed"]


@pytest.mark.field_changed_once
def test_another_password_in_the_file_is_set_and_its_user_must_log_in_again(
    predict_and_run: Run, lizmap: FakeLizmap, anna: Json, tmp_path: Path
) -> None:
    predict_and_run("lizmap_user", **anna)
    (tmp_path / "anna").write_text(OTHER + "\n")
    done = predict_and_run("lizmap_user", **anna)
    assert done["reasons"] == [f"user anna: password: another one -> the one in {tmp_path}/anna (hidden)"]
    assert lizmap.users["anna"]["password"] == OTHER
    assert lizmap.logged_out == ["anna"]
    assert OTHER not in json.dumps(done) and OTHER not in " ".join(lizmap.requests)
    assert not predict_and_run("lizmap_user", **anna)["changed"]


def test_a_password_that_its_user_chose_may_stay(predict_and_run: Run, lizmap: FakeLizmap, anna: Json) -> None:
    predict_and_run("lizmap_user", **anna, update_password="on_create")
    lizmap.users["anna"]["password"] = OTHER
    assert not predict_and_run("lizmap_user", **anna, update_password="on_create")["changed"]
    assert lizmap.users["anna"]["password"] == OTHER
    assert predict_and_run("lizmap_user", **anna, update_password="always")["changed"]


def test_a_disabled_account_is_logged_out_and_can_be_enabled_again(
    predict_and_run: Run, lizmap: FakeLizmap, anna: Json
) -> None:
    predict_and_run("lizmap_user", **anna, state="disabled")
    assert lizmap.users["anna"]["status"] == -1
    predict_and_run("lizmap_user", **anna)
    assert lizmap.users["anna"]["status"] == 1
    assert lizmap.logged_out == []
    predict_and_run("lizmap_user", login="anna", state="disabled")
    assert lizmap.logged_out == ["anna"]


@pytest.mark.parametrize("status", [2, 3])
def test_an_account_that_awaits_a_confirmation_is_enabled_as_it_is(
    predict_and_run: Run, lizmap: FakeLizmap, anna: Json, status: int
) -> None:
    predict_and_run("lizmap_user", **anna)
    lizmap.users["anna"]["status"] = status
    assert not predict_and_run("lizmap_user", **anna)["changed"]


def test_an_account_is_removed_and_logged_out(predict_and_run: Run, lizmap: FakeLizmap, anna: Json) -> None:
    predict_and_run("lizmap_user", **anna, rights=["view"])
    done = predict_and_run("lizmap_user", ("changed", "reasons", "diff", "removed"), login="anna", state="absent")
    assert done["reasons"] == ["user anna: removed"] and done["removed"] == ["anna"]
    assert done["diff"]["before"] == {
        "user anna": {"email": "anna@example.org", "enabled": True, "groups": ["users"], "rights": ["view"]}
    }
    assert "anna" not in lizmap.users and lizmap.logged_out == ["anna"] and lizmap.ours["users"] == []
    assert not predict_and_run("lizmap_user", login="anna", state="absent")["changed"]


def test_an_account_named_admin_is_no_administrator_unless_it_is_to_be(
    run_module: Run, lizmap: FakeLizmap, anna: Json
) -> None:
    """Lizmap keeps the membership of its installer's "admin" also when there is no such account."""
    run_module("lizmap_user", **anna, groups=["admins"])
    del lizmap.users["admin"]
    run_module("lizmap_user", **{**anna, "login": "admin"})
    assert lizmap.groups_of("admin") == ["users"]


@pytest.mark.parametrize("state", ["absent", "disabled", "present"])
def test_the_last_administrator_stays(run_module: Run, lizmap: FakeLizmap, anna: Json, state: str) -> None:
    before = copy.deepcopy(lizmap.users), set(lizmap.members)
    told = run_module("lizmap_user", login="admin", state=state, groups=[])["msg"]
    assert told.startswith("Nobody could administer Lizmap any more: admin would no longer be an administrator.")
    assert (lizmap.users, lizmap.members) == before and lizmap.edits == []
    # In one go somebody else may take over.
    successor = {**anna, "groups": ["admins"]}
    done = run_module("lizmap_user", users=[successor, {"login": "admin", "state": state, "groups": []}])
    assert done["changed"]


def test_an_administrator_who_cannot_log_in_does_not_count(run_module: Run, lizmap: FakeLizmap, anna: Json) -> None:
    run_module("lizmap_user", **anna, groups=["admins"], state="disabled")
    assert "Nobody could administer" in run_module("lizmap_user", login="admin", state="absent")["msg"]


@pytest.mark.parametrize("state", ["absent", "disabled", "present"])
def test_a_protected_administrator_stays_also_when_there_are_others(
    run_module: Run, lizmap: FakeLizmap, anna: Json, state: str
) -> None:
    run_module("lizmap_user", **anna, groups=["admins"])
    result = run_module("lizmap_user", login="admin", state=state, groups=[], protected=["admin"])
    assert result["msg"].startswith("The user admin is the administrator of this Lizmap, and cannot be removed")
    assert not run_module("lizmap_user", login="admin", protected=["admin"])["changed"]


def test_what_the_list_no_longer_has_is_removed_if_it_was_made_here(
    predict_and_run: Run, lizmap: FakeLizmap, anna: Json
) -> None:
    lizmap._create_user("by-hand", "x@example.org", PASSWORD)
    both = [anna, {**anna, "login": "bruno"}, {"login": "by-hand"}]
    predict_and_run("lizmap_user", users=both, purge=True)
    assert lizmap.ours["users"] == ["anna", "bruno"]
    assert not predict_and_run("lizmap_user", users=[anna])["changed"]
    done = predict_and_run("lizmap_user", ("reasons", "removed"), users=[anna], purge=True)
    assert done["reasons"] == ["user bruno: removed, because it is no longer asked for"]
    assert done["removed"] == ["bruno"]
    assert set(lizmap.users) == {"admin", "anna", "by-hand"}
    assert not predict_and_run("lizmap_user", users=[anna], purge=True)["changed"]


def test_what_somebody_else_removed_is_forgotten_and_not_taken_for_ours_later(
    predict_and_run: Run, lizmap: FakeLizmap, anna: Json
) -> None:
    predict_and_run("lizmap_user", users=[anna], purge=True)
    lizmap._delete_user("anna", [])
    done = predict_and_run("lizmap_user", ("reasons", "removed"), users=[], purge=True)
    assert done["reasons"] == ["user anna: was removed by somebody else, now forgotten"] and done["removed"] == []
    lizmap._create_user("anna", "x@example.org", PASSWORD)
    assert not predict_and_run("lizmap_user", users=[], purge=True)["changed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"login": "new"}, "The user new does not exist yet: give its email and its password_file."),
        ({"login": "new", "email": "n@example.org"}, "give its email and its password_file"),
        ({"login": "new", "password_file": "{anna}"}, "give its email and its password_file"),
        ({"login": "new", "email": "nobody", "password_file": "{anna}"}, "'nobody' is not an e-mail address"),
        ({"login": "admin", "email": "a@b c.org"}, "'a@b c.org' is not an e-mail address"),
        ({"login": "-n", "email": "n@example.org", "password_file": "{anna}"}, "'-n' cannot be a login"),
        ({"login": "x" * 51, "email": "n@example.org", "password_file": "{anna}"}, "cannot be a login: 1 to 50"),
        ({"login": "admin", "groups": ["mapers"]}, "there is no group mapers in this Lizmap. There are __anonymous, "),
        ({"login": "admin", "groups": ["__priv_anna"]}, "there is no user anna in this Lizmap. There are admin."),
        ({"login": "admin", "rights": ["lizmap.fly"]}, "There is no right 'lizmap.fly' in this Lizmap. There are "),
        ({"login": "admin", "password_file": "{folder}/none"}, "/none cannot be read: No such file or directory."),
        ({"login": "admin", "password_file": "{folder}/latin"}, "/latin is not text in UTF-8: write the password"),
        ({"login": "admin", "password_file": "{folder}/long"}, "/long must be one line of 1 to 72 printable ASCII"),
        ({"login": "admin", "password_file": "{folder}/two"}, "/two must be one line"),
        ({"login": "admin", "users": []}, "parameters are mutually exclusive: login|users"),
        ({}, "one of the following is required: login, users"),
        ({"login": "admin", "purge": True}, "purge is True but all of the following are missing: users"),
        ({"users": [{"login": "admin"}, {"login": "admin"}]}, "The user admin is given twice."),
    ],
)
def test_an_account_that_cannot_be_is_refused_before_anything_is_done(
    run_module: Run, lizmap: FakeLizmap, tmp_path: Path, options: Json, said: str
) -> None:
    (tmp_path / "long").write_text("x" * 73)
    (tmp_path / "two").write_text("two\nlines")
    (tmp_path / "latin").write_bytes(b"caf\xe9-caf\xe9-caf\xe9")
    text = json.dumps(options).replace("{anna}", str(tmp_path / "anna")).replace("{folder}", str(tmp_path))
    assert said in run_module("lizmap_user", **json.loads(text))["msg"]
    assert lizmap.edits == []


# Groups -------------------------------------------------------------------------------------------------------------


def test_a_group_is_made_changed_and_removed(predict_and_run: Run, lizmap: FakeLizmap, anna: Json) -> None:
    told = ("changed", "reasons", "diff", "removed")
    done = predict_and_run("lizmap_group", told, name="mappers", label="Field mappers")
    assert done["diff"] == {"before": {}, "after": {"group mappers": {"label": "Field mappers", "rights": []}}}
    assert lizmap.groups["mappers"] == {"name": "Field mappers", "type": 0}
    done = predict_and_run("lizmap_group", told, name="mappers", label="Mappers", rights=["view"])
    assert done["reasons"] == [
        "group mappers: label: Field mappers -> Mappers",
        "group mappers: rights: none -> view",
    ]
    assert lizmap.rights["mappers", "lizmap.repositories.view", "-"] is False
    assert not predict_and_run("lizmap_group", name="mappers")["changed"]
    predict_and_run("lizmap_user", **anna, groups=["mappers"])
    done = predict_and_run("lizmap_group", told, name="mappers", state="absent")
    assert done["diff"] == {
        "before": {"group mappers": {"label": "Mappers", "members": ["anna"], "rights": ["view"]}},
        "after": {},
    }
    assert done["removed"] == ["mappers"] and lizmap.groups_of("anna") == ["users"]
    assert not predict_and_run("lizmap_group", told, name="mappers", state="absent")["changed"]


def test_rights_that_are_no_longer_given_are_taken_away_first(predict_and_run: Run, lizmap: FakeLizmap) -> None:
    predict_and_run("lizmap_group", name="mappers", rights=["view", "edit"])
    lizmap.edits.clear()
    predict_and_run("lizmap_group", name="mappers", rights=["view", "lizmap.admin.access"])
    assert [edit["command"][0] for edit in lizmap.edits] == ["acl2:remove", "acl2:add"]


def test_a_right_that_was_denied_is_given_when_it_is_wanted(predict_and_run: Run, lizmap: FakeLizmap) -> None:
    lizmap.rights["users", "lizmap.repositories.view", "-"] = True
    predict_and_run("lizmap_group", name="users", rights=["auth.user.view", "view"])
    assert lizmap.rights["users", "lizmap.repositories.view", "-"] is False
    assert not predict_and_run("lizmap_group", name="users", rights=["auth.user.view", "view"])["changed"]


def test_groups_that_were_made_here_and_are_no_longer_listed_are_removed(
    predict_and_run: Run, lizmap: FakeLizmap
) -> None:
    lizmap._create_group("by-hand", "By hand", [])
    predict_and_run("lizmap_group", groups=[{"name": "mappers"}, {"name": "by-hand"}], purge=True)
    done = predict_and_run("lizmap_group", ("removed",), groups=[], purge=True)
    assert done["removed"] == ["mappers"]
    assert "by-hand" in lizmap.groups


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *(
            ({"name": n, "state": "absent"}, "is Lizmap's own")
            for n in ("admins", "users", "publishers", "__anonymous")
        ),
        ({"name": "admins", "rights": ["view"]}, "must keep its rights: acl.group.modify, lizmap.admin.access would"),
        ({"name": "everyone"}, "'everyone' cannot be the name of a group"),
        ({"name": "field mappers"}, "'field mappers' cannot be the name of a group"),
        ({"name": "__priv_x"}, "'__priv_x' cannot be the name of a group"),
        ({"name": "x", "label": "two\nlines"}, "label of the group x must be one line of at most 150 characters"),
        ({"name": "x", "rights": ["veiw"]}, "There is no right 'veiw' in this Lizmap. There are "),
        ({"groups": [{"name": "x"}, {"name": "x"}]}, "The group x is given twice."),
    ],
)
def test_a_group_that_cannot_be_is_refused_before_anything_is_done(
    run_module: Run, lizmap: FakeLizmap, options: Json, said: str
) -> None:
    assert said in run_module("lizmap_group", **options)["msg"]
    assert lizmap.edits == []


# Repositories -------------------------------------------------------------------------------------------------------


def test_a_repository_that_everyone_may_see_is_seen_by_those_who_log_in_too(
    predict_and_run: Run, lizmap: FakeLizmap, people: None
) -> None:
    done = predict_and_run("lizmap_repository", key="fields", label="Fields", view="everyone", edit=["mappers"])
    assert done["diff"] == {
        "before": {},
        "after": {
            "repository fields": {
                "label": "Fields",
                "path": "/srv/projects/fields/",
                "view": ["__anonymous", "admins", "users"],
                "edit": ["mappers"],
            }
        },
    }
    assert lizmap.rights_on("fields") == {
        "lizmap.repositories.view": ["__anonymous", "admins", "users"],
        "lizmap.tools.edition.use": ["mappers"],
    }
    again = {"key": "fields", "label": "Fields", "view": "everyone", "edit": ["mappers"]}
    assert not predict_and_run("lizmap_repository", **again)["changed"]


FIRST = {"key": "fields", "label": "Fields", "view": ["mappers"], "edit": "nobody"}


@pytest.mark.field_changed_once
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": "Meadows"}, "label: Fields -> Meadows"),
        ({"path": "/srv/projects/nests"}, "path: /srv/projects/fields/ -> /srv/projects/nests/"),
        ({"themes": True}, "themes: no -> yes"),
        ({"allowed_origins": ["https://a.org", "http://b.org:81"]}, "allowed_origins: none -> https://a.org, http"),
        ({"embedding_origins": ["*"]}, "embedding_origins: none -> *"),
        ({"view": "logged-in"}, "view: admins, mappers -> admins, users"),
        ({"view": "nobody"}, "view: admins, mappers -> none"),
        ({"edit": ["user:anna"]}, "edit: none -> user:anna"),
        ({"export": ["mappers"]}, "export: none -> mappers"),
        ({"links": ["mappers"]}, "links: none -> mappers"),
        ({"unfiltered": ["mappers"]}, "unfiltered: none -> mappers"),
        ({"rights": {"lizmap.tools.layer.export": "mappers"}}, "export: none -> mappers"),
    ],
)
def test_each_field_of_a_repository_is_changed_once(
    predict_and_run: Run, lizmap: FakeLizmap, people: None, change: Json, reason: str
) -> None:
    predict_and_run("lizmap_repository", **FIRST)
    done = predict_and_run("lizmap_repository", **{**FIRST, **change})
    assert [told.startswith(f"repository fields: {reason}") for told in done["reasons"]] == [True]
    assert not predict_and_run("lizmap_repository", **{**FIRST, **change})["changed"]


def test_settings_are_what_lizmap_reads(predict_and_run: Run, lizmap: FakeLizmap, people: None) -> None:
    origins = {"allowed_origins": ["https://a.org", "https://b.org"], "embedding_origins": ["https://c.org"]}
    predict_and_run("lizmap_repository", **FIRST, **origins, themes=True)
    assert lizmap.repositories["fields"] == {
        "label": "Fields",
        "path": "/srv/projects/fields/",
        "allowUserDefinedThemes": True,
        "accessControlAllowOrigin": "https://a.org,https://b.org",
        "iframeEmbedAllowOrigin": "https://c.org",
    }
    # What is not mentioned stays.
    assert not predict_and_run("lizmap_repository", key="fields")["changed"]


def test_a_right_is_taken_from_those_who_are_no_longer_named_and_first(
    predict_and_run: Run, lizmap: FakeLizmap, people: None
) -> None:
    predict_and_run("lizmap_repository", key="fields", view="everyone")
    lizmap.edits.clear()
    predict_and_run("lizmap_repository", key="fields", view=["mappers"])
    done = [(edit["command"][0], *edit["command"][-3:-2]) for edit in lizmap.edits]
    assert done == [("acl2:remove", "__anonymous"), ("acl2:remove", "users"), ("acl2:add", "mappers")]


def test_a_repository_is_removed_with_the_rights_on_it(predict_and_run: Run, lizmap: FakeLizmap, people: None) -> None:
    predict_and_run("lizmap_repository", key="fields", view="everyone")
    predict_and_run("lizmap_repository", key="nests", view=["mappers"])
    done = predict_and_run("lizmap_repository", ("removed", "reasons", "diff"), key="nests", state="absent")
    assert done["removed"] == ["nests"] and done["reasons"] == ["repository nests: removed"]
    assert done["diff"]["before"]["repository nests"]["view"] == ["admins", "mappers"]
    assert set(lizmap.repositories) == {"fields"} and lizmap.rights_on("nests") == {}
    assert lizmap.rights_on("fields") and lizmap.ours["repositories"] == ["fields"]
    assert not predict_and_run("lizmap_repository", key="nests", state="absent")["changed"]


def test_rights_that_an_earlier_repository_left_are_not_inherited(
    predict_and_run: Run, lizmap: FakeLizmap, people: None
) -> None:
    lizmap.rights["guests", "lizmap.tools.edition.use", "fields"] = False
    lizmap.rights["guests", "lizmap.repositories.view", "fields"] = False
    predict_and_run("lizmap_repository", key="fields", view=["mappers"], edit="nobody")
    assert lizmap.rights_on("fields") == {"lizmap.repositories.view": ["admins", "mappers"]}
    names = [edit.get("command", ["-"])[0] for edit in lizmap.edits]
    assert names.index("acl2:remove") < names.index("repository:create")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("denied", [False, True])
def test_leftover_rights_of_a_repository_that_is_gone_are_removed(
    predict_and_run: Run, lizmap: FakeLizmap, denied: bool
) -> None:
    lizmap.rights["guests", "lizmap.repositories.view", "fields"] = denied
    assert predict_and_run("lizmap_repository", key="fields", state="absent")["changed"]
    assert lizmap.rights_on("fields") == {}
    assert not predict_and_run("lizmap_repository", key="fields", state="absent")["changed"]


def test_repositories_that_were_made_here_and_are_no_longer_listed_are_removed(
    predict_and_run: Run, lizmap: FakeLizmap, people: None
) -> None:
    lizmap.repositories["byhand"] = {"label": "x", "path": "/srv/projects/x/"}
    both = [{"key": "fields", "view": "everyone"}, {"key": "nests", "view": "logged-in"}]
    predict_and_run("lizmap_repository", repositories=both, purge=True)
    done = predict_and_run("lizmap_repository", ("removed",), repositories=both[:1], purge=True)
    assert done["removed"] == ["nests"]
    assert set(lizmap.repositories) == {"fields", "byhand"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "two words"}, "'two words' cannot be the name of a repository"),
        ({"key": "my-fields"}, "letters, digits and underscores, up to 100. Call it my_fields."),
        ({"key": "étés, 2026"}, "Call it etes_2026."),
        ({"key": "fields", "label": 'a "b"'}, "must be one line of at most 150 characters without"),
        ({"key": "fields", "label": "no"}, "cannot be 'no', which means something else"),
        ({"key": "fields", "view": ["mapers"]}, "there is no group mapers in this Lizmap. There are __anonymous, "),
        ({"key": "fields", "view": ["user:ana"]}, "there is no user ana in this Lizmap. There are admin, anna."),
        ({"key": "fields", "view": ["nobody", "mappers"]}, "'nobody' cannot stand beside others: nobody, mappers."),
        ({"key": "fields", "edit": ["mappers"]}, "mappers would have the right 'edit', but not the right 'view'"),
        (
            {"key": "fields", "view": ["guests"], "edit": ["user:anna"]},
            "user:anna would have the right 'edit', but not",
        ),
        ({"key": "fields", "view": "logged-in", "edit": "everyone"}, "__anonymous would have the right 'edit', but"),
        ({"key": "fields", "rights": {"lizmap.fly": ["mappers"]}}, "There is no right 'lizmap.fly' in this Lizmap."),
        ({"key": "fields", "allowed_origins": ["a.org/x"]}, "'a.org/x' is not an origin, such as https://example.org"),
        ({"key": "fields", "allowed_origins": ["*"]}, "'*' is not an origin"),
        ({"repositories": [{"key": "a"}, {"key": "a"}]}, "The repository a is given twice."),
    ],
)
def test_a_repository_that_cannot_be_is_refused_before_anything_is_done(
    run_module: Run, lizmap: FakeLizmap, people: None, options: Json, said: str
) -> None:
    assert said in run_module("lizmap_repository", **options)["msg"]
    assert lizmap.edits == []


@pytest.mark.parametrize("view", [["mappers"], ["user:anna"], "logged-in", "everyone"])
def test_a_single_person_may_edit_what_the_person_may_see_in_any_way(
    predict_and_run: Run, lizmap: FakeLizmap, people: None, view: Any
) -> None:
    predict_and_run("lizmap_repository", key="fields", view=view, edit=["user:anna"])
    assert lizmap.rights_on("fields")["lizmap.tools.edition.use"] == ["__priv_anna"]


def test_an_old_name_of_a_repository_can_still_be_removed(predict_and_run: Run, lizmap: FakeLizmap) -> None:
    lizmap.repositories["my-fields"] = {"label": "x", "path": "/srv/projects/x/"}
    assert predict_and_run("lizmap_repository", key="my-fields", state="absent")["removed"] == ["my-fields"]


# All three ----------------------------------------------------------------------------------------------------------

DESIRED: dict[str, Json] = {
    "lizmap_user": {"users": []},
    "lizmap_group": {"name": "mappers"},
    "lizmap_repository": {"key": "fields", "view": ["mappers", "user:anna"]},
}


@pytest.mark.parametrize("module", ALL_THREE)
def test_a_container_that_does_not_run_is_an_error_but_not_in_check_mode(
    run_module: Run, lizmap: FakeLizmap, docker: FakeDocker, module: str
) -> None:
    docker.stop("websig-lizmap", timeout=1)
    assert run_module(module, **DESIRED[module])["msg"] == "The container websig-lizmap does not run."
    predicted = run_module(module, check_mode=True, **DESIRED[module])
    assert predicted["reasons"][0] == "The container websig-lizmap does not run."
    assert predicted["changed"] is (module != "lizmap_user")


@pytest.mark.parametrize("module", ALL_THREE)
def test_a_bare_host_is_predicted(
    run_module: Run, lizmap: FakeLizmap, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    def no_docker() -> Engine:
        raise EngineMissingError("no Docker yet")

    monkeypatch.setattr(Engine, "connect", no_docker)
    assert run_module(module, **DESIRED[module])["msg"] == "no Docker yet"
    assert run_module(module, check_mode=True, **DESIRED[module])["reasons"][0] == "no Docker yet"


def test_the_administrator_that_the_image_makes_is_predicted_to_be_there(
    run_module: Run, lizmap: FakeLizmap, docker: FakeDocker, tmp_path: Path
) -> None:
    docker.stop("websig-lizmap", timeout=1)
    admin = {"login": "admin", "groups": ["admins"], "password_file": str(tmp_path / "not-made-yet")}
    same = run_module("lizmap_user", check_mode=True, **admin, email="admin@localhost.localdomain")
    assert not same["changed"]
    other = run_module("lizmap_user", check_mode=True, **admin, email="a@example.org")
    assert other["reasons"][1:] == ["user admin: email: admin@localhost.localdomain -> a@example.org"]


def test_what_an_earlier_task_would_make_is_only_warned_of_in_check_mode(
    run_module: Run, lizmap: FakeLizmap, anna: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user = {**anna, "groups": ["mappers"], "password_file": str(tmp_path / "not-made-yet")}
    predicted = run_module("lizmap_user", check_mode=True, **user)
    assert predicted["reasons"] == ["user anna: added"]
    assert "there is no group mappers in this Lizmap" in capsys.readouterr().err
    assert run_module("lizmap_repository", check_mode=True, **DESIRED["lizmap_repository"])["changed"]
    assert lizmap.edits == []


@pytest.mark.parametrize("module", ALL_THREE)
def test_without_lizmap_it_is_said_in_a_sentence(
    run_module: Run, lizmap: FakeLizmap, docker: FakeDocker, module: str
) -> None:
    docker.named("websig-lizmap")["Config"]["Labels"] = {"fr.poppyfield.web-client": "none"}
    told = run_module(module, **DESIRED[module])["msg"]
    assert told.startswith("Users, groups and repositories need Lizmap, but the container websig-lizmap serves the ")


def test_what_was_changed_is_flushed_before_it_is_told_and_nothing_else_is(
    run_module: Run, lizmap: FakeLizmap, anna: Json
) -> None:
    run_module("lizmap_user", **anna)
    assert lizmap.edits and not lizmap.unflushed
    lizmap.requests.clear()
    assert not run_module("lizmap_user", **anna)["changed"]
    assert not [request for request in lizmap.requests if "sync" in request]
    lizmap.disk_fails = True
    told = run_module("lizmap_group", name="mappers")["msg"]
    assert told.endswith("has written could not be flushed: sync: error syncing: Input/output error")


@pytest.mark.parametrize("edits", range(4))
def test_nothing_is_made_before_the_card_has_that_it_is_ours(
    run_module: Run, lizmap: FakeLizmap, anna: Json, edits: int
) -> None:
    lizmap.power_cut_after = edits
    with pytest.raises(PowerCut):
        run_module("lizmap_user", users=[anna, {**anna, "login": "bruno"}], purge=True)
    assert {*lizmap.users} - {"admin"} <= {*lizmap.flushed_ours.get("users", ())}


def test_a_script_that_does_not_answer_is_told_with_its_last_words(run_module: Run, lizmap: FakeLizmap) -> None:
    lizmap.broken = "lizmapConfig.ini.php cannot be read.\n"
    assert run_module("lizmap_group", name="x")["msg"] == (
        "Lizmap in the container websig-lizmap does not answer: lizmapConfig.ini.php cannot be read."
    )


def test_what_lizmap_refuses_is_told_with_what_was_done_before(run_module: Run, lizmap: FakeLizmap) -> None:
    lizmap.folders.clear()
    assert run_module("lizmap_repository", key="fields", view="everyone")["msg"] == (
        "Lizmap refused a change of the repository fields: The path provided doesn't exist or is not a directory ! "
        "0 of 4 changes were made before; the next run makes those that are left."
    )


def test_a_change_that_did_not_hold_is_not_reported_as_done(run_module: Run, lizmap: FakeLizmap) -> None:
    lizmap.deaf = True
    assert run_module("lizmap_group", name="x")["msg"] == (
        "Lizmap accepted these changes, but they did not hold: group x: added."
    )


CUT: list[tuple[str, Json]] = [
    ("lizmap_user", {"users": [{"login": "anna", "groups": ["guests"], "rights": ["view"], "state": "disabled"}]}),
    ("lizmap_user", {"users": []}),
    ("lizmap_group", {"groups": [{"name": "guests"}, {"name": "wardens", "label": "Wardens", "rights": ["view"]}]}),
    (
        "lizmap_repository",
        {"repositories": [{"key": "nests", "view": ["guests"], "export": ["guests"], "themes": True}]},
    ),
]


CRASH_POINTS = [
    pytest.param((module, desired, edits), id=f"{module}-{number}-{edits}")
    for number, (module, desired) in enumerate(CUT)
    for edits in range(7)
]


@pytest.mark.crash_point
@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("case", CRASH_POINTS)
def test_a_run_that_is_cut_off_is_finished_by_the_next_one(
    run_module: Run, lizmap: FakeLizmap, anna: Json, case: tuple[str, Json, int]
) -> None:
    module, desired, edits = case
    run_module("lizmap_repository", key="fields", view=["mappers"], edit=["mappers"])
    users = [{**anna, **user} for user in desired.get("users", [])]
    desired = {**desired, **({"users": users} if "users" in desired else {}), "purge": True}
    before = content_of(lizmap)
    run_module(module, **desired)
    uncut = content_of(lizmap)
    vars(lizmap).update(before)
    lizmap.power_cut_after = edits
    with contextlib.suppress(PowerCut):
        run_module(module, **desired)
    lizmap.power_cut_after = None
    assert "failed" not in run_module(module, **desired)
    assert content_of(lizmap) == uncut
    assert not run_module(module, **desired)["changed"]


def content_of(lizmap: FakeLizmap) -> Json:
    """What Lizmap and the record of what is ours hold, copied."""
    names = ("users", "groups", "members", "rights", "repositories", "ours")
    return {name: copy.deepcopy(getattr(lizmap, name)) for name in names}
