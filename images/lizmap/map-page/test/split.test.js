import assert from "node:assert/strict";
import { test } from "node:test";

import { readLayers, splitLayers } from "../src/split.js";

const area = { edited: false, covers: true, labelled: false };
const names = { edited: false, covers: false, labelled: true };
const notes = { edited: true, covers: false, labelled: true };
const told = (layers) => new Map(Object.entries(layers));
const split = (layers, known = layers) => splitLayers(Object.keys(layers), told(known));

test("without an edited layer a map is one picture", () => {
  assert.deepEqual(split({ land: area, towns: names }), [["land", "towns"]]);
  assert.deepEqual(split({ notes }), [["notes"]]);
  assert.deepEqual(split({}), [[]]);
});

test("what is edited is a picture of its own, with what is above and below in others", () => {
  assert.deepEqual(split({ land: area, towns: names, notes }), [["land", "towns"], ["notes"]]);
  assert.deepEqual(split({ notes: { ...notes, labelled: false }, land: area, towns: names }), [["notes"], ["land", "towns"]]);
  assert.deepEqual(split({ land: area, notes, towns: names }), [["land"], ["notes"], ["towns"]]);
});

test("two edited layers and what lies between are one picture", () => {
  const more = { ...notes };
  assert.deepEqual(split({ land: area, notes, roads: names, more }), [["land"], ["notes", "roads", "more"]]);
});

test("no label comes to lie below an area that it is written above", () => {
  const plots = { edited: true, covers: true, labelled: false };
  assert.deepEqual(split({ towns: names, plots }), [["towns", "plots"]]);
  assert.deepEqual(split({ roof: { ...area, labelled: false }, plots }), [["roof"], ["plots"]]);
  // The labels of the edited layer stay above the area when both are in the upper picture.
  assert.deepEqual(split({ sea: area, notes, roof: area }), [["sea"], ["notes", "roof"]]);
});

test("a layer of which nothing is told keeps the map in one picture", () => {
  assert.deepEqual(split({ land: area, notes, group: names }, { land: area, notes }), [["land", "notes", "group"]]);
});

test("an answer without layers is none, and names are names", () => {
  assert.throws(() => readLayers({}), TypeError);
  assert.throws(() => readLayers(null), TypeError);
  const read = readLayers(JSON.parse('{"layers": {"__proto__": {"edited": true, "covers": false, "labelled": false}}}'));
  assert.deepEqual(splitLayers(["sea", "__proto__"], read), [["sea", "__proto__"]]);
  assert.equal(read.get("__proto__").edited, true);
});
