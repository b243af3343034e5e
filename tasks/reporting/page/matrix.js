"use strict";
// Contents against styles, coloured by a figure: a click plays the pair, and the arrow keys go from cell to cell.
timbreflow.matrix = (() => {
  const { element, judging, rows, player, counted } = timbreflow;
  const MOST = 40; // rows and columns that are drawn: the most frequent
  const DARK_PERCENT = 71; // of the way to the best colour, from which on a text is light on dark, or dark on light
  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const box = document.getElementById("matrix-body");
  const figures = judging.figures.map((figure) => element("option", { value: figure.name }, figure.heading));
  const choice = element("select", { onchange: () => draw() }, ...figures);
  const legend = element("span", { class: "legend", "aria-hidden": "true" }, "worse", element("i"), "better");
  const place = element("div", { class: "scroll" });
  const hint = element("p", { class: "hint" });
  box.append(element("div", { class: "tools" }, element("label", {}, element("span", {}, "Figure"), choice), legend), hint, place);

  // Return the most frequent of some sounds, in the order in which they come first, and the names of all.
  const frequent = (sounds, numbers) => {
    const counts = new Map();
    const names = new Map();
    for (const number of numbers) {
      const [uri, , name] = sounds[number];
      counts.set(uri, (counts.get(uri) ?? 0) + 1);
      names.set(uri, name);
    }
    const most = [...counts].sort((one, other) => other[1] - one[1]).slice(0, MOST);
    const chosen = new Set(most.map(([uri]) => uri));
    return { names, chosen: [...counts.keys()].filter((uri) => chosen.has(uri)) };
  };

  // Return the pairs of each content and style.
  const gathered = (numbers) => {
    const cells = new Map();
    for (const number of numbers) {
      const key = JSON.stringify([rows.texts.content[number][0], rows.texts.style[number][0]]);
      if (!cells.has(key)) cells.set(key, []);
      cells.get(key).push(number);
    }
    return (content, style) => cells.get(JSON.stringify([content, style]));
  };

  const draw = () => {
    const done = [...Array(rows.loaded).keys()].filter((number) => !rows.texts.error[number]);
    const contents = frequent(rows.texts.content, done);
    const styles = frequent(rows.texts.style, done);
    const sizes = [counted(contents.names.size, "content", "contents"), counted(styles.names.size, "style", "styles")];
    const cut = Math.max(contents.names.size, styles.names.size) > MOST ? ` The ${MOST} most frequent of each are drawn.` : "";
    hint.textContent = `${sizes[0]} down, ${sizes[1]} across.${cut}`;
    const pairs = gathered(done);
    const coloured = scaleOf(choice.value, done);
    const tops = styles.chosen.map((style) => {
      const name = element("span", {}, styles.names.get(style));
      return element("th", { scope: "col", title: style }, name);
    });
    const lines = contents.chosen.map((content) => {
      const name = contents.names.get(content);
      const cells = styles.chosen.map((style) => {
        const label = `${name} in the style of ${styles.names.get(style)}`;
        return cell(pairs(content, style), label, coloured);
      });
      return element("tr", {}, element("th", { scope: "row", title: content }, name), ...cells);
    });
    const head = element("thead", {}, element("tr", {}, element("td"), ...tops));
    place.replaceChildren(element("table", { class: "matrix" }, head, element("tbody", {}, ...lines)));
    mark();
  };

  // Return a function from a value to 0, the worst colour, to 1, the best; a share is measured against the ideal.
  const scaleOf = (name, numbers) => {
    const values = rows.numbers[name];
    const { unit, ideal } = judging.named[name];
    let [worst, best] = [-1, 0];
    if (unit !== "" || typeof ideal !== "number") {
      const known = numbers.map((number) => judging.goodness(name, values[number])).filter(Number.isFinite);
      worst = known.reduce((one, other) => Math.min(one, other), Infinity);
      best = known.reduce((one, other) => Math.max(one, other), -Infinity);
    }
    return (value) => Math.max(0, Math.min(1, (judging.goodness(name, value) - worst) / (best - worst || 1)));
  };

  const cell = (numbers, label, coloured) => {
    if (!numbers) return element("td", { class: "none" });
    const known = numbers.map((number) => rows.numbers[choice.value][number]).filter(Number.isFinite);
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    const text = judging.text(choice.value, mean);
    const percent = known.length ? Math.round(100 * coloured(mean)) : 0;
    const title = `${label}: ${text}${numbers.length > 1 ? `, mean of ${numbers.length}` : ""}`;
    const about = { type: "button", title, "aria-label": title, tabindex: "-1", "data-rows": numbers.join(" ") };
    const look = known.length ? (percent > DARK_PERCENT ? "high" : "low") : "unknown";
    return element("td", {}, element("button", { ...about, class: look, style: `--good:${percent}%`, onclick: () => hear(numbers) }, text));
  };

  // Play the pair of a cell; where it has several, a further click plays the next one.
  const hear = (numbers) => player.show(numbers[(numbers.indexOf(player.number) + 1) % numbers.length], { play: true });

  const mark = () => {
    const buttons = [...place.querySelectorAll("button")];
    const number = String(player.number);
    for (const button of buttons) button.classList.toggle("current", button.dataset.rows.split(" ").includes(number));
    if (buttons.length && !buttons.some((button) => button.tabIndex === 0)) buttons[0].tabIndex = 0;
  };
  player.whenShown(mark);

  place.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const at = event.target.closest("td");
    if (!step || !at) return;
    event.preventDefault();
    event.stopPropagation();
    const line = place.querySelector("tbody").rows[at.parentElement.sectionRowIndex + step[0]];
    const button = line?.cells[at.cellIndex + step[1]]?.querySelector("button");
    if (!button) return;
    event.target.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  });

  return { draw };
})();
