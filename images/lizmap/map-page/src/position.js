// Where the Raspberry Pi is, as it tells at /position. Pure.

const STATES = ["fix", "no fix", "no receiver"];

const isNumber = (value, most) => typeof value === "number" && Math.abs(value) <= most;

/**
 * What the Pi tells: `state`; `center` (longitude and latitude in degrees), or null where no position is known; `accuracy`
 * in metres, or null; `age` in seconds by the Pi's own clock, since a tablet's may be another; `stale` where that is too
 * long. Null where it tells nothing of the kind.
 */
export function readPosition(told) {
  if (!STATES.includes(told?.state)) {
    return null;
  }
  const isKnown = isNumber(told.longitude, 180) && isNumber(told.latitude, 90) && isNumber(told.age_s, Infinity);
  return {
    state: told.state,
    center: isKnown ? [told.longitude, told.latitude] : null,
    accuracy: isNumber(told.accuracy_m, 1e7) && told.accuracy_m > 0 ? told.accuracy_m : null,
    age: isKnown ? told.age_s : null,
    stale: isKnown && told.stale !== false,
    dateRefused: typeof told.date_refused === "string",
  };
}

/** An age in words, of seconds, minutes, hours or days. */
function duration(seconds, language) {
  const steps = [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
  ];
  const [unit, length] = steps.find(([, least]) => seconds >= 2 * least) ?? ["second", 1];
  const count = Math.round(seconds / length);
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(count);
}

/** What to say of a position, in `texts` of a language; of null, that the Pi does not answer. */
export function describePosition(position, texts, language, isOutside) {
  if (position === null) {
    return texts.noAnswer;
  }
  const said = [];
  if (position.center === null) {
    said.push(texts.states[position.state]);
  } else {
    const metres = new Intl.NumberFormat(language, { maximumFractionDigits: position.accuracy < 10 ? 1 : 0 });
    const exact = position.accuracy === null ? texts.accuracyUnknown : `± ${metres.format(position.accuracy)} m`;
    if (position.stale) {
      const was = texts.wasHere.replace("{age}", duration(position.age, language));
      said.push(texts.states[position.state], `${was} (${exact}).`);
    } else {
      said.push(`${texts.isHere} (${exact}).`);
    }
    if (isOutside) {
      said.push(texts.outside);
    }
  }
  if (position.dateRefused) {
    said.push(texts.dateRefused);
  }
  return said.join(" ");
}
