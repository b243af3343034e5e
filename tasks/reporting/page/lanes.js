"use strict";
// Lanes: the tracks that are on the transport, one under the other on one scale of time, each over its picture. A click
// goes to a moment; the letter of a lane says which one is heard.
timbreflow.lanes = (tracks, { pictures, topHz }) => {
  const { element, engine, address } = timbreflow;
  const LOWEST_HZ = 50; // of a picture
  const longest = Math.max(...tracks.map((track) => track.seconds || 0), 0.001);
  const file = (picture) => address(`pictures/${picture}.png`);

  const frequencies = () =>
    [100, 1000, 10_000]
      .filter((hz) => hz < topHz * 0.9)
      .map((hz) => {
        const height = (100 * Math.log(hz / LOWEST_HZ)) / Math.log(topHz / LOWEST_HZ);
        const text = hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`;
        return element("span", { class: "hz", style: `bottom:${height.toFixed(1)}%` }, text);
      });

  // Return what a lane shows: its spectrogram, or a plain bar.
  const picture = (track) => {
    if (!track.picture) return [element("span", { class: "blank" })];
    const alt = `Spectrogram of the ${track.label}`;
    return [element("img", { src: file(track.picture), alt, draggable: "false" }), ...(pictures ? frequencies() : [])];
  };

  const area = (track, head) => {
    const share = Math.max(0.5, (100 * (track.seconds || longest)) / longest);
    const made = element("div", { class: "area", style: `width:${share}%` }, ...picture(track), head);
    const goTo = (event) => {
      const box = made.getBoundingClientRect();
      const place = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
      if (engine.has(track.name)) engine.seek(place * engine.lengthOf(track.name));
    };
    made.addEventListener("pointerdown", (event) => {
      made.setPointerCapture(event.pointerId);
      engine.choose(track.name);
      goTo(event);
    });
    made.addEventListener("pointermove", (event) => made.hasPointerCapture(event.pointerId) && goTo(event));
    return made;
  };

  const lane = (track) => {
    const head = element("span", { class: "head", "aria-hidden": "true" });
    const button = element(
      "button",
      { type: "button", class: "ear", "aria-pressed": "false", onclick: () => timbreflow.hear(track.name) },
      element("kbd", {}, track.letter),
      element("span", { class: "what" }, track.label),
      element("span", { class: "file", title: track.title }, track.file ?? ""),
    );
    const problem = element("p", { class: "silent", hidden: !track.problem }, track.problem ?? "");
    const time = element("div", { class: "time" }, area(track, head));
    const box = element("div", { class: `lane ${track.colour}`, "data-track": track.name }, button, time, problem);
    return { track, head, button, problem, box };
  };
  const made = tracks.map(lane);
  const of = (name) => made.find(({ track }) => track.name === name);

  // Show where everything is, and which track is heard.
  const update = () => {
    const places = engine.places();
    for (const { track, head, button, box } of made) {
      const has = engine.has(track.name);
      const heard = has && engine.chosen === track.name;
      head.hidden = !has;
      if (has) head.style.left = `${(100 * places[track.name]) / engine.lengthOf(track.name)}%`;
      button.setAttribute("aria-pressed", heard);
      button.disabled = !has;
      box.classList.toggle("heard", heard);
    }
  };

  const silence = (name, text) => {
    of(name).problem.textContent = text;
    of(name).problem.hidden = false;
  };

  const show = (name, shown) => {
    const image = of(name).box.querySelector("img");
    if (image) image.src = file(shown);
  };

  const kind = pictures ? "lanes" : "lanes plain";
  return { box: element("div", { class: kind }, ...made.map(({ box }) => box)), update, silence, show };
};
