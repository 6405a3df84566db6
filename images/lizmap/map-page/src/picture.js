// The picture of the map, of whole blocks. What is on screen stays until the next picture is there.

import { decode } from "ol/Image.js";
import ImageSource from "ol/source/Image.js";

import { coveringPicture } from "./blocks.js";
import { pictureUrl } from "./wms.js";

export class PictureSource extends ImageSource {
  constructor(base, projection) {
    // One without named parameters would be asked once, for one picture of everything.
    super({ projection, loader: (extent, resolution, ratio) => this.load(extent, resolution, ratio) });
    this.base = base;
    this.names = [];
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
    const address = pictureUrl(this.base, {
      ...wanted,
      layers: this.names,
      projection: this.getProjection().getCode(),
      ratio,
    });
    return { image: await decode(new Image(), address), extent: wanted.extent };
  }
}
