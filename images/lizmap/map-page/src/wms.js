// WMS 1.3.0 as QGIS Server speaks it: addresses, and what capabilities and features say. No DOM, no network.

import { extentOrNull } from "./catalogue.js";

// A click is a request for the middle of a small picture around it.
const INFO_SIZE = 101;
const INFO_MIDDLE = (INFO_SIZE - 1) / 2;

/** Where a project of the catalogue answers, relative to the page. */
export function projectUrl(projectId) {
  return `project/${encodeURIComponent(projectId)}/`;
}

/** Where its data are: the landing page of its OGC API Features. */
export function dataUrl(base) {
  return `${base}wfs3/`;
}

function url(base, parameters) {
  return `${base}?${new URLSearchParams({ SERVICE: "WMS", VERSION: "1.3.0", ...parameters })}`;
}

export function capabilitiesUrl(base) {
  return url(base, { REQUEST: "GetCapabilities" });
}

/** A picture, in the form that the server keeps pictures of: see nginx/map-page-pictures.conf. */
export function pictureUrl(base, { layers, projection, extent, width, height, ratio }) {
  return url(base, {
    REQUEST: "GetMap",
    LAYERS: layers.join(","),
    STYLES: "",
    CRS: projection,
    BBOX: bbox(extent, projection),
    WIDTH: width,
    HEIGHT: height,
    FORMAT: "image/png",
    TRANSPARENT: "TRUE",
    // Symbols and labels are as large on every screen.
    ...(ratio === 1 ? {} : { DPI: 90 * ratio }),
  });
}

export function legendUrl(base, layer) {
  return url(base, { REQUEST: "GetLegendGraphic", LAYER: layer, FORMAT: "application/json" });
}

/** BBOX in the order of the projection's axes: WMS 1.3.0 wants latitude first in EPSG:4326. */
export function bbox([minX, minY, maxX, maxY], projection) {
  return (projection === "EPSG:4326" ? [minY, minX, maxY, maxX] : [minX, minY, maxX, maxY]).join(",");
}

export function featureInfoUrl(base, { layers, center, resolution, projection }) {
  const half = (resolution * INFO_SIZE) / 2;
  const [x, y] = center;
  return url(base, {
    REQUEST: "GetFeatureInfo",
    LAYERS: layers.join(","),
    QUERY_LAYERS: layers.join(","),
    STYLES: "",
    CRS: projection,
    BBOX: bbox([x - half, y - half, x + half, y + half], projection),
    WIDTH: INFO_SIZE,
    HEIGHT: INFO_SIZE,
    I: INFO_MIDDLE,
    J: INFO_MIDDLE,
    FORMAT: "image/png",
    INFO_FORMAT: "application/json",
    FEATURE_COUNT: 10,
    WITH_GEOMETRY: "TRUE",
    // Pixels around the click: a finger is not a needle.
    FI_POINT_TOLERANCE: 16,
    FI_LINE_TOLERANCE: 8,
    FI_POLYGON_TOLERANCE: 1,
  });
}

/** The projection to ask pictures in. */
export function chooseProjection(offered) {
  return !offered.includes("EPSG:3857") && offered.includes("EPSG:4326") ? "EPSG:4326" : "EPSG:3857";
}

function leaves(layer, groups = []) {
  if (layer.Layer?.length) {
    const path = layer.Title ? [...groups, layer.Title] : groups;
    return layer.Layer.flatMap((child) => leaves(child, path));
  }
  if (!layer.Name) {
    return [];
  }
  return [
    {
      name: layer.Name,
      title: layer.Title || layer.Name,
      abstract: layer.Abstract || "",
      queryable: Boolean(layer.queryable),
      group: groups.slice(1).join(" / "),
      attribution: layer.Attribution?.Title || "",
    },
  ];
}

/** What the page needs of the capabilities that ol/format/WMSCapabilities read. Layers: the topmost first. */
export function readCapabilities(capabilities) {
  const root = capabilities?.Capability?.Layer;
  if (!root) {
    throw new TypeError("The server's answer has no layers.");
  }
  return {
    title: capabilities.Service?.Title || root.Title || "",
    abstract: capabilities.Service?.Abstract || "",
    projection: chooseProjection(root.CRS ?? []),
    extent: extentOrNull(root.EX_GeographicBoundingBox),
    layers: root.Layer?.length ? leaves(root) : leaves({ ...root, Layer: undefined }),
  };
}

/** The names to ask a picture of: WMS draws the first one first, so the topmost comes last. */
export function drawingOrder(layers, hidden) {
  return layers
    .map((layer) => layer.name)
    .filter((name) => !hidden.has(name))
    .reverse();
}

/** The distinct sources of the layers that show. */
export function attributions(layers, hidden) {
  const shown = layers.filter((layer) => !hidden.has(layer.name) && layer.attribution);
  return [...new Set(shown.flatMap((layer) => layer.attribution.split(", ")))];
}

/** The entries of a JSON legend: a picture and its words. A layer with one symbol has one entry without words. */
export function readLegend(legend) {
  const entries = [];
  const visit = (node, words) => {
    if (typeof node.icon === "string" && /^[A-Za-z0-9+/=]+$/.test(node.icon)) {
      entries.push({ icon: `data:image/png;base64,${node.icon}`, title: words });
    }
    for (const symbol of node.symbols ?? []) {
      visit(symbol, String(symbol.title ?? ""));
    }
    for (const child of node.nodes ?? []) {
      visit(child, "");
    }
  };
  visit(legend ?? {}, "");
  return entries;
}

/** The features of a GetFeatureInfo answer, for a table: layer, rows of name and value, geometry. */
export function readFeatures(answer, layers) {
  const titles = new Map(layers.map((layer) => [layer.name, layer.title]));
  return (answer?.features ?? []).map((feature) => {
    const name = String(feature.id ?? "").replace(/\.[^.]*$/, "");
    return {
      layer: titles.get(name) ?? name,
      rows: Object.entries(feature.properties ?? {})
        .filter(([, value]) => value !== null && value !== "" && typeof value !== "object")
        .map(([key, value]) => [key, value]),
      geometry: feature.geometry ?? null,
    };
  });
}
