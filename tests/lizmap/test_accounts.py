"""lizmap_user, lizmap_group and lizmap_repository on a running Lizmap, which is then asked as browsers ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.lizmap import browser
from tests.lizmap.conftest import Query
from tests.lizmap.lizmap import ADMIN_PASSWORD, HERE, STATE, Lizmap, lizmap
from tests.unit.conftest import run_module  # noqa: F401 - a fixture

Json = dict[str, Any]
Run = Callable[..., Json]
TOLD = ("changed", "reasons", "removed", "diff")
PASSWORD = "correct-horse-battery"
# What a shell, PHP, SQL or an option's parser would take for something else.
ODD_PASSWORD = '--another $horse\'s "battery"; \\x'
ADDRESSES = count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgis"])
def server(
    request: pytest.FixtureRequest,
    query: Query,
    lizmap_image: str,
    network: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lizmap]:
    """Return a Lizmap of each kind."""
    query("DROP SCHEMA IF EXISTS lizmap CASCADE")
    folder = tmp_path_factory.mktemp(request.param)
    environment = {"LIZMAP_ACCOUNTS": request.param, "TRUSTED_PROXIES": HERE}
    with lizmap(lizmap_image, folder, network, environment=environment) as running:
        running.wait_until_healthy()
        yield running


@pytest.fixture
def keep(server: Lizmap, run_module: Run) -> Iterator[Run]:  # noqa: F811 - the fixture
    """Return what runs a module of this Lizmap: predicted, done as predicted, and then nothing is left to do.

    Everything that was made is removed after the test, by asking for nothing.
    """

    def run(name: str, /, **arguments: Any) -> Json:
        given = {**arguments, "container": server.container.name}
        predicted = run_module(f"lizmap_{name}", check_mode=True, **given)
        done = run_module(f"lizmap_{name}", **given)
        assert "failed" not in done, done["msg"]
        assert {key: predicted[key] for key in TOLD} == {key: done[key] for key in TOLD}
        again = run_module(f"lizmap_{name}", **given)
        assert (again["changed"], again["reasons"], again["diff"]) == (False, [], {"before": {}, "after": {}})
        return done

    yield run
    for name, many in (("repository", "repositories"), ("user", "users"), ("group", "groups")):
        done = run_module(f"lizmap_{name}", container=server.container.name, purge=True, **{many: []})
        assert "failed" not in done, done["msg"]


@pytest.fixture
def refused(server: Lizmap, run_module: Run) -> Callable[..., str]:  # noqa: F811 - the fixture
    """Return what runs a module that must fail, and gives its message."""

    def run(name: str, /, **arguments: Any) -> str:
        return str(run_module(f"lizmap_{name}", container=server.container.name, **arguments)["msg"])

    return run


@pytest.fixture
def anna(tmp_path: Path) -> Json:
    (tmp_path / "anna").write_text(PASSWORD)
    return {"login": "anna", "email": "anna@example.org", "password_file": str(tmp_path / "anna")}


class Browser(browser.Browser):
    """Somebody who has opened the login page."""

    def __init__(self, server: Lizmap) -> None:
        super().__init__(server.url)
        # From an address of its own: nobody may try to log in too often.
        self.session.headers["X-Forwarded-For"] = f"203.0.113.{next(ADDRESSES)}"

    def sees(self, repository: str, project: str = "meadow") -> bool:
        return super().sees(repository, project)


def log_in(server: Lizmap, login: str, password: str) -> bool:
    return Browser(server).log_in(login, password)


def test_the_first_administrator_has_no_default_password(server: Lizmap) -> None:
    assert log_in(server, "admin", ADMIN_PASSWORD)
    assert not log_in(server, "admin", "admin")


def test_an_account_is_made_changed_and_removed(server: Lizmap, keep: Run, anna: Json, tmp_path: Path) -> None:
    keep("group", name="mappers", label='The "mappers" of l\'été')
    done = keep("user", **anna, groups=["mappers"], rights=["lizmap.admin.project.list.view"])
    assert done["reasons"] == ["user anna: added"]
    assert done["diff"]["after"]["user anna"]["groups"] == ["mappers", "users"]
    assert log_in(server, "anna", PASSWORD)
    assert not log_in(server, "anna", "wrong")
    assert not log_in(server, "anna", "")
    (tmp_path / "anna").write_text(ODD_PASSWORD)
    done = keep("user", **{**anna, "email": "a@example.net"}, groups=[], rights=[])
    assert done["reasons"] == [
        "user anna: email: anna@example.org -> a@example.net",
        "user anna: groups: mappers, users -> users",
        "user anna: rights: lizmap.admin.project.list.view -> none",
        f"user anna: password: another one -> the one in {tmp_path}/anna (hidden)",
    ]
    assert log_in(server, "anna", ODD_PASSWORD)
    assert not log_in(server, "anna", PASSWORD)
    done = keep("user", login="anna", state="absent")
    assert done["diff"]["before"]["user anna"]["email"] == "a@example.net"
    assert not log_in(server, "anna", ODD_PASSWORD)


def test_whoever_is_disabled_or_removed_or_gets_another_password_is_logged_out_at_once(
    server: Lizmap, keep: Run, anna: Json, tmp_path: Path
) -> None:
    keep("user", **anna)
    admin, person = Browser(server), Browser(server)
    assert admin.log_in("admin", ADMIN_PASSWORD) and person.log_in("anna", PASSWORD)
    keep("user", **anna, state="disabled")
    assert not person.is_logged_in()
    assert not person.log_in("anna", PASSWORD)
    keep("user", **anna)
    assert person.log_in("anna", PASSWORD)
    (tmp_path / "anna").write_text(ODD_PASSWORD)
    keep("user", **anna)
    assert not person.is_logged_in()
    assert person.log_in("anna", ODD_PASSWORD)
    keep("user", login="anna", state="absent")
    assert not person.is_logged_in()
    assert admin.is_logged_in()


def test_a_group_is_made_changed_and_removed(server: Lizmap, keep: Run) -> None:
    done = keep("group", name="mappers", label="Mappers", rights=["view"])
    assert done["diff"] == {"before": {}, "after": {"group mappers": {"label": "Mappers", "rights": ["view"]}}}
    assert "lizmap.repositories.view" in listed_rights(server, "mappers")
    done = keep("group", name="mappers", label="-- Surveyors", rights=["edit"])
    assert done["diff"] == {
        "before": {"group mappers": {"label": "Mappers", "rights": ["view"]}},
        "after": {"group mappers": {"label": "-- Surveyors", "rights": ["edit"]}},
    }
    rights = listed_rights(server, "mappers")
    assert "-- Surveyors" in rights and "lizmap.tools.edition.use" in rights and "repositories.view" not in rights
    keep("group", name="mappers", state="absent")
    assert listed_rights(server, "mappers") == ""


def listed_rights(server: Lizmap, group: str) -> str:
    """Give the lines about a group of what Lizmap's own command lists."""
    lines = server.console("acl2:list").splitlines()
    return "\n".join(line for line in lines if line.startswith(f"| {group} "))


@pytest.fixture
def people(keep: Run, anna: Json) -> None:
    """anna is a mapper, bruno a guest."""
    keep("group", groups=[{"name": "mappers"}, {"name": "guests"}])
    keep("user", users=[{**anna, "groups": ["mappers"]}, {**anna, "login": "bruno", "groups": ["guests"]}])


@pytest.mark.usefixtures("people")
def test_a_map_is_shown_to_those_who_may_see_it_and_to_nobody_else(server: Lizmap, keep: Run) -> None:
    anybody, mapper, guest, admin = (Browser(server) for _ in range(4))
    assert mapper.log_in("anna", PASSWORD) and guest.log_in("bruno", PASSWORD)
    assert admin.log_in("admin", ADMIN_PASSWORD)
    for view, seen_by in (
        ("everyone", [anybody, mapper, guest, admin]),
        ("logged-in", [mapper, guest, admin]),
        (["mappers"], [mapper, admin]),
        (["user:bruno"], [guest, admin]),
        ("nobody", []),
    ):
        keep("repository", key="private", view=view)
        assert [who.sees("private") for who in (anybody, mapper, guest, admin)] == [
            who in seen_by for who in (anybody, mapper, guest, admin)
        ], view
    keep("repository", key="private", state="absent")
    assert not admin.sees("private")


@pytest.mark.usefixtures("people")
def test_each_setting_and_right_of_a_repository_is_lizmaps(server: Lizmap, keep: Run) -> None:
    label = "L'été; 50 % (a=b) #1"
    origins = {"allowed_origins": ["https://a.org", "http://b.org:81"], "embedding_origins": ["https://c.org"]}
    done = keep("repository", key="fields", label=label, view="everyone", edit=["mappers"], themes=True, **origins)
    assert done["diff"] == {
        "before": {},
        "after": {
            "repository fields": {
                "label": label,
                "path": "/srv/projects/fields/",
                "themes": True,
                **origins,
                "view": ["__anonymous", "admins", "users"],
                "edit": ["mappers"],
            }
        },
    }
    section = "repository:fields"
    assert server.setting("lizmapConfig", section, "label") == label
    assert server.setting("lizmapConfig", section, "allowUserDefinedThemes") == "1"
    assert server.setting("lizmapConfig", section, "accessControlAllowOrigin") == "https://a.org,http://b.org:81"
    assert server.setting("lizmapConfig", section, "iframeEmbedAllowOrigin") == "https://c.org"
    assert "lizmap.tools.edition.use" in listed_rights(server, "mappers")
    rest = server.setting("lizmapConfig", "services", "rootRepositories")
    done = keep("repository", key="fields", label="Fields", view="logged-in", edit=["user:anna"], export=["mappers"])
    assert done["diff"] == {
        "before": {
            "repository fields": {
                "label": label,
                "view": ["__anonymous", "admins", "users"],
                "edit": ["mappers"],
                "export": [],
            }
        },
        "after": {
            "repository fields": {
                "label": "Fields",
                "view": ["admins", "users"],
                "edit": ["user:anna"],
                "export": ["mappers"],
            }
        },
    }
    keep("repository", key="fields", state="absent")
    assert server.setting("lizmapConfig", section, "path") is None
    assert server.setting("lizmapConfig", "services", "rootRepositories") == rest == "/srv/projects"
    assert " fields " not in server.console("acl2:list")


@pytest.mark.usefixtures("people")
def test_only_what_was_made_here_is_removed_when_it_is_no_longer_listed(server: Lizmap, keep: Run, anna: Json) -> None:
    server.console("acl2group:create", "by-hand", "By hand")
    server.console("jcommunity:user:create", "by-hand", "h@example.org", PASSWORD)
    server.publish("private", "by-hand")
    keep("repository", repositories=[{"key": "fields", "view": "everyone"}, {"key": "private"}])
    keep("group", groups=[{"name": "mappers"}, {"name": "by-hand"}], purge=True)
    keep("user", users=[{"login": "by-hand"}], purge=True)
    keep("repository", repositories=[], purge=True)
    keep("group", groups=[], purge=True)
    assert log_in(server, "by-hand", PASSWORD)
    assert not log_in(server, "anna", PASSWORD)
    assert server.setting("lizmapConfig", "repository:private", "path") == "/srv/projects/private/"
    assert listed_rights(server, "by-hand")
    keep("repository", key="private", state="absent")
    keep("user", login="by-hand", state="absent")
    keep("group", name="by-hand", state="absent")


def test_the_last_administrator_stays(server: Lizmap, refused: Callable[..., str]) -> None:
    options: list[Json] = [{"state": "absent"}, {"state": "disabled"}, {"groups": []}]
    for desired in options:
        assert "Nobody could administer Lizmap any more" in refused("user", login="admin", **desired)
    assert log_in(server, "admin", ADMIN_PASSWORD)


def test_what_lizmap_refuses_is_told_in_its_words(server: Lizmap, keep: Run, refused: Callable[..., str]) -> None:
    assert "The path provided doesn't exist or is not a directory" in refused(
        "repository", key="nowhere", view="everyone"
    )
    assert keep("repository", repositories=[], purge=True)["reasons"] == [
        "repository nowhere: was removed by somebody else, now forgotten"
    ]


def test_no_password_is_seen_where_others_look(server: Lizmap, keep: Run, anna: Json, tmp_path: Path) -> None:
    # The processes are looked at while the module works, as often as it can be done.
    watching = server.container.client.api.exec_create(
        server.container.id,
        ["bash", "-c", "while [[ ! -e /tmp/enough ]]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; done"],
        user="www-data",
    )
    seen = server.container.client.api.exec_start(watching["Id"], stream=True)
    keep("user", **anna)
    (tmp_path / "anna").write_text(ODD_PASSWORD)
    keep("user", **anna)
    assert server.run("touch", "/tmp/enough")[0] == 0
    processes = b"".join(seen).decode(errors="replace")
    server.run("rm", "/tmp/enough")
    assert "accounts.php" in processes
    _, kept = server.run("sh", "-c", f"cat {STATE}/*/lizmap/var/log/* {STATE}/*/lizmap/var/config/*")
    for password in (PASSWORD, ODD_PASSWORD):
        assert password not in processes + kept + server.log()
