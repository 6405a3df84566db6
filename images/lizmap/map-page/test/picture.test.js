import assert from "node:assert/strict";
import { test } from "node:test";

import { get as getProjection } from "ol/proj.js";

import { PictureSource } from "../src/picture.js";

const projection = getProjection("EPSG:3857");
const RESOLUTION = 100;
const looked = [0, 0, 1000 * RESOLUTION, 700 * RESOLUTION];

test("the map asks for another picture when it is zoomed or its layers change, and else not", () => {
  const source = new PictureSource("project/abc/", "EPSG:3857", async () => new Map());
  source.setLayers(["land"]);
  const first = source.getImage(looked, RESOLUTION, 1, projection);
  assert.equal(source.getImage(looked, RESOLUTION, 1, projection), first);
  const zoomed = source.getImage(
    looked.map((value) => value / 2),
    RESOLUTION / 2,
    1,
    projection,
  );
  assert.notEqual(zoomed, first);
  source.setLayers(["land", "towns"]);
  const [left, bottom, right, top] = looked;
  const again = source.getImage([left / 2, bottom / 2, right / 2, top / 2], RESOLUTION / 2, 1, projection);
  assert.notEqual(again, zoomed);
});
