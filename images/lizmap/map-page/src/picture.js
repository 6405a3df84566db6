// The picture of the map, of whole blocks. What is on screen stays until the next picture is there.

import { decode } from "ol/Image.js";
import ImageSource from "ol/source/Image.js";

import { coveringPicture } from "./blocks.js";
import { splitLayers } from "./split.js";
import { pictureUrl } from "./wms.js";

// Somebody may have begun to edit a layer.
const LAYERS_AGAIN = 15_000;

export class PictureSource extends ImageSource {
  /** `askLayers` gives what the server tells of the layers, see split.js. */
  constructor(base, projection, askLayers) {
    // One without named parameters would be asked once, for one picture of everything.
    super({ projection, loader: (extent, resolution, ratio) => this.load(extent, resolution, ratio) });
    this.base = base;
    this.names = [];
    this.askLayers = askLayers;
    this.told = null;
    this.asked = -Infinity;
  }

  /** Draw these layers, the first one below. */
  setLayers(names) {
    this.names = names;
    this.refresh();
  }

  refresh() {
    this.image = null;
    super.refresh();
  }

  async load(extent, resolution, ratio) {
    const wanted = coveringPicture(extent, resolution, ratio, this.names.length);
    const parts = splitLayers(this.names, await this.layers());
    const images = await Promise.all(
      parts.map((layers) => {
        const projection = this.getProjection().getCode();
        return decode(new Image(), pictureUrl(this.base, { ...wanted, layers, projection, ratio }));
      }),
    );
    return { image: images.length === 1 ? images[0] : stack(images, wanted), extent: wanted.extent };
  }

  /** What was told last, without waiting for news of it but at first. */
  async layers() {
    if (performance.now() - this.asked > LAYERS_AGAIN) {
      this.asked = performance.now();
      const news = this.askLayers()
        .catch(() => new Map())
        .then((told) => {
          this.told = told;
        });
      if (this.told === null) {
        await news;
      }
    }
    return this.told ?? new Map();
  }
}

/** One picture of several, the first one below. */
function stack(images, { width, height }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  for (const image of images) {
    context.drawImage(image, 0, 0);
  }
  return canvas;
}
