// The address's fragment: which project, where, which layers are off. So a view can be bookmarked and sent.

/** "#project=…&at=lon,lat,zoom&off=a,b" -> { project, center, zoom, hidden }, null where the fragment is silent. */
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
  };
}

export function writePlace({ project, center, zoom, hidden }) {
  const parameters = new URLSearchParams({ project });
  if (center) {
    parameters.set("at", `${center[0].toFixed(5)},${center[1].toFixed(5)},${zoom.toFixed(2)}`);
  }
  parameters.set("off", hidden.join(","));
  return `#${parameters.toString().replaceAll("%2C", ",")}`;
}
