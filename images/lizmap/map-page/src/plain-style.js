// How vector tiles look as a background: plain and pale, whichever of the usual schemas they follow (Protomaps,
// OpenMapTiles, Shortbread). Pure.

const BY_LAYER = [
  [/^(place|places|place_labels)$/, "place"],
  [/^(boundary|boundaries)$/, "boundary"],
  [/^(building|buildings)$/, "building"],
  [/^(roads|transportation|streets|street_polygons)$/, "road"],
  [/^(water|ocean|waterway|waterways|water_polygons|water_lines|physical_line)$/, "water"],
  [/^(landcover|landuse|land|park|sites)$/, "land"],
];
const GREEN = /wood|forest|grass|park|meadow|orchard|vineyard|farm|scrub|garden|heath|nature/;
const LARGE_ROAD = /motorway|trunk|primary|highway|major/;
const LARGE_PLACE = /country|state|region|city|capital|locality/;

/** What a feature is: its role, and whether it counts among the large ones or, of land, is green; null shows nothing. */
export function describe(layer, properties) {
  const role = BY_LAYER.find(([pattern]) => pattern.test(layer))?.[1] ?? null;
  const kind = String(properties.kind ?? properties.class ?? properties.pmap_kind ?? "");
  if (role === "road") {
    return { role, large: LARGE_ROAD.test(kind) };
  }
  if (role === "land") {
    return GREEN.test(kind) ? { role, large: false } : null;
  }
  if (role === "place") {
    const name = properties.name;
    return typeof name === "string" && name !== "" ? { role, large: LARGE_PLACE.test(kind), name } : null;
  }
  return role && { role, large: false };
}
