// Which part of the map a picture shows: whole blocks of a grid that is the same for everybody, so that who looks at the same
// place from another window asks for the same picture. One picture and not one for each block, because QGIS places labels and
// symbols afresh in each picture: they would be cut, or stand twice, where two meet. No DOM, no network.

/** The side of a block in CSS pixels. */
const BLOCK = 128;
/** The server draws no larger pictures for visitors, see map-page-requests.conf; with many layers, smaller ones. */
const LONGEST = 4096;
const SHORTEST = 1999;
const MANY_LAYERS = 60;
/** Pixels of the picture for one of CSS. Three cost a small computer too much. */
const RATIOS = [1, 1.5, 2];

/** The ratio of pixels to ask in: few are in use, so that more is alike; the page scales what lies in between. */
export function chooseRatio(devicePixelRatio) {
  return RATIOS.find((ratio) => ratio >= (devicePixelRatio || 1) - 0.05) ?? RATIOS.at(-1);
}

/** A picture that covers an extent: its own extent, width and height in pixels. Of whole blocks, unless that is too large. */
export function coveringPicture(extent, resolution, ratio, layers = 1) {
  // Without the noise of an animation's last step.
  const side = BLOCK * Number(resolution.toPrecision(12));
  const [left, bottom, right, top] = extent;
  const first = [left, bottom].map((value) => Math.floor(value / side));
  const last = [right, top].map((value) => Math.ceil(value / side));
  const [width, height] = last.map((end, axis) => (end - first[axis]) * BLOCK * ratio);
  if (layers <= MANY_LAYERS && Math.max(width, height) <= LONGEST && Math.min(width, height) <= SHORTEST) {
    return { extent: [...first, ...last].map((number) => number * side), width, height };
  }
  const pixels = (from, to) => Math.max(1, Math.round(((to - from) / resolution) * ratio));
  return { extent, width: pixels(left, right), height: pixels(bottom, top) };
}
