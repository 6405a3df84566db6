import assert from "node:assert/strict";
import { test } from "node:test";

import { readState } from "../src/state.js";
import { TEXTS } from "../src/texts.js";

const SERVED = "Mon, 30 Nov 2026 12:05:00 GMT";
const told = (level, at = "2026-11-30T12:04:20+00:00") => ({ version: 1, at, level, wrong: [] });

test("the level is what the Pi tells", () => {
  for (const level of ["fine", "attention", "broken"]) {
    assert.equal(readState(told(level), SERVED), level);
  }
});

test("what nobody looked at for five minutes is old, whatever it tells", () => {
  assert.equal(readState(told("fine", "2026-11-30T12:00:00+00:00"), SERVED), "fine");
  assert.equal(readState(told("fine", "2026-11-30T11:59:59+00:00"), SERVED), "old");
});

test("a server that does not tell its time is believed", () => {
  assert.equal(readState(told("fine", "2026-11-30T11:00:00+00:00"), null), "fine");
});

test("a Pi that tells nothing, or something else, has no state", () => {
  for (const health of [null, {}, [], "fine", told("sunny"), told("fine", ""), told("fine", "soon")]) {
    assert.equal(readState(health, SERVED), null);
  }
});

test("each state has words in each language", () => {
  for (const { states } of Object.values(TEXTS)) {
    assert.deepEqual(Object.keys(states).sort(), ["attention", "broken", "fine", "old"]);
    assert.ok(Object.values(states).every((text) => text.length > 0));
  }
});
