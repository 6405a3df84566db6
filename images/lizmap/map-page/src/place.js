// The address's fragment: which project, where, which layers are off, on which base map. So a view can be bookmarked and sent.

/** "#project=…&at=lon,lat,zoom&off=a,b&base=c" -> { project, center, zoom, hidden, base }, null where it is silent. */
export function readPlace(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const at = (parameters.get("at") ?? "").split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  const sound =
    at.length === 3 && at.every(Number.isFinite) && Math.abs(at[0]) <= 180 && Math.abs(at[1]) <= 90 && at[2] >= 0;
  const off = parameters.get("off");
  return {
    project: parameters.get("project"),
    center: sound ? at.slice(0, 2) : null,
    zoom: sound ? at[2] : null,
    hidden: off === null ? null : off.split(",").filter(Boolean),
    base: parameters.get("base"),
  };
}

/** The fragment of a place; without a `base` it is silent of base maps, with "" there is to be none. */
export function writePlace({ project, center, zoom, hidden, base }) {
  const parameters = new URLSearchParams({ project });
  if (center) {
    parameters.set("at", `${center[0].toFixed(5)},${center[1].toFixed(5)},${zoom.toFixed(2)}`);
  }
  parameters.set("off", hidden.join(","));
  if (typeof base === "string") {
    parameters.set("base", base);
  }
  return `#${parameters.toString().replaceAll("%2C", ",")}`;
}
