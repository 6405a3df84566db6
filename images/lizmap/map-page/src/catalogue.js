// QGIS Server's catalogue (/index.json): which projects are published.

const PROJECT_ID = /^[0-9a-f]{32}$/;

/** Four finite numbers that span an area, or null. */
export function extentOrNull(value) {
  if (!Array.isArray(value) || value.length !== 4 || !value.every(Number.isFinite)) {
    return null;
  }
  const [west, south, east, north] = value;
  return west < east && south < north ? [west, south, east, north] : null;
}

/** The WMS names of the layers that the project's author switched off. */
function hiddenLayers(node, parentVisible = true, hidden = []) {
  const visible = parentVisible && node?.visible !== false;
  if (node?.is_layer && !visible && typeof node.typename === "string") {
    hidden.push(node.typename);
  }
  for (const child of Array.isArray(node?.children) ? node.children : []) {
    hiddenLayers(child, visible, hidden);
  }
  return hidden;
}

/** The projects of a catalogue, by title; entries that can't be opened are left out. */
export function parseCatalogue(catalogue) {
  if (!Array.isArray(catalogue?.projects)) {
    throw new TypeError("The catalogue has no list of projects.");
  }
  return catalogue.projects
    .filter((project) => PROJECT_ID.test(project?.id))
    .map((project) => ({
      id: project.id,
      title: project.title || project.wms_root_name || project.id,
      // Longitude and latitude, whatever the project's own projection is.
      extent: extentOrNull(project.initial_extent) ?? extentOrNull(project.geographic_extent),
      hidden: hiddenLayers(project.toc),
    }))
    .sort((a, b) => a.title.localeCompare(b.title));
}
