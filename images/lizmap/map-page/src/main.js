// The page: a chooser of projects, a list of layers, a map, and what is at a place.
// Everything that comes from the server enters the document as text, never as HTML.

import Feature from "ol/Feature.js";
import OlMap from "ol/Map.js";
import View from "ol/View.js";
import Control from "ol/control/Control.js";
import ScaleLine from "ol/control/ScaleLine.js";
import Zoom from "ol/control/Zoom.js";
import { buffer, containsCoordinate, getCenter, getHeight, getWidth } from "ol/extent.js";
import GeoJSON from "ol/format/GeoJSON.js";
import WMSCapabilities from "ol/format/WMSCapabilities.js";
import Point from "ol/geom/Point.js";
import { circular } from "ol/geom/Polygon.js";
import { defaults as defaultInteractions } from "ol/interaction/defaults.js";
import ImageLayer from "ol/layer/Image.js";
import VectorLayer from "ol/layer/Vector.js";
import { fromLonLat, toLonLat, transformExtent } from "ol/proj.js";
import VectorSource from "ol/source/Vector.js";
import Circle from "ol/style/Circle.js";
import Fill from "ol/style/Fill.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";
import Text from "ol/style/Text.js";

import { chooseBasemap } from "./basemaps.js";
import { chooseRatio } from "./blocks.js";
import { PROJECTION, groundLayer } from "./ground.js";
import { PictureSource } from "./picture.js";
import { readPlace, writePlace } from "./place.js";
import { describePosition } from "./position.js";
import { ask, askBasemaps, askCatalogue, askPosition, askState } from "./server.js";
import "./style.css";
import { TEXTS, chooseLanguage } from "./texts.js";
import {
  attributions,
  capabilitiesUrl,
  dataUrl,
  drawingOrder,
  featureInfoUrl,
  legendUrl,
  projectUrl,
  readCapabilities,
  readFeatures,
  readLegend,
} from "./wms.js";

// A map stays open for hours; the Pi looks at itself twice in this time.
const STATE_AGAIN = 90_000;
// The Pi knows each second where it is.
const POSITION_AGAIN = 3_000;

const language = chooseLanguage(navigator.languages ?? [navigator.language]);
const texts = TEXTS[language];

const $ = (selector) => document.querySelector(selector);
const wide = matchMedia("(min-width: 60rem)");

/** An element with attributes and children; strings become text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function translate() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) {
    node.textContent = texts[node.dataset.text];
  }
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", texts[node.dataset.label]);
  }
  $("#map").setAttribute("aria-label", `${texts.map}. ${texts.crosshair}`);
}

// --- messages ---------------------------------------------------------------------------------------------------

/** Cover the map with a message; without a retry it is something to wait for. */
function showCard(title, text, retry) {
  const card = $("#card");
  card.querySelector("h2").textContent = title;
  card.querySelector("p").textContent = text;
  const button = card.querySelector("button");
  button.hidden = !retry;
  button.onclick = retry ?? null;
  card.classList.toggle("waiting", !retry);
  card.hidden = false;
}

function hideCard() {
  $("#card").hidden = true;
}

/** A line over the map, with a retry or for a while. */
function showNotice(text, retry) {
  const notice = $("#notice");
  notice.querySelector("span").textContent = text;
  const button = notice.querySelector("button");
  button.hidden = !retry;
  button.onclick = () => {
    hideNotice();
    retry();
  };
  notice.hidden = false;
  clearTimeout(showNotice.timer);
  if (!retry) {
    showNotice.timer = setTimeout(hideNotice, 8_000);
  }
}

function hideNotice() {
  clearTimeout(showNotice.timer);
  $("#notice").hidden = true;
}

/** Lead to the Pi's own page, with a word when something is wrong. Without such a page there is nothing to lead to. */
async function showState() {
  const state = await askState().catch(() => null);
  const link = $("#state");
  link.textContent = texts.states[state] ?? "";
  link.className = state ?? "";
  link.hidden = state === null;
}

// --- the map ----------------------------------------------------------------------------------------------------

const picture = new ImageLayer();
const found = new VectorSource();
const halo = new Stroke({ color: "rgba(255, 255, 255, 0.9)", width: 6 });
const line = new Stroke({ color: "#1f3b57", width: 2.5 });
const highlight = new VectorLayer({
  source: found,
  style: [halo, line].map(
    (stroke) =>
      new Style({ stroke, image: new Circle({ radius: 11, stroke, fill: new Fill({ color: "transparent" }) }) }),
  ),
});

// Green as nothing else of the page, and grey where it was some time ago.
const positions = new VectorSource();
const piLayer = new VectorLayer({
  source: positions,
  style: (feature) => {
    const colour = feature.get("stale") ? "#6b6b6b" : "#1b7a3d";
    const around = new Stroke({ color: colour, width: 2 });
    return new Style({
      stroke: around,
      fill: new Fill({ color: feature.get("stale") ? "rgba(107, 107, 107, 0.15)" : "rgba(27, 122, 61, 0.15)" }),
      image: new Circle({ radius: 7, fill: new Fill({ color: colour }), stroke: new Stroke({ color: "#fff", width: 2 }) }),
      text: new Text({
        text: feature.get("mark"),
        font: "bold 15px sans-serif",
        offsetY: -17,
        fill: new Fill({ color: colour }),
        stroke: new Stroke({ color: "#fff", width: 4 }),
      }),
    });
  },
});

const piButton = element(
  "button",
  { type: "button", title: texts.position.show, "aria-label": texts.position.show, "aria-pressed": "false" },
  texts.position.mark,
);
piButton.addEventListener("click", () => wantPosition(piButton.getAttribute("aria-pressed") === "false"));
const piControl = new Control({ element: element("div", { class: "ol-control position" }, piButton) });

const fitButton = element("button", { type: "button", title: texts.fit, "aria-label": texts.fit }, "⤢");
fitButton.addEventListener("click", () => fit({ duration: 250 }));

const map = new OlMap({
  target: "map",
  layers: [picture, highlight, piLayer],
  pixelRatio: chooseRatio(window.devicePixelRatio),
  controls: [
    new Zoom({ zoomInTipLabel: texts.zoomIn, zoomOutTipLabel: texts.zoomOut }),
    new Control({ element: element("div", { class: "ol-control fit" }, fitButton) }),
    new ScaleLine(),
  ],
  interactions: defaultInteractions({ altShiftDragRotate: false, pinchRotate: false }),
});

let projects = [];
let basemaps = [];
// The base map that shows, of those that there are.
let ground = null;
// What is open: the project of the catalogue, its address, what its capabilities say, which layers are off.
let open = null;
let opening = null;
let asking = null;

function fit(options) {
  map.getView().fit(open.extent, { padding: [12, 12, 12, 12], ...options });
}

function createSource() {
  const source = new PictureSource(open.base, open.projection);
  let failures = 0;
  source.on("imageloadstart", () => {
    $("#progress").hidden = false;
  });
  source.on("imageloadend", () => {
    if (failures > 1) {
      hideNotice();
    }
    failures = 0;
    $("#progress").hidden = true;
    hideCard();
  });
  source.on("imageloaderror", () => {
    failures += 1;
    $("#progress").hidden = true;
    if (failures === 1) {
      // After a restart of the database the first picture may fail.
      setTimeout(() => source.refresh(), 1_500);
    } else {
      hideCard();
      showNotice(texts.pictureFailed, () => source.refresh());
    }
  });
  source.once("imageloadend", () => loadLegends(open));
  return source;
}

/** Draw the layers that are on, and say where they come from. */
function drawLayers() {
  const names = drawingOrder(open.layers, open.hidden);
  picture.setVisible(names.length > 0);
  if (names.length > 0) {
    picture.getSource().setLayers(names);
  } else {
    hideCard();
  }
  const sources = [...(ground?.attribution ? [ground.attribution] : []), ...attributions(open.layers, open.hidden)];
  $("#attribution").textContent = sources.length > 0 ? `${texts.attribution} ${sources.join(", ")}` : "";
}

/** Offer the base maps below a project, and show the one that its address names. Tiles are in one projection alone. */
function openGround(named) {
  const offered = open.projection === PROJECTION ? basemaps : [];
  $("#background").hidden = offered.length === 0;
  showGround(chooseBasemap(offered, named));
}

function showGround(basemap) {
  if (ground) {
    map.getLayers().removeAt(0);
  }
  ground = basemap;
  $("#basemap").value = ground?.name ?? "";
  if (ground) {
    map.getLayers().insertAt(0, groundLayer(ground, () => showNotice(texts.backgroundFailed)));
  }
}

function rememberPlace() {
  if (!open) {
    return;
  }
  const view = map.getView();
  const center = view.getCenter();
  const place = writePlace({
    project: open.project.id,
    center: center && toLonLat(center, open.projection),
    zoom: view.getZoom() ?? 0,
    hidden: [...open.hidden],
    base: $("#background").hidden ? null : (ground?.name ?? ""),
  });
  history.replaceState(null, "", place);
}

// --- layers and legends -----------------------------------------------------------------------------------------

function listLayers() {
  $("#layers").replaceChildren(
    ...open.layers.map((layer, index) => {
      const box = element("input", { type: "checkbox", id: `layer-${index}` });
      box.checked = !open.hidden.has(layer.name);
      box.addEventListener("change", () => {
        if (box.checked) {
          open.hidden.delete(layer.name);
        } else {
          open.hidden.add(layer.name);
        }
        closeResult();
        drawLayers();
        rememberPlace();
        loadLegends(open);
      });
      const label = element("label", { for: box.id }, layer.title);
      if (layer.abstract) {
        label.title = layer.abstract;
      }
      const row = element("div", { class: "layer" }, box, label);
      if (layer.group) {
        row.append(element("span", { class: "group" }, layer.group));
      }
      return element("li", {}, row, element("ul", { class: "legend" }));
    }),
  );
  $("#abstract").textContent = open.abstract;
  $("#data").href = dataUrl(open.base);
}

/** Fetch the legends that show and are not there yet, one after the other: the map comes first. */
async function loadLegends(current) {
  for (const [index, layer] of current.layers.entries()) {
    if (current !== open) {
      return;
    }
    if (current.hidden.has(layer.name) || current.legends.has(layer.name)) {
      continue;
    }
    current.legends.add(layer.name);
    const list = $("#layers").children[index].querySelector(".legend");
    try {
      const legend = readLegend(await (await ask(legendUrl(current.base, layer.name))).json());
      if (current === open) {
        list.replaceChildren(
          ...legend.map(({ icon, title }) => element("li", {}, element("img", { src: icon, alt: "" }), title)),
        );
        list.classList.toggle("single", legend.length === 1 && !legend[0].title);
      }
    } catch {
      current.legends.delete(layer.name);
      list.replaceChildren(element("li", {}, texts.legendFailed));
    }
  }
}

// --- what is there ----------------------------------------------------------------------------------------------

function showResult(...children) {
  $("#features").replaceChildren(...children);
  $("#result").hidden = false;
}

function closeResult() {
  asking?.abort();
  $("#result").hidden = true;
  found.clear();
}

function featureTable({ layer, rows }) {
  const body = element("tbody");
  for (const [name, value] of rows) {
    body.append(element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, String(value))));
  }
  return element("article", {}, element("h3", {}, layer), element("table", {}, body));
}

async function askAt(center) {
  if (!open) {
    return;
  }
  const current = open;
  const layers = drawingOrder(
    current.layers.filter((layer) => layer.queryable),
    current.hidden,
  );
  closeResult();
  if (layers.length === 0) {
    return;
  }
  asking = new AbortController();
  const { signal } = asking;
  showResult(element("p", { class: "waiting" }, "…"));
  try {
    const resolution = map.getView().getResolution();
    const address = featureInfoUrl(current.base, { layers, center, resolution, projection: current.projection });
    const features = readFeatures(await (await ask(address, signal)).json(), current.layers);
    if (signal.aborted) {
      return;
    }
    // The answer goes from the ground up; people point at what lies on top.
    features.reverse();
    const format = new GeoJSON();
    found.addFeatures(
      features
        .filter((feature) => feature.geometry)
        .map((feature) => new Feature(format.readGeometry(feature.geometry))),
    );
    showResult(...(features.length > 0 ? features.map(featureTable) : [element("p", {}, texts.noFeature)]));
  } catch {
    if (!signal.aborted) {
      showResult(element("p", {}, texts.queryFailed));
    }
  }
}

// --- where the Pi is --------------------------------------------------------------------------------------------

/** Offer to show where the Pi is, if it tells. */
async function offerPosition() {
  if (await askPosition().catch(() => null)) {
    map.addControl(piControl);
  }
}

/** Show where the Pi is, or no more: it is asked for no longer than somebody wants to see it. */
function wantPosition(wanted) {
  const { hide, show } = texts.position;
  piButton.setAttribute("aria-pressed", String(wanted));
  piButton.title = wanted ? hide : show;
  clearInterval(wantPosition.timer);
  wantPosition.last = undefined;
  positions.clear();
  $("#position").hidden = true;
  if (wanted) {
    wantPosition.timer = setInterval(() => document.hidden || followPosition(), POSITION_AGAIN);
    followPosition();
  }
}

async function followPosition() {
  const { timer } = wantPosition;
  const position = await askPosition().catch(() => null);
  if (timer === wantPosition.timer && piButton.getAttribute("aria-pressed") === "true") {
    const isFirst = !wantPosition.last?.center;
    wantPosition.last = position;
    showPosition(isFirst);
  }
}

/** Draw the position that was told last, and say what it is. The first one comes into view, if it is on this map. */
function showPosition(isFirst) {
  const position = wantPosition.last;
  if (position === undefined || !open) {
    return;
  }
  const { center, accuracy, stale } = position ?? { center: null };
  positions.clear();
  let isOutside = false;
  if (center) {
    const at = fromLonLat(center, open.projection);
    isOutside = !containsCoordinate(open.extent, at);
    if (accuracy !== null) {
      const around = circular(center, accuracy).transform("EPSG:4326", open.projection);
      positions.addFeature(new Feature({ geometry: around, stale }));
    }
    positions.addFeature(new Feature({ geometry: new Point(at), stale, mark: texts.position.mark }));
    if (isFirst && !isOutside && !containsCoordinate(map.getView().calculateExtent(), at)) {
      map.getView().animate({ center: at, duration: 250 });
    }
  }
  const line = $("#position");
  line.textContent = describePosition(position, texts.position, language, isOutside);
  line.classList.toggle("stale", !center || stale);
  line.hidden = false;
}

// --- projects ---------------------------------------------------------------------------------------------------

async function openProject(project, place) {
  opening?.abort();
  opening = new AbortController();
  const { signal } = opening;
  open = null;
  closeResult();
  hideNotice();
  picture.setSource(null);
  $("#project").value = project.id;
  showCard(project.title, texts.loading);
  const base = projectUrl(project.id);
  let capabilities;
  try {
    const answer = await (await ask(capabilitiesUrl(base), signal)).text();
    capabilities = readCapabilities(new WMSCapabilities().read(answer));
  } catch {
    if (!signal.aborted) {
      showCard(texts.projectFailedTitle, texts.projectFailedText, () => openProject(project, place));
    }
    return;
  }
  if (signal.aborted) {
    return;
  }
  const { projection } = capabilities;
  const degrees = project.extent ?? capabilities.extent ?? [-180, -85, 180, 85];
  const extent = transformExtent(degrees, "EPSG:4326", projection);
  open = {
    ...capabilities,
    project,
    base,
    extent,
    hidden: new Set(place?.hidden ?? project.hidden),
    legends: new Set(),
  };
  $("#title").textContent = projects.length > 1 ? "Poppyfield" : project.title;
  document.title = `${project.title} · Poppyfield`;
  map.setView(
    new View({
      projection,
      // Half an extent further in every direction: nobody gets lost.
      extent: buffer(extent, Math.max(getWidth(extent), getHeight(extent)) / 2),
      constrainOnlyCenter: true,
      // Whole steps, so that pictures are alike.
      constrainResolution: true,
      minZoom: projection === "EPSG:3857" ? 2 : 0,
      maxZoom: 22,
      center: getCenter(extent),
    }),
  );
  // The card stays until the first picture is there: it takes its time on a computer that just started.
  $("#panel").hidden = !wide.matches;
  $("#panel-toggle").hidden = false;
  $("#panel-toggle").setAttribute("aria-expanded", String(wide.matches));
  map.updateSize();
  if (place?.center) {
    map.getView().setCenter(fromLonLat(place.center, projection));
    map.getView().setZoom(place.zoom);
  } else {
    fit();
  }
  listLayers();
  openGround(place?.base ?? null);
  picture.setSource(createSource());
  drawLayers();
  rememberPlace();
  showPosition(false);
}

/** Ask the server what it publishes, and open what the address names, or the first. */
async function start() {
  showCard(texts.map, texts.loading);
  try {
    [projects, basemaps] = await Promise.all([askCatalogue(), askBasemaps()]);
  } catch {
    showCard(texts.serverFailedTitle, texts.serverFailedText, start);
    return;
  }
  if (projects.length === 0) {
    showCard(texts.emptyTitle, texts.emptyText, start);
    return;
  }
  $("#project").replaceChildren(...projects.map(({ id, title }) => element("option", { value: id }, title)));
  $("#chooser").hidden = projects.length < 2;
  $("#basemap").replaceChildren(
    ...basemaps.map(({ name, title }) => element("option", { value: name }, title)),
    element("option", { value: "" }, texts.noBackground),
  );
  followPlace();
}

function followPlace() {
  const place = readPlace(location.hash);
  const named = projects.find(({ id }) => id === place.project);
  openProject(named ?? projects[0], named && place).then(() => {
    if (place.project && !named) {
      showNotice(texts.unknownProject);
    }
  });
}

translate();
map.on("moveend", rememberPlace);
map.on("singleclick", ({ coordinate }) => askAt(coordinate));
$("#map").addEventListener("keydown", ({ key }) => {
  if (key === "Enter") {
    askAt(map.getView().getCenter());
  }
});
document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") {
    closeResult();
  }
});
$("#result-close").addEventListener("click", closeResult);
$("#project").addEventListener("change", ({ target }) => {
  openProject(projects.find(({ id }) => id === target.value));
});
$("#basemap").addEventListener("change", ({ target }) => {
  showGround(chooseBasemap(basemaps, target.value));
  drawLayers();
  rememberPlace();
});
$("#panel-toggle").addEventListener("click", () => {
  const panel = $("#panel");
  panel.hidden = !panel.hidden;
  $("#panel-toggle").setAttribute("aria-expanded", String(!panel.hidden));
  map.updateSize();
});
window.addEventListener("hashchange", () => {
  if (projects.length > 0) {
    followPlace();
  }
});
showState();
setInterval(showState, STATE_AGAIN);
offerPosition();
start();
