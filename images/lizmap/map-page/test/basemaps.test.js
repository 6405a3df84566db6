import assert from "node:assert/strict";
import { test } from "node:test";

import { chooseBasemap, parseBasemaps } from "../src/basemaps.js";

const file = "valley.0123456789abcdef.pmtiles";
const entry = (changes = {}) => ({
  name: "valley",
  file,
  title: "The valley",
  attribution: "© OpenStreetMap contributors",
  tiles: "raster",
  bounds: [-6, 41, 10, 51],
  zooms: [0, 8],
  ...changes,
});
const parse = (...entries) => parseBasemaps({ version: 1, basemaps: entries });

test("a base map is its name, address, words, area and zooms", () => {
  assert.deepEqual(parse(entry()), [
    {
      name: "valley",
      address: `basemaps/${file}`,
      title: "The valley",
      attribution: "© OpenStreetMap contributors",
      isVector: false,
      bounds: [-6, 41, 10, 51],
      zooms: [0, 8],
    },
  ]);
  assert.equal(parse(entry({ tiles: "vector" }))[0].isVector, true);
});

test("without a title it goes by its name, and without an attribution it says nothing", () => {
  const [found] = parse(entry({ title: "", attribution: null }));
  assert.equal(found.title, "valley");
  assert.equal(found.attribution, "");
});

test("an entry that leads elsewhere, or spans nothing, is left out", () => {
  const bad = [
    { file: "../index.html" },
    { file: "https://example.org/a.0123456789abcdef.pmtiles" },
    { file: "valley.pmtiles" },
    { file: null },
    { name: 7 },
    { bounds: [0, 0, 0, 0] },
    { bounds: null },
    { zooms: [3, 2] },
    { zooms: [0, 99] },
    { zooms: [0] },
    { zooms: null },
  ];
  for (const changes of bad) {
    assert.deepEqual(parse(entry(changes)), [], JSON.stringify(changes));
  }
  assert.deepEqual(parseBasemaps({ basemaps: [null, "x", entry()] }).length, 1);
});

test("a Pi without base maps, or one that says something else, has none", () => {
  for (const list of [null, {}, [], { basemaps: null }, { basemaps: "all" }]) {
    assert.deepEqual(parseBasemaps(list), []);
  }
});

test("the address says which shows; else it is the first", () => {
  const both = parse(entry(), entry({ name: "relief" }));
  assert.equal(chooseBasemap(both, null).name, "valley");
  assert.equal(chooseBasemap(both, "relief").name, "relief");
  assert.equal(chooseBasemap(both, "gone").name, "valley");
  assert.equal(chooseBasemap(both, ""), null);
  assert.equal(chooseBasemap([], null), null);
});
