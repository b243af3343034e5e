"use strict";
// Lanes: the tracks that are on the transport, one under the other on one scale of time, each over its picture. A click
// goes to a moment; the letter of a lane says which one is heard.
timbreflow.lanes = (tracks, { pictures, topHz }) => {
  const { element, engine } = timbreflow;
  const LOWEST_HZ = 50; // of a picture
  const longest = Math.max(...tracks.map((track) => track.seconds || 0), 0.001);

  const frequencies = () =>
    [100, 1000, 10_000]
      .filter((hz) => hz < topHz * 0.9)
      .map((hz) => {
        const height = (100 * Math.log(hz / LOWEST_HZ)) / Math.log(topHz / LOWEST_HZ);
        return element("span", { class: "hz", style: `bottom:${height.toFixed(1)}%` }, hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`);
      });

  const made = tracks.map((track) => {
    const head = element("span", { class: "head", "aria-hidden": "true" });
    const share = Math.max(0.5, (100 * (track.seconds || longest)) / longest);
    const picture = track.picture
      ? element("img", { src: timbreflow.address(`pictures/${track.picture}.png`), alt: `Spectrogram of the ${track.label}`, draggable: "false" })
      : element("span", { class: "blank" });
    const area = element("div", { class: "area", style: `width:${share}%` }, picture, ...(pictures && track.picture ? frequencies() : []), head);
    const goTo = (event) => {
      const box = area.getBoundingClientRect();
      const seconds = engine.lengthOf(track.name);
      if (!seconds) return;
      if (event.type === "pointerdown") engine.choose(track.name);
      engine.seek(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * seconds);
    };
    area.addEventListener("pointerdown", (event) => {
      area.setPointerCapture(event.pointerId);
      goTo(event);
    });
    area.addEventListener("pointermove", (event) => area.hasPointerCapture(event.pointerId) && goTo(event));
    const button = element(
      "button",
      { type: "button", class: "ear", "aria-pressed": "false", onclick: () => timbreflow.hear(track.name) },
      element("kbd", {}, track.letter),
      element("span", { class: "what" }, track.label),
      element("span", { class: "file", title: track.title ?? "" }, track.file ?? ""),
    );
    const problem = element("p", { class: "silent", hidden: !track.problem }, track.problem ?? "");
    const lane = element("div", { class: `lane ${track.colour}`, "data-track": track.name }, button, element("div", { class: "time" }, area), problem);
    return { track, head, area, button, problem, picture, lane };
  });

  const update = () => {
    const places = engine.places();
    for (const { track, head, button, lane } of made) {
      const has = engine.has(track.name);
      const heard = has && engine.chosen === track.name;
      head.hidden = !has;
      if (has) head.style.left = `${(100 * places[track.name]) / engine.lengthOf(track.name)}%`;
      button.setAttribute("aria-pressed", heard);
      button.disabled = !has;
      lane.classList.toggle("heard", heard);
    }
  };

  const silence = (name, text) => {
    const found = made.find(({ track }) => track.name === name);
    found.problem.textContent = text;
    found.problem.hidden = false;
  };

  const show = (name, picture) => {
    const found = made.find(({ track }) => track.name === name);
    if (found.track.picture) found.picture.src = timbreflow.address(`pictures/${picture}.png`);
  };

  return { box: element("div", { class: `lanes${pictures ? "" : " plain"}` }, ...made.map(({ lane }) => lane)), update, silence, show };
};
