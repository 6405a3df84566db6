// Asking the server: the only module that fetches.

import { parseBasemaps } from "./basemaps.js";
import { parseCatalogue } from "./catalogue.js";
import { readPosition } from "./position.js";
import { readState } from "./state.js";

// A small computer that just started takes its time to open a project.
const TIMEOUT = 180_000;
const PAUSE = 1_500;
// A position that comes later is none.
const POSITION_TIMEOUT = 10_000;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The answer to a GET. Asks once more when the server fails: after a restart of the database the first answer may. */
export async function ask(url, signal) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const limit = AbortSignal.timeout(TIMEOUT);
      const response = await fetch(url, { signal: signal ? either(signal, limit) : limit });
      if (!response.ok) {
        throw new Error(`${response.status} ${response.statusText}`.trim());
      }
      return response;
    } catch (error) {
      if (attempt > 1 || signal?.aborted) {
        throw error;
      }
      await pause(PAUSE);
    }
  }
}

/** A signal that fires with the first of two. */
function either(first, second) {
  const controller = new AbortController();
  for (const signal of [first, second]) {
    if (signal.aborted) {
      controller.abort(signal.reason);
    }
    signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}

/** The published projects. */
export async function askCatalogue() {
  return parseCatalogue(await (await ask("index.json")).json());
}

/** The base maps that the Pi has; none where it cannot say so, since a map shows without. */
export async function askBasemaps() {
  try {
    const response = await fetch("basemaps/index.json", { signal: AbortSignal.timeout(TIMEOUT) });
    return response.ok ? parseBasemaps(await response.json()) : [];
  } catch {
    return [];
  }
}

/** What to say of the Pi, see readState; null where it has no page of its own, which answers 404. */
export async function askState() {
  const response = await fetch("status.json", { signal: AbortSignal.timeout(TIMEOUT) });
  return response.ok ? readState(await response.json(), response.headers.get("date")) : null;
}

/** Where the Pi is, see readPosition; null where it does not tell. */
export async function askPosition() {
  const response = await fetch("position", { cache: "no-store", signal: AbortSignal.timeout(POSITION_TIMEOUT) });
  return response.ok ? readPosition(await response.json()) : null;
}
