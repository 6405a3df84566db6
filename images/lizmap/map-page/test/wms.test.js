import assert from "node:assert/strict";
import { test } from "node:test";

import {
  attributions,
  bbox,
  capabilitiesUrl,
  chooseProjection,
  dataUrl,
  drawingOrder,
  featureInfoUrl,
  legendUrl,
  projectUrl,
  readCapabilities,
  readFeatures,
  readLegend,
} from "../src/wms.js";

const base = "project/abc/";
const parameters = (address) => Object.fromEntries(new URL(address, "http://pi/").searchParams);

test("addresses are relative to the page", () => {
  assert.equal(projectUrl("abc"), base);
  assert.equal(capabilitiesUrl(base), "project/abc/?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities");
  assert.equal(dataUrl(base), "project/abc/wfs3/");
});

test("a layer's name is escaped", () => {
  const address = legendUrl(base, "parcelles & haies?#");
  assert.equal(parameters(address).LAYER, "parcelles & haies?#");
  assert.ok(!address.includes("#"));
});

test("a click asks for the middle of a square around it", () => {
  const asked = parameters(
    featureInfoUrl(base, { layers: ["land", "towns"], center: [1000, 2000], resolution: 2, projection: "EPSG:3857" }),
  );
  assert.equal(asked.BBOX, "899,1899,1101,2101");
  assert.equal(asked.QUERY_LAYERS, "land,towns");
  assert.equal(asked.LAYERS, "land,towns");
  assert.deepEqual([asked.WIDTH, asked.HEIGHT, asked.I, asked.J], ["101", "101", "50", "50"]);
  assert.equal(asked.INFO_FORMAT, "application/json");
});

test("EPSG:4326 has latitude first", () => {
  assert.equal(bbox([-5, 41, 9, 51], "EPSG:4326"), "41,-5,51,9");
  assert.equal(bbox([-5, 41, 9, 51], "EPSG:3857"), "-5,41,9,51");
});

test("pictures are asked in web Mercator unless only degrees are offered", () => {
  assert.equal(chooseProjection(["CRS:84", "EPSG:4326", "EPSG:3857"]), "EPSG:3857");
  assert.equal(chooseProjection(["CRS:84", "EPSG:4326"]), "EPSG:4326");
  assert.equal(chooseProjection(["EPSG:2154"]), "EPSG:3857");
});

const capabilities = {
  Service: { Title: "France", Abstract: "Une carte." },
  Capability: {
    Layer: {
      Name: "france",
      Title: "France",
      CRS: ["EPSG:4326", "EPSG:3857"],
      EX_GeographicBoundingBox: [-6, 41, 10, 51],
      Layer: [
        { Name: "towns", Title: "Villes", queryable: true, Attribution: { Title: "Insee, GeoNames" } },
        {
          Name: "ground",
          Title: "Fond",
          Layer: [{ Name: "departments", queryable: true, Attribution: { Title: "Insee" } }, { Title: "unnamed" }],
        },
      ],
    },
  },
};

test("capabilities: the leaves of the tree, the topmost first, with their group", () => {
  const read = readCapabilities(capabilities);
  assert.equal(read.title, "France");
  assert.equal(read.abstract, "Une carte.");
  assert.equal(read.projection, "EPSG:3857");
  assert.deepEqual(read.extent, [-6, 41, 10, 51]);
  assert.deepEqual(
    read.layers.map(({ name, title, group, queryable }) => [name, title, group, queryable]),
    [
      ["towns", "Villes", "", true],
      ["departments", "departments", "Fond", true],
    ],
  );
});

test("capabilities without layers are an error, as QGIS Server's exceptions are", () => {
  assert.throws(() => readCapabilities({}), TypeError);
  assert.throws(() => readCapabilities(null), TypeError);
});

test("the topmost layer is drawn last, a hidden one not at all", () => {
  const { layers } = readCapabilities(capabilities);
  assert.deepEqual(drawingOrder(layers, new Set()), ["departments", "towns"]);
  assert.deepEqual(drawingOrder(layers, new Set(["towns"])), ["departments"]);
});

test("each source of what shows is named once", () => {
  const { layers } = readCapabilities(capabilities);
  assert.deepEqual(attributions(layers, new Set()), ["Insee", "GeoNames"]);
  assert.deepEqual(attributions(layers, new Set(["towns"])), ["Insee"]);
});

test("a legend: one symbol, or several with words", () => {
  const icon = "iVBORw0KGgo=";
  const data = `data:image/png;base64,${icon}`;
  assert.deepEqual(readLegend({ nodes: [{ icon, title: "Mer", type: "layer" }], title: "" }), [
    { icon: data, title: "" },
  ]);
  assert.deepEqual(readLegend({ nodes: [{ symbols: [{ icon, title: "a" }, { icon, title: "b" }], title: "x" }] }), [
    { icon: data, title: "a" },
    { icon: data, title: "b" },
  ]);
});

test("a legend's icon that is not base64 is left out", () => {
  assert.deepEqual(readLegend({ nodes: [{ icon: '" onerror="x', title: "Mer" }] }), []);
  assert.deepEqual(readLegend(null), []);
});

test("features: the layer's title, and the values that there are", () => {
  const layers = [{ name: "my.towns", title: "Villes" }];
  const answer = {
    type: "FeatureCollection",
    features: [
      {
        id: "my.towns.12",
        geometry: { type: "Point", coordinates: [1, 2] },
        properties: { Nom: "<b>", Vide: null, N: 0 },
      },
      { id: "other.1", geometry: null, properties: { ouvert: false, rien: "" } },
    ],
  };
  assert.deepEqual(readFeatures(answer, layers), [
    {
      layer: "Villes",
      rows: [
        ["Nom", "<b>"],
        ["N", 0],
      ],
      geometry: { type: "Point", coordinates: [1, 2] },
    },
    { layer: "other", rows: [["ouvert", false]], geometry: null },
  ]);
  assert.deepEqual(readFeatures({}, layers), []);
});
