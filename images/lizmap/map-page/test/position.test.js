import assert from "node:assert/strict";
import { test } from "node:test";

import { describePosition, readPosition } from "../src/position.js";
import { TEXTS } from "../src/texts.js";

const FIX = {
  version: 1,
  pi: "pi-orchard",
  state: "fix",
  said: {},
  latitude: 45.5,
  longitude: 4.5,
  accuracy_m: 4.26,
  time: "2026-12-01T04:22:52+00:00",
  age_s: 0.4,
  stale: false,
  date_refused: null,
};
const NOTHING = { latitude: null, longitude: null, accuracy_m: null, time: null, age_s: null };
const said = (changes, isOutside = false, language = "en") =>
  describePosition(readPosition({ ...FIX, ...changes }), TEXTS[language].position, language, isOutside);

test("a position is read as longitude and latitude", () => {
  assert.deepEqual(readPosition(FIX), {
    state: "fix",
    center: [4.5, 45.5],
    accuracy: 4.26,
    age: 0.4,
    stale: false,
    dateRefused: false,
  });
});

test("what is no position is none", () => {
  for (const changes of [NOTHING, { latitude: 91 }, { longitude: "4.5" }, { latitude: NaN }, { age_s: null }]) {
    const read = readPosition({ ...FIX, ...changes });
    assert.equal(read.center, null);
    assert.equal(read.stale, false);
  }
  for (const told of [null, {}, [], "fix", { state: "off" }, { state: "sunny" }]) {
    assert.equal(readPosition(told), null);
  }
});

test("an accuracy that nobody knows is not drawn", () => {
  for (const accuracy_m of [null, 0, -3, "4", Infinity]) {
    assert.equal(readPosition({ ...FIX, accuracy_m }).accuracy, null);
  }
  assert.match(said({ accuracy_m: null }), /accuracy/);
});

test("it is always said to be the Pi's and not the tablet's", () => {
  assert.equal(said({}), "The Pi is here, not this device (± 4.3 m).");
  assert.match(said({ accuracy_m: 22.8 }, false, "fr"), /^Le Pi est ici, et non cet appareil \(± 23 m\)\.$/);
});

test("an old position says how old it is and why there is no newer one", () => {
  const old = said({ state: "no receiver", age_s: 310, stale: true });
  assert.match(old, /No GPS receiver answers/);
  assert.match(old, /The Pi was here, not this device, 5 minutes ago \(± 4\.3 m\)\.$/);
  assert.match(said({ state: "no fix", age_s: 11, stale: true }), /no fix.*11 seconds ago/);
  assert.match(said({ state: "no fix", age_s: 7300, stale: true }, false, "fr"), /il y a 2\sheures/);
});

test("without a receiver, without a fix and without an answer something else is said", () => {
  for (const language of Object.keys(TEXTS)) {
    const texts = [
      said({ ...NOTHING, state: "no receiver" }, false, language),
      said({ ...NOTHING, state: "no fix" }, false, language),
      describePosition(null, TEXTS[language].position, language, false),
      said({}, false, language),
    ];
    assert.equal(new Set(texts).size, 4);
  }
});

test("a position outside of the map and a date that is not believed are told", () => {
  assert.match(said({}, true), /outside/);
  assert.match(said({ date_refused: "2007-04-17T04:22:52+00:00" }), /date/);
  assert.doesNotMatch(said({}), /outside|date/);
});

test("each language has the same words", () => {
  assert.deepEqual(Object.keys(TEXTS.fr.position).sort(), Object.keys(TEXTS.en.position).sort());
  assert.deepEqual(Object.keys(TEXTS.fr.position.states), Object.keys(TEXTS.en.position.states));
});
