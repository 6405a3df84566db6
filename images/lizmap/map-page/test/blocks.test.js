import assert from "node:assert/strict";
import { test } from "node:test";

import { chooseRatio, coveringPicture } from "../src/blocks.js";
import { pictureUrl } from "../src/wms.js";

const RESOLUTION = 156543.03392804097 / 2 ** 8;
const view = ([x, y], width, height, resolution = RESOLUTION) => [
  x - (width / 2) * resolution,
  y - (height / 2) * resolution,
  x + (width / 2) * resolution,
  y + (height / 2) * resolution,
];
const contains = (outer, inner) =>
  outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3];

test("a picture has whole blocks, and covers what is looked at", () => {
  for (let step = 0; step < 200; step += 1) {
    const looked = view([250_000 + step * 12_345, 5_800_000 - step * 7_654], 1024, 768);
    const { extent, width, height } = coveringPicture(looked, RESOLUTION, 1);
    assert.ok(contains(extent, looked));
    assert.deepEqual([width % 128, height % 128], [0, 0]);
    assert.ok(width <= 1024 + 2 * 128 && height <= 768 + 2 * 128);
    // The pixels are square, and as large as asked.
    assert.ok(Math.abs((extent[2] - extent[0]) / width / RESOLUTION - 1) < 1e-9);
    assert.ok(Math.abs((extent[3] - extent[1]) / height / RESOLUTION - 1) < 1e-9);
  }
});

test("windows that differ a little ask for the same", () => {
  const middle = [128 * RESOLUTION * 10.5, 128 * RESOLUTION * 20.5];
  const asked = [
    [1024, 760],
    [1000, 700],
    [920, 660],
  ].map(([width, height]) => coveringPicture(view(middle, width, height), RESOLUTION, 1));
  assert.deepEqual(asked[1], asked[0]);
  assert.deepEqual(asked[2], asked[0]);
  const noisy = RESOLUTION * (1 + 1e-15);
  assert.deepEqual(coveringPicture(view(middle, 1000, 700, noisy), noisy, 1), asked[0]);
});

test("what would be larger than the server draws is asked for as it is", () => {
  const looked = view([0, 0], 1920, 1080);
  assert.deepEqual(coveringPicture(looked, RESOLUTION, 2), { extent: looked, width: 3840, height: 2160 });
  assert.deepEqual(coveringPicture(looked, RESOLUTION, 1, 61), { extent: looked, width: 1920, height: 1080 });
});

test("few ratios of pixels are in use", () => {
  assert.deepEqual(
    [undefined, 0, 0.75, 1, 1.04, 1.25, 1.5, 1.75, 2, 2.625, 3].map(chooseRatio),
    [1, 1, 1, 1, 1, 1.5, 1.5, 2, 2, 2, 2],
  );
});

test("a picture is asked for in one form", () => {
  const asked = { layers: ["land", "haies & prés"], projection: "EPSG:3857", extent: [-1.5, 2, 3, 4] };
  const start = "project/abc/?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=land%2Chaies+%26+pr%C3%A9s&STYLES=";
  const middle = "&CRS=EPSG%3A3857&BBOX=-1.5%2C2%2C3%2C4&WIDTH=512&HEIGHT=256&FORMAT=image%2Fpng&TRANSPARENT=TRUE";
  const size = { width: 512, height: 256 };
  assert.equal(pictureUrl("project/abc/", { ...asked, ...size, ratio: 1 }), start + middle);
  assert.equal(pictureUrl("project/abc/", { ...asked, ...size, ratio: 1.5 }), `${start}${middle}&DPI=135`);
});
