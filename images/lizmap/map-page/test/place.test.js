import assert from "node:assert/strict";
import { test } from "node:test";

import { readPlace, writePlace } from "../src/place.js";
import { TEXTS, chooseLanguage } from "../src/texts.js";

test("a place survives the way through the address", () => {
  const hash = writePlace({ project: "abc", center: [2.5, 46.6], zoom: 8.5, hidden: ["towns", "haies & co"] });
  assert.deepEqual(readPlace(hash), {
    project: "abc",
    center: [2.5, 46.6],
    zoom: 8.5,
    hidden: ["towns", "haies & co"],
    base: null,
  });
});

test("the base map is in the address, and so is that there is to be none", () => {
  for (const base of ["valley", ""]) {
    assert.equal(readPlace(writePlace({ project: "abc", hidden: [], base })).base, base);
  }
  assert.doesNotMatch(writePlace({ project: "abc", hidden: [], base: null }), /base/);
});

test("an empty fragment says nothing; no layer off is something", () => {
  assert.deepEqual(readPlace(""), { project: null, center: null, zoom: null, hidden: null, base: null });
  assert.deepEqual(readPlace("#project=a&off=").hidden, []);
});

test("a place that is none is ignored", () => {
  for (const at of ["x,1,2", "1,2", "1,2,3,4", ",,", "200,0,3", "0,91,3", "0,0,-1", "Infinity,0,1"]) {
    assert.equal(readPlace(`#project=a&at=${at}`).center, null, at);
  }
});

test("the first language that the page speaks, else English", () => {
  assert.equal(chooseLanguage(["de-DE", "fr-FR", "en"]), "fr");
  assert.equal(chooseLanguage(["de"]), "en");
  assert.equal(chooseLanguage(["constructor"]), "en");
});

test("both languages say the same things", () => {
  assert.deepEqual(Object.keys(TEXTS.fr), Object.keys(TEXTS.en));
});
