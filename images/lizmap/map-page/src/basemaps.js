// The base maps that this Pi has (/basemaps/index.json), and which of them shows. No DOM, no network.

import { extentOrNull } from "./catalogue.js";

const FILE = /^[A-Za-z0-9_-]{1,60}\.[0-9a-f]{16}\.pmtiles$/;
const MOST_ZOOM = 30;

const isZoom = (value) => Number.isInteger(value) && value >= 0 && value <= MOST_ZOOM;

/** The base maps of a list, in its order; entries that can't be shown are left out. Where there is no list, none. */
export function parseBasemaps(list) {
  const entries = Array.isArray(list?.basemaps) ? list.basemaps : [];
  return entries
    .filter((entry) => typeof entry?.name === "string" && FILE.test(entry.file) && entry.zooms?.length === 2)
    .filter(({ bounds, zooms }) => extentOrNull(bounds) && zooms.every(isZoom) && zooms[0] <= zooms[1])
    .map(({ name, file, title, attribution, tiles, bounds, zooms }) => ({
      name,
      // The list's own address has no digest, and this one has: it stands for one content for ever.
      address: `basemaps/${file}`,
      title: String(title || name),
      attribution: String(attribution || ""),
      isVector: tiles === "vector",
      bounds,
      zooms,
    }));
}

/** The base map to show: the one that the address names, none where it names "", else the first. */
export function chooseBasemap(basemaps, named) {
  if (named === "") {
    return null;
  }
  return basemaps.find(({ name }) => name === named) ?? basemaps[0] ?? null;
}
