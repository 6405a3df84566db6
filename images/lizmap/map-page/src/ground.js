// The base map as a layer of OpenLayers: pictures or vectors out of a PMTiles file, of which ranges are fetched.

import TileState from "ol/TileState.js";
import MVT from "ol/format/MVT.js";
import TileLayer from "ol/layer/Tile.js";
import VectorTileLayer from "ol/layer/VectorTile.js";
import { transformExtent } from "ol/proj.js";
import ImageTileSource from "ol/source/ImageTile.js";
import VectorTileSource from "ol/source/VectorTile.js";
import Fill from "ol/style/Fill.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";
import Text from "ol/style/Text.js";
import { createXYZ } from "ol/tilegrid.js";
import { PMTiles } from "pmtiles";

import { describe } from "./plain-style.js";

export const PROJECTION = "EPSG:3857";
const PAPER = "#f4f1ea";
const VECTOR_TILE = 512;
/** How many zooms further out than its own a base map shows: each asks for four times as many tiles. */
const FURTHER_OUT = 2;

const line = (color, width) => new Style({ stroke: new Stroke({ color, width }) });
const area = (color) => new Style({ fill: new Fill({ color }) });
const STYLES = {
  water: new Style({ fill: new Fill({ color: "#bcd8e6" }), stroke: new Stroke({ color: "#bcd8e6", width: 1 }) }),
  land: area("#dfe8d0"),
  building: area("#dcd5c9"),
  boundary: line("#a99fb0", 1),
  road: line("#d2cabd", 1),
  "large road": line("#c2b49c", 2),
};

function styleOf(feature) {
  const found = describe(feature.get("layer"), feature.getProperties());
  if (!found) {
    return null;
  }
  if (found.role !== "place") {
    return STYLES[found.large ? `large ${found.role}` : found.role];
  }
  return new Style({
    text: new Text({
      text: found.name,
      font: `${found.large ? 13 : 11}px system-ui, "DejaVu Sans", sans-serif`,
      fill: new Fill({ color: "#5b5560" }),
      stroke: new Stroke({ color: PAPER, width: 3 }),
    }),
    zIndex: found.large ? 1 : 0,
  });
}

/** A picture with nothing on it, for a place of which the file has no tile. */
function nothing() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  return canvas;
}

function pictures(archive, [minZoom, maxZoom]) {
  return new ImageTileSource({
    projection: PROJECTION,
    tileGrid: createXYZ({ minZoom, maxZoom }),
    wrapX: false,
    loader: async (z, x, y, { signal }) => {
      const tile = await archive.getZxy(z, x, y, signal);
      return tile ? createImageBitmap(new Blob([tile.data])) : nothing();
    },
  });
}

function vectors(archive, [minZoom, maxZoom]) {
  const format = new MVT();
  const load = (tile) => {
    const [z, x, y] = tile.getTileCoord();
    tile.setLoader(async (extent, resolution, featureProjection) => {
      try {
        const found = await archive.getZxy(z, x, y);
        tile.setFeatures(found ? format.readFeatures(found.data, { extent, featureProjection }) : []);
      } catch {
        tile.setState(TileState.ERROR);
      }
    });
  };
  return new VectorTileSource({
    projection: PROJECTION,
    tileGrid: createXYZ({ minZoom, maxZoom, tileSize: VECTOR_TILE }),
    wrapX: false,
    format,
    // Never asked for: what is loaded follows from the tile.
    url: "{z}/{x}/{y}",
    tileLoadFunction: load,
  });
}

/** A layer that shows a base map; `failed` is called when a part of it can't be fetched. */
export function groundLayer({ address, isVector, bounds, zooms }, failed) {
  const archive = new PMTiles(new URL(address, document.baseURI).href);
  const source = isVector ? vectors(archive, zooms) : pictures(archive, zooms);
  source.once("tileloaderror", failed);
  const options = {
    source,
    extent: transformExtent(bounds.map(withinMercator), "EPSG:4326", PROJECTION),
    minZoom: zooms[0] > FURTHER_OUT ? zooms[0] - FURTHER_OUT : undefined,
  };
  return isVector
    ? new VectorTileLayer({ ...options, style: styleOf, background: PAPER, declutter: true })
    : new TileLayer(options);
}

/** Latitudes only reach so far in the projection of tiles. */
const withinMercator = (degrees, index) => (index % 2 ? Math.max(-85.0511, Math.min(85.0511, degrees)) : degrees);
