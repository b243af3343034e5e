"use strict";
// The rows of the table. They come in pieces, one script after the other; all that is here may be used at any time.
timbreflow.rows = (() => {
  const { rows: total, scripts, figures } = timbreflow.data;
  const numbers = {};
  for (const name of ["strength", "seed", "duration_s", "seconds_total", ...figures.map((figure) => figure.name)]) {
    numbers[name] = new Float64Array(total).fill(NaN);
  }
  const excerpts = ["content_start_s", "content_end_s", "style_start_s", "style_end_s"];
  const texts = { pair_id: [], content: [], style: [], audio: [], error: [] };
  for (const name of excerpts) texts[name] = [];
  const own = {}; // the user's own columns
  const found = []; // what a search looks at, made when it is first looked at
  const listeners = [];
  let loaded = 0;

  timbreflow.receiveRows = (start, columns) => {
    const count = columns.pair_id.length;
    for (const [name, values] of Object.entries(numbers)) {
      columns[name].forEach((value, place) => value !== null && (values[start + place] = value));
    }
    for (const name of ["pair_id", "audio", "error", ...excerpts]) texts[name].push(...columns[name]);
    for (const name of ["content", "style"]) {
      texts[name].push(...columns[name].map((place) => columns.sounds[place]));
    }
    for (const [name, values] of Object.entries(columns.own)) (own[name] ??= []).push(...values);
    loaded = start + count;
  };

  const load = async () => {
    for (const script of scripts) {
      await timbreflow.loadScript(script);
      listeners.forEach((listener) => listener());
    }
  };

  // Return a row as a record; `content` and `style` are [URI, address or null, name],
  // `own` what the user has written beside it.
  const row = (number) => {
    const record = { number };
    for (const [name, values] of Object.entries(texts)) record[name] = values[number];
    for (const [name, values] of Object.entries(numbers)) record[name] = values[number];
    record.own = Object.entries(own).map(([name, values]) => [name, values[number]]);
    return record;
  };

  const searched = (number) =>
    (found[number] ??= [
      texts.pair_id[number],
      texts.content[number][0],
      texts.style[number][0],
      ...(texts.error[number] ?? []),
      ...Object.values(own).map((values) => values[number]),
    ]
      .join("\n")
      .toLowerCase());

  return {
    total,
    load,
    row,
    searched,
    numbers,
    texts,
    get loaded() {
      return loaded;
    },
    whenLoaded: (listener) => listeners.push(listener),
  };
})();
