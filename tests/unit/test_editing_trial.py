"""editing_trial with the answers of PostgreSQL and Docker given; tests/lizmap has it ask PostgreSQL itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError, Result
from ansible.module_utils.poppyfield.lizmap import write_trial
from ansible.module_utils.poppyfield.lizmap.write_trial import EditedLayer, Table

Json = dict[str, Any]
Run = Callable[..., Json]
LAYER = {"map": "fields/meadow", "layer": "Trees", "layer_id": "trees_1", "schema": "public", "table": "trees"}
COLUMN: Json = {
    **{"name": "id", "type": "integer", "base": "integer", "category": "N", "not_null": True, "identity": True},
    **{"generated": False, "default": "", "calls": False, "closed_sequences": [], "rules": []},
}
CATALOG: Json = {
    **{"role": "gis", "kind": "r", "policies": False, "primary_key": True, "filled_in": False, "columns": [COLUMN]},
    **{"checks": [], "foreign_keys": []},
}
DONE: Json = {"rows": {}, "written": 1}
ANSWERS: Json = {"copy": DONE, "allowed": {"rows": {"0": {"0": "Insert on trees"}}, "written": 0}, "row": DONE}


class Lizmap:
    """The container: it answers with the catalogs first, then with what the trial found."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Json] = [{"0": {"table": row(CATALOG)}}, {"0": ANSWERS}]
        self.asked: list[Json] = []
        self.said = ""
        monkeypatch.setattr(Engine, "connect", lambda: Engine(None, None, self.execute))

    def execute(self, argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        assert list(argv[:5]) == ["docker", "exec", "-i", "--user", "www-data"]
        self.asked += json.loads(b"".join(chunks))
        return Result(1, "", self.said) if self.said else Result(0, json.dumps(self.answers.pop(0)), "")


def row(told: Json) -> Json:
    return {"rows": {"0": {"0": json.dumps(told)}}, "written": 1}


@pytest.fixture
def lizmap(monkeypatch: pytest.MonkeyPatch) -> Lizmap:
    return Lizmap(monkeypatch)


def test_a_layer_that_people_can_add_features_to(lizmap: Lizmap, run_module: Run) -> None:
    result = run_module("editing_trial", layers=[LAYER], required=True)
    assert not result["changed"] and not result.get("failed")
    (trial,) = result["trials"]
    assert (trial["map"], trial["layer_id"], trial["problem"], trial["untried"]) == ("fields/meadow", "trees_1", "", "")
    assert [sorted(asked) for asked in lizmap.asked] == [["asked", "prepared"]] * 2


@pytest.mark.parametrize("required", [False, True])
def test_a_layer_that_nobody_can_add_features_to(
    lizmap: Lizmap, run_module: Run, capsys: pytest.CaptureFixture[str], required: bool
) -> None:
    lizmap.answers[0] = {"0": {"table": row({**CATALOG, "primary_key": False})}}
    result = run_module("editing_trial", layers=[LAYER], required=required)
    said = "fields/meadow, layer 'Trees': nobody can add a feature, for it has no key that Lizmap can use."
    assert bool(result.get("failed")) is required
    assert said in (result["msg"] if required else " ".join(capsys.readouterr().err.split()))


@pytest.mark.parametrize(
    ("before", "failed"),
    [
        ({"problem": "", "untried": ""}, True),
        ({"problem": "it has no key.", "untried": ""}, False),
        # Whether people could is not known.
        ({"problem": "", "untried": "There was no container."}, False),
        ({"problem": "", "untried": "", "layer_id": "other"}, False),
        ({"problem": "", "untried": "", "map": "fields/other"}, False),
    ],
)
def test_what_a_release_has_broken_is_a_failure(lizmap: Lizmap, run_module: Run, before: Json, failed: bool) -> None:
    lizmap.answers[0] = {"0": {"table": row({**CATALOG, "primary_key": False})}}
    result = run_module("editing_trial", layers=[LAYER], before=[{**LAYER, **before}])
    assert bool(result.get("failed")) is failed
    assert not failed or "Before this release people could." in result["msg"]


def test_a_database_that_cannot_be_asked_is_no_failure(lizmap: Lizmap, run_module: Run) -> None:
    lizmap.said = "could not translate host name"
    result = run_module("editing_trial", layers=[LAYER], required=True)
    assert not result.get("failed")
    assert result["trials"][0]["untried"] == (
        "Lizmap's container does not reach the database: could not translate host name"
    )


def test_a_pi_without_docker_is_no_failure(run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect() -> None:
        raise EngineMissingError("There is no Docker.")

    monkeypatch.setattr(Engine, "connect", connect)
    assert run_module("editing_trial", layers=[LAYER])["trials"][0]["untried"] == "There is no Docker."


def table(**told: Any) -> Table:
    return Table(EditedLayer("a/b", "c", "d", "public", "trees"), {**CATALOG, **told})


REFUSAL = {"state": "23514", "message": "it violates", "detail": "Failing row contains (secret)."}


@pytest.mark.parametrize(
    ("answers", "problem", "untried"),
    [
        ({}, "", ""),
        ({"row": REFUSAL}, "PostgreSQL says: it violates. If there is a value", ""),
        ({"row": {**REFUSAL, "state": "57014"}}, "", "PostgreSQL took too long"),
        ({"row": {**REFUSAL, "state": "55P03"}}, "", "somebody else has locked its table"),
        ({"row": {**REFUSAL, "state": "25006"}}, "", "writes elsewhere (PostgreSQL says: it violates)"),
        ({"row": {**REFUSAL, "state": "42501"}}, "", "PostgreSQL says: it violates"),
        # What a guess makes is no fault of the layer: 1000 for a numeric(4,1) that is to be less.
        ({"row": {**REFUSAL, "state": "22003"}}, "", "PostgreSQL says: it violates"),
        ({"row": {**REFUSAL, "state": "42883"}}, "", "PostgreSQL says: it violates"),
        ({"row": {**DONE, "written": 0}}, "", "no value of one of its columns is known"),
        ({"copy": {**REFUSAL, "state": "42501"}}, "", "PostgreSQL says: it violates"),
        (
            {"allowed": {**REFUSAL, "state": "42501", "message": "permission denied for schema public"}},
            'permission denied for schema public. As its owner: GRANT USAGE ON SCHEMA public TO "gis";',
            "",
        ),
        (
            {"allowed": {**REFUSAL, "state": "42501", "message": "permission denied for table trees"}},
            'As its owner: GRANT INSERT ON "public"."trees" TO "gis";',
            "",
        ),
        ({"allowed": {**REFUSAL, "state": "55P03"}}, "", "somebody else has locked its table"),
    ],
)
def test_what_postgresql_says_is_quoted_and_no_row(answers: Json, problem: str, untried: str) -> None:
    found = write_trial.judge(table(), {**ANSWERS, **answers})
    assert problem in found.problem and bool(problem) is bool(found.problem)
    assert untried in found.untried and bool(untried) is bool(found.untried)
    assert "secret" not in str(found)


@pytest.mark.parametrize("kind", ["r", "v"])
def test_functions_of_a_table_find_others_as_they_do_for_lizmap(kind: str) -> None:
    layer = EditedLayer("a/b", "c", "d", 'o"ak', "trees")
    asked = write_trial.trial(Table(layer, {**CATALOG, "kind": kind}))
    assert [sql for sql in asked["prepared"].values() if "search_path" in sql][-1] == (
        'SET LOCAL search_path TO "o""ak", public'
    )


def test_what_postgresql_says_gives_no_orders() -> None:
    refusal = {"state": "23514", "message": "no\x1b[2J way", "detail": ""}
    found = write_trial.judge(table(), {**ANSWERS, "row": refusal})
    assert found.problem.isprintable()
    trial = {"map": "a/b", "layer": "trees\x1b[2J", "problem": found.problem}
    assert write_trial.sentence(trial).isprintable()


def test_a_catalog_that_cannot_be_read() -> None:
    layer = EditedLayer("a/b", "c", "d", "public", "trees")
    found = write_trial.read_table(layer, {"table": REFUSAL})
    assert isinstance(found, write_trial.RowVerdict) and found.untried == "PostgreSQL says: it violates"
