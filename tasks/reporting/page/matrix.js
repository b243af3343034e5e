"use strict";
// Contents against styles, coloured by a figure: a click plays the pair, and the arrow keys go from cell to cell.
timbreflow.matrix = (() => {
  const { element, judging, rows, player } = timbreflow;
  const MOST = 40; // rows and columns that are drawn: the most frequent
  const box = document.getElementById("matrix-body");
  const choice = element("select", { onchange: () => draw() }, ...judging.figures.map((figure) => element("option", { value: figure.name }, figure.heading)));
  const place = element("div", { class: "scroll" });
  const hint = element("p", { class: "hint" });
  box.append(element("div", { class: "tools" }, element("label", {}, element("span", {}, "Figure"), choice), legend()), hint, place);

  function legend() {
    return element("span", { class: "legend", "aria-hidden": "true" }, "worse", element("i"), "better");
  }

  // Return the most frequent sounds, in the order in which they come first.
  const frequent = (sounds, numbers) => {
    const counts = new Map();
    for (const number of numbers) counts.set(sounds[number][0], (counts.get(sounds[number][0]) ?? 0) + 1);
    const chosen = [...counts].sort((one, other) => other[1] - one[1]).slice(0, MOST).map(([uri]) => uri);
    const names = new Map(numbers.map((number) => [sounds[number][0], sounds[number][2]]));
    return { all: counts.size, names, chosen: [...counts.keys()].filter((uri) => chosen.includes(uri)) };
  };

  const draw = () => {
    const { content, style, error } = rows.texts;
    const done = [...Array(rows.loaded).keys()].filter((number) => !error[number]);
    const contents = frequent(content, done);
    const styles = frequent(style, done);
    const cells = new Map();
    for (const number of done) {
      const key = JSON.stringify([content[number][0], style[number][0]]);
      if (!cells.has(key)) cells.set(key, []);
      cells.get(key).push(number);
    }
    const cut = Math.max(contents.all, styles.all) > MOST ? ` The ${MOST} most frequent of each are drawn.` : "";
    hint.textContent = `${timbreflow.counted(contents.all, "content", "contents")} down, ${timbreflow.counted(styles.all, "style", "styles")} across.${cut}`;
    const name = choice.value;
    const scale = scaleOf(name, done);
    const head = element("tr", {}, element("td"), ...styles.chosen.map((uri) => element("th", { scope: "col", title: uri }, element("span", {}, styles.names.get(uri)))));
    const lines = contents.chosen.map((one) =>
      element("tr", {}, element("th", { scope: "row", title: one }, contents.names.get(one)), ...styles.chosen.map((other) => cell(name, scale, cells.get(JSON.stringify([one, other])), `${contents.names.get(one)} in the style of ${styles.names.get(other)}`))),
    );
    place.replaceChildren(element("table", { class: "matrix" }, element("thead", {}, head), element("tbody", {}, ...lines)));
    mark();
  };

  // Return a function from a value to 0, the worst colour, to 1, the best; a share is measured against the ideal.
  const scaleOf = (name, numbers) => {
    const values = rows.numbers[name];
    const { unit, ideal } = judging.named[name];
    let [worst, best] = [Infinity, -Infinity];
    if (unit === "" && typeof ideal === "number") [worst, best] = [-1, 0];
    else {
      for (const number of numbers) {
        const good = judging.goodness(name, values[number]);
        if (good < worst) worst = good;
        if (good > best) best = good;
      }
    }
    return (value) => Math.max(0, Math.min(1, (judging.goodness(name, value) - worst) / (best - worst || 1)));
  };

  const cell = (name, scale, numbers, pair) => {
    if (!numbers) return element("td", { class: "none" });
    const known = numbers.map((number) => rows.numbers[name][number]).filter((value) => Number.isFinite(value));
    const mean = known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
    const text = judging.text(name, mean);
    const label = `${pair}: ${text}${numbers.length > 1 ? `, mean of ${numbers.length}` : ""}`;
    const share = Number.isFinite(mean) ? Math.round(100 * scale(mean)) : -1;
    const button = element("button", { type: "button", title: label, "aria-label": label, tabindex: "-1", class: share < 0 ? "unknown" : share > 55 ? "high" : "low", style: `--good:${Math.max(0, share)}%`, "data-rows": numbers.join(" "), onclick: () => hear(numbers) }, text);
    return element("td", {}, button);
  };

  // Play the pair of a cell; where it has several, a further click plays the next one.
  const hear = (numbers) => player.show(numbers[(numbers.indexOf(player.number) + 1) % numbers.length], { play: true });

  const mark = () => {
    const buttons = [...place.querySelectorAll("button")];
    for (const button of buttons) button.classList.toggle("current", button.dataset.rows.split(" ").includes(String(player.number)));
    if (buttons.length && !buttons.some((button) => button.tabIndex === 0)) buttons[0].tabIndex = 0;
  };
  player.whenShown(mark);

  place.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const at = event.target.closest("td");
    if (!step || !at) return;
    event.preventDefault();
    event.stopPropagation();
    const next = place.querySelector("tbody").rows[at.parentElement.sectionRowIndex + step[0]]?.cells[at.cellIndex + step[1]];
    const button = next?.querySelector("button");
    if (!button) return;
    event.target.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  });

  return { draw };
})();
