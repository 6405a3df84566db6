import assert from "node:assert/strict";
import { test } from "node:test";

import { parseCatalogue } from "../src/catalogue.js";

const id = "d995c9807fa3d2439143a3643376625e";
const other = "0123456789abcdef0123456789abcdef";

test("a project is its id, title, extent and the layers that are off", () => {
  const layer = (typename, visible) => ({ is_layer: true, typename, visible, children: [] });
  const catalogue = {
    projects: [
      {
        id,
        title: "France",
        initial_extent: [-6, 41, 10, 51],
        toc: {
          is_layer: false,
          visible: true,
          children: [
            layer("towns", true),
            layer("roads", false),
            { is_layer: false, visible: false, children: [layer("rivers", true)] },
          ],
        },
      },
    ],
  };
  assert.deepEqual(parseCatalogue(catalogue), [
    { id, title: "France", extent: [-6, 41, 10, 51], hidden: ["roads", "rivers"] },
  ]);
});

test("projects are sorted by title, which may come from elsewhere", () => {
  const titles = parseCatalogue({
    projects: [{ id, title: "Vergers" }, { id: other, title: "", wms_root_name: "essais" }],
  }).map(({ title }) => title);
  assert.deepEqual(titles, ["essais", "Vergers"]);
});

test("an extent that spans nothing or is not a number is none", () => {
  const extents = [[null, null, null, null], [0, 0, 0, 0], [1, 2, 3], undefined];
  for (const extent of extents) {
    const [project] = parseCatalogue({ projects: [{ id, initial_extent: extent }] });
    assert.equal(project.extent, null);
  }
  const entry = { id, initial_extent: [0, 0, 0, 0], geographic_extent: [0, 1, 2, 3] };
  const [project] = parseCatalogue({ projects: [entry] });
  assert.deepEqual(project.extent, [0, 1, 2, 3]);
});

test("an entry without a sound id is left out", () => {
  assert.deepEqual(parseCatalogue({ projects: [{ id: "../secret", title: "x" }, { title: "y" }, null] }), []);
});

test("nothing published is an empty list; another document is an error", () => {
  assert.deepEqual(parseCatalogue({ projects: [] }), []);
  assert.throws(() => parseCatalogue({ error: "x" }), TypeError);
  assert.throws(() => parseCatalogue(null), TypeError);
});
