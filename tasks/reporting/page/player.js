"use strict";
// The pair that is listened to: its three sounds on one transport, its figures, a star and a note.
timbreflow.player = (() => {
  const { element, engine, judging, notes, rows, data } = timbreflow;
  const box = document.getElementById("player");
  const listeners = [];
  let shown = null; // the row
  let lanes = null;
  let difference = false;
  let clock = null;
  let slider = null;

  const LABELS = { content: ["A", "content"], style: ["B", "style"], result: ["C", "result"] };
  const GONE = "cannot be heard from here";
  const HINTS = {
    repeat: "Repeat (R)",
    equal: "Bring content and style to the result's loudness",
    difference: "What the result has more (orange) or less (blue) than the content (D)",
  };

  // Return the tracks of a row: embedded ones, or where else they lie.
  const tracksOf = (row) => {
    const pair = data.pairs[row.number];
    const result = [row.audio, row.audio, row.pair_id];
    return Object.entries(LABELS).map(([name, [letter, label]]) => {
      const [title, address, file] = name === "result" ? result : row[name];
      const common = { name, letter, label, colour: name, title, file };
      const track = pair?.tracks[name];
      if (track) {
        const told = track.cut ? `${file}, the first ${Math.round(track.seconds)} s` : file;
        return { ...common, file: told, key: track.sound, picture: track.sound, seconds: track.seconds };
      }
      if (pair && !pair.linked.includes(name)) return { ...common, problem: pair.problems[name] };
      if (name === "result") return { ...common, address, seconds: row.duration_s };
      const excerpt = { start: row[`${name}_start_s`] ?? 0, end: row[`${name}_end_s`] ?? undefined };
      return { ...common, ...excerpt, address, seconds: name === "style" ? 0 : row.duration_s };
    });
  };

  // Show a row and load its sounds; resolves when they are ready.
  const show = async (number, { play = false } = {}) => {
    const row = rows.row(number);
    shown = row;
    listeners.forEach((listener) => listener(number));
    if (row.error) {
      engine.load([]);
      lanes = null;
      draw(row, element("p", { class: "problem" }, element("b", {}, row.error[0]), `: ${row.error[1]}`));
      return;
    }
    const tracks = tracksOf(row);
    lanes = timbreflow.lanes(tracks, { pictures: true, topHz: data.pairs[number]?.top_hz ?? 20_000 });
    draw(row, lanes.box, transport(), switches(row));
    lookAt(difference);
    const silent = await engine.load(tracks, engine.chosen); // what was heard before; else the last, the result
    if (silent === null || shown !== row) return;
    for (const name of silent) {
      const track = tracks.find((each) => each.name === name);
      lanes.silence(name, track.problem ?? `${GONE}: ${track.title}`);
    }
    update();
    if (play) engine.play();
  };

  const draw = (row, ...middle) => {
    const entry = notes.of(row.pair_id);
    const star = button("star", "★", entry.star, () => notes.star(row.pair_id), { "aria-label": "Star", title: "Star (S)" });
    const write = (event) => notes.write(row.pair_id, event.target.value);
    const about = { placeholder: "Note", "aria-label": `Note on ${row.pair_id}` };
    const note = element("textarea", { id: "note", rows: "1", ...about, oninput: write });
    note.value = entry.note;
    box.replaceChildren(
      element("div", { class: "title" }, star, element("h3", {}, row.pair_id)),
      element("p", { class: "words" }, row.error ? "This pair failed." : judging.inWords(row)),
      ...middle,
      ...(row.error ? [] : [figures(row)]),
      ...row.own.filter(([, value]) => value !== null).map(([name, value]) => own(name, value)),
      note,
      links(row),
    );
  };

  const own = (name, value) => element("p", { class: "own" }, element("span", {}, name), ` ${value}`);

  const button = (kind, label, pressed, onclick, more) =>
    element("button", { type: "button", class: kind, "aria-pressed": String(pressed), onclick, ...more }, label);

  const figures = (row) => {
    const known = judging.figures.filter((figure) => Number.isFinite(row[figure.name]));
    const told = known.map((figure) => {
      const kind = { title: figure.description, class: figure.shown ? "" : "minor" };
      const value = judging.text(figure.name, row[figure.name]);
      return element("div", kind, element("dt", {}, figure.heading), element("dd", {}, value));
    });
    return element("dl", { class: "figures" }, ...told);
  };

  const links = (row) => {
    const of = (label, address) => (address ? element("a", { href: address, download: "" }, label) : null);
    const found = [of("result file", row.audio), of("content file", row.content[1]), of("style file", row.style[1])];
    const told = Number.isFinite(row.seed) ? `strength ${row.strength}, seed ${row.seed}` : "";
    return element("p", { class: "links" }, ...found, element("span", {}, told));
  };

  const transport = () => {
    const seek = (event) => engine.seek(Number(event.target.value));
    const range = { type: "range", min: "0", step: "0.01", "aria-label": "Position in seconds" };
    slider = element("input", { ...range, oninput: seek });
    clock = element("output", { class: "clock", "aria-label": "Position" });
    const ears = Object.entries(LABELS).map(([name, [letter]]) =>
      button(`mini ${name}`, letter, false, () => timbreflow.hear(name), { "data-ear": name, "aria-label": `Hear the ${name}` }),
    );
    const play = element("button", { type: "button", class: "play", "aria-label": "Play", onclick: engine.toggle });
    return element("div", { class: "transport" }, play, element("span", { class: "minis" }, ...ears), slider, clock);
  };

  const switches = (row) => {
    const toggle = (name, label, pressed, onclick) => button("toggle", label, pressed, onclick, { title: HINTS[name] });
    const made = [
      toggle("repeat", "repeat", engine.repeats, () => (engine.repeats = !engine.repeats)),
      toggle("equal", "equal loudness", engine.matches, () => (engine.matches = !engine.matches)),
    ];
    if (data.pairs[row.number]?.difference) {
      made.push(toggle("difference", "difference", difference, () => lookAt(!difference)));
    }
    return element("div", { class: "toggles" }, ...made);
  };

  // Show the difference of result and content in the place of the result's spectrogram, or that again.
  const lookAt = (wanted) => {
    difference = wanted;
    const pair = shown && data.pairs[shown.number];
    if (lanes && pair?.difference) lanes.show("result", difference ? pair.difference : pair.tracks.result.sound);
    update();
  };

  const update = () => {
    if (!shown || !lanes || timbreflow.blind?.running) return;
    lanes.update();
    const play = box.querySelector(".play");
    play.classList.toggle("on", engine.playing);
    play.setAttribute("aria-label", engine.playing ? "Pause" : "Play");
    const place = Math.min(engine.position(), engine.length());
    slider.max = engine.length();
    slider.value = place;
    clock.textContent = `${place.toFixed(1)} / ${engine.length().toFixed(1)} s`;
    const [repeat, equal, differs] = box.querySelectorAll(".toggle");
    repeat.setAttribute("aria-pressed", engine.repeats);
    equal.setAttribute("aria-pressed", engine.matches);
    differs?.setAttribute("aria-pressed", difference);
    for (const ear of box.querySelectorAll("[data-ear]")) {
      ear.disabled = !engine.has(ear.dataset.ear);
      ear.setAttribute("aria-pressed", engine.chosen === ear.dataset.ear);
    }
  };

  const follow = () => {
    update();
    if (engine.playing) requestAnimationFrame(follow);
  };
  engine.whenChanged(follow);

  notes.whenChanged((pair) => {
    if (shown?.pair_id === pair) box.querySelector(".star").setAttribute("aria-pressed", notes.of(pair).star);
  });

  return {
    show,
    lookAt,
    whenShown: (listener) => listeners.push(listener),
    get difference() {
      return difference;
    },
    get number() {
      return shown?.number ?? null;
    },
    get pair() {
      return shown?.pair_id ?? null;
    },
  };
})();

// Hear a track, and begin to play if nothing plays: what a letter or a click on a name means.
timbreflow.hear = (name) => {
  if (!timbreflow.engine.choose(name)) timbreflow.say(`there is no ${name} to hear`);
  else if (!timbreflow.engine.playing) timbreflow.engine.play();
};
