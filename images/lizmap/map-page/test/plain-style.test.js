import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../src/plain-style.js";

test("the same things look the same in each schema", () => {
  const same = {
    water: [["water", {}], ["water", { class: "lake" }], ["ocean", {}], ["water_polygons", { kind: "river" }]],
    road: [["roads", { kind: "minor_road" }], ["transportation", { class: "minor" }], ["streets", { kind: "service" }]],
    building: [["buildings", {}], ["building", {}]],
    boundary: [["boundaries", { kind: "country" }], ["boundary", { admin_level: 2 }]],
    land: [["landuse", { kind: "forest" }], ["landcover", { class: "wood" }], ["land", { kind: "orchard" }]],
  };
  for (const [role, features] of Object.entries(same)) {
    for (const feature of features) {
      assert.deepEqual(describe(...feature), { role, large: false });
    }
  }
});

test("large roads and places stand out", () => {
  assert.equal(describe("roads", { kind: "highway" }).large, true);
  assert.equal(describe("transportation", { class: "primary" }).large, true);
  assert.deepEqual(describe("places", { kind: "locality", name: "Digne" }), { role: "place", large: true, name: "Digne" });
  assert.equal(describe("place", { class: "hamlet", name: "Le Bourg" }).large, false);
});

test("what is no background is not drawn", () => {
  for (const feature of [["poi", { name: "Bar" }], ["housenumber", {}], ["landuse", { kind: "industrial" }]]) {
    assert.equal(describe(...feature), null);
  }
  for (const name of [undefined, "", 7]) {
    assert.equal(describe("places", { kind: "city", name }), null);
  }
});
