// How the Raspberry Pi fares, as its own page /status.json tells it. Pure.

// Seconds after which /status says by itself that it is old.
const GOOD_FOR = 300;
const LEVELS = ["fine", "attention", "broken"];

/**
 * What to say of the Pi: "fine", "attention", "broken", or "old" where nobody looked for five minutes; null where it does
 * not tell. `served` is the moment by the Pi's own clock, since a tablet's may be another.
 */
export function readState(health, served) {
  const looked = Date.parse(health?.at);
  if (!LEVELS.includes(health?.level) || !Number.isFinite(looked)) {
    return null;
  }
  const age = (Date.parse(served) - looked) / 1000;
  return age > GOOD_FOR ? "old" : health.level;
}
