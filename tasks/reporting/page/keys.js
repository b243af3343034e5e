"use strict";
// Keys of the whole page; whoever types into a field types.
timbreflow.keys = (() => {
  const { engine, player, list, notes, blind } = timbreflow;
  const dialog = document.getElementById("keys");
  const isTyping = (target) => target.closest("textarea, select, input:not([type=range])") !== null;

  const ACTIONS = {
    a: () => timbreflow.hear("content"),
    b: () => timbreflow.hear("style"),
    c: () => timbreflow.hear("result"),
    x: () => blind.running && timbreflow.hear("X"),
    y: () => blind.running && timbreflow.hear("Y"),
    " ": () => engine.toggle(),
    ArrowLeft: () => engine.seek(engine.position() - 1),
    ArrowRight: () => engine.seek(engine.position() + 1),
    ArrowUp: () => list.step(-1),
    ArrowDown: () => list.step(1),
    s: () => player.pair !== null && notes.star(player.pair),
    n: () => document.getElementById("note")?.focus(),
    d: () => player.lookAt(!player.difference),
    r: () => (engine.repeats = !engine.repeats),
    "/": () => list.search.focus(),
    "?": () => dialog.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === " " && event.target.closest("button, a, summary")) return; // the browser's own press
    const action = ACTIONS[event.key] ?? ACTIONS[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.getElementById("show-keys").addEventListener("click", () => dialog.showModal());
})();
