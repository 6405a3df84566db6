// Which pictures a map is put together of: one, or one more for the layers that are being edited, so that a saved observation does
// not have all the rest drawn again. No DOM, no network.

const NAME = 512;

/** What the server's layers.json says, by the layers' names: whether each is being edited, covers what is below, has labels. */
export function readLayers(answer) {
  const layers = answer?.layers;
  if (typeof layers !== "object" || layers === null) {
    throw new TypeError("The server's answer has no layers.");
  }
  return new Map(
    Object.entries(layers)
      .filter(([name]) => name.length <= NAME)
      .map(([name, { edited, covers, labelled }]) => [name, { edited, covers, labelled }]),
  );
}

/**
 * The layers of each picture, the first one below, of layers in drawing order. There are two pictures or three only where the
 * map looks as it does in one: QGIS writes a picture's labels above all that is in it, so none may come to lie below an area.
 */
export function splitLayers(names, told) {
  const edited = names.map((name) => told.get(name)?.edited === true);
  if (!edited.includes(true) || names.some((name) => !told.has(name))) {
    return [names];
  }
  const [first, last] = [edited.indexOf(true), edited.lastIndexOf(true) + 1];
  const ways = [
    [names.slice(0, first), names.slice(first, last), names.slice(last)],
    [names.slice(0, first), names.slice(first)],
  ];
  const pictures = ways.map((way) => way.filter((part) => part.length > 0));
  return pictures.find((way) => way.length > 1 && looksTheSame(way, told)) ?? [names];
}

function looksTheSame(pictures, told) {
  return pictures.every((part, index) => {
    const isCovered = pictures.slice(index + 1).some((above) => above.some((name) => told.get(name).covers));
    return !isCovered || !part.some((name) => told.get(name).labelled);
  });
}
