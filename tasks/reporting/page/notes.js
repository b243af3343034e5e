"use strict";
// Stars and notes: kept in this browser by the name of the pair, and saved as CSV for `timbreflow export --starred`.
timbreflow.notes = (() => {
  const shelf = `timbreflow notes ${timbreflow.data.root}`;
  const listeners = [];
  let kept = {};
  let remembers = true;
  try {
    kept = JSON.parse(localStorage.getItem(shelf)) ?? {};
  } catch {
    remembers = false;
  }

  const of = (pair) => (Object.hasOwn(kept, pair) ? kept[pair] : { star: false, note: "" });

  const change = (pair, changes) => {
    const entry = { ...of(pair), ...changes };
    if (entry.star || entry.note) Object.defineProperty(kept, pair, { value: entry, enumerable: true, configurable: true, writable: true });
    else delete kept[pair];
    try {
      localStorage.setItem(shelf, JSON.stringify(kept));
    } catch {
      remembers = false;
    }
    listeners.forEach((listener) => listener(pair));
  };

  const csv = () => {
    const rows = Object.entries(kept).map(([pair, { star, note }]) => [pair, star ? 1 : 0, note]);
    return timbreflow.csv([["pair_id", "star", "note"], ...rows]);
  };

  return {
    of,
    csv,
    star: (pair) => change(pair, { star: !of(pair).star }),
    write: (pair, note) => change(pair, { note }),
    save: () => timbreflow.save("starred.csv", csv()),
    whenChanged: (listener) => listeners.push(listener),
    get count() {
      return Object.values(kept).filter((entry) => entry.star).length;
    },
    get remembers() {
      return remembers;
    },
  };
})();
