"use strict";
// The table: sorted, filtered and searched over all rows that are loaded; a page of it stands in the document.
timbreflow.list = (() => {
  const { element, judging, notes, rows, player, data } = timbreflow;
  const PAGE_ROWS = 50;
  const RENEW_EVERY_MS = 1000;
  const box = document.getElementById("list");
  const SETS = {
    all: ["All pairs", () => true],
    best: ["Best", memberOf(data.best)],
    worst: ["Worst", memberOf(data.worst)],
    sample: ["At random", memberOf(data.sample)],
    sound: ["With pictures", (row) => row in data.pairs],
    starred: ["Starred", (row) => notes.of(rows.texts.pair_id[row]).star],
    succeeded: ["Succeeded", (row) => !rows.texts.error[row]],
    failed: ["Failed", (row) => Boolean(rows.texts.error[row])],
  };
  const view = { set: "all", search: "", figure: judging.shown[0].name, least: NaN, most: NaN, sort: null, down: true, page: 0 };
  let numbers = []; // of the rows that pass, in order

  function memberOf(numbers) {
    const members = new Set(numbers);
    return (row) => members.has(row);
  }

  const passes = () => {
    const [, inSet] = SETS[view.set];
    const text = view.search.trim().toLowerCase();
    const values = rows.numbers[view.figure];
    const bounded = !Number.isNaN(view.least) || !Number.isNaN(view.most);
    const found = [];
    for (let row = 0; row < rows.loaded; row++) {
      if (!inSet(row)) continue;
      if (text && !rows.searched(row).includes(text)) continue;
      if (bounded && !(values[row] >= (view.least || -Infinity) && values[row] <= (Number.isNaN(view.most) ? Infinity : view.most))) continue;
      found.push(row);
    }
    return found;
  };

  // Return what rows are sorted by, the smallest first; what has no value is last whichever way.
  const keyOf = (name) => {
    if (name in rows.numbers) {
      const values = rows.numbers[name];
      return (row) => (Number.isNaN(values[row]) ? null : values[row]);
    }
    const texts = rows.texts[name];
    const text = name === "pair_id" ? (row) => texts[row] : (row) => texts[row][2];
    return (row) => text(row).toLowerCase();
  };

  const sorted = (found) => {
    const key = keyOf(view.sort);
    const keys = [];
    for (const row of found) keys[row] = key(row);
    const way = view.down ? -1 : 1;
    return found.sort((one, other) => {
      const a = keys[one];
      const b = keys[other];
      if (a === null || b === null) return (a === null) - (b === null) || one - other;
      return a < b ? -way : a > b ? way : one - other;
    });
  };

  const renew = ({ keepPage = false } = {}) => {
    numbers = sorted(passes());
    if (!keepPage) view.page = 0;
    view.page = Math.max(0, Math.min(view.page, Math.ceil(numbers.length / PAGE_ROWS) - 1));
    drawRows();
  };

  // Return whether the best of a column have the largest values.
  const moreIsBetter = (name) => name in judging.named && judging.goodness(name, 1) > judging.goodness(name, 0);

  const sortBy = (name) => {
    view.down = view.sort === name ? !view.down : moreIsBetter(name);
    view.sort = name;
    renew();
  };

  const columns = [
    ["pair_id", "pair", "name"],
    ["content", "content", "sound minor"],
    ["style", "style", "sound minor"],
    ...judging.shown.map((figure) => [figure.name, figure.heading, "figure"]),
    ["seconds_total", "s", "figure minor"],
  ];

  const heads = columns.map(([name, heading, kind]) =>
    element("th", { scope: "col", class: kind, "data-column": name, title: judging.named[name]?.description ?? "" }, element("button", { type: "button", onclick: () => sortBy(name) }, heading)),
  );
  const body = element("tbody");
  const count = element("p", { class: "count", role: "status" });
  const pages = element("nav", { class: "pages", "aria-label": "Pages of the table" });

  const cell = (row, [name, , kind]) => {
    if (kind === "name") {
      const star = notes.of(row.pair_id).star ? element("span", { class: "starred", title: "starred" }, "★ ") : null;
      return element("td", { class: kind }, element("button", { type: "button", "data-row": row.number, title: row.pair_id }, star, row.pair_id));
    }
    if (kind.startsWith("sound")) return element("td", { class: kind, title: row[name][0] }, row[name][2]);
    const value = row[name];
    const isShare = judging.named[name]?.unit === "";
    const share = isShare && Number.isFinite(value) ? Math.round(100 * Math.max(0, Math.min(1, value))) : 0;
    return element("td", { class: `${kind}${view.sort === name ? " sorted" : ""}`, style: `--share:${share}%` }, name === "seconds_total" ? (Number.isFinite(value) ? value.toFixed(1) : "–") : judging.text(name, value));
  };

  const drawRow = (number) => {
    const row = rows.row(number);
    const cells = columns.slice(0, row.error ? 3 : columns.length).map((column) => cell(row, column));
    if (row.error) cells.push(element("td", { class: "error", colspan: columns.length - 3, title: row.error[1] }, element("b", {}, row.error[0]), ` ${row.error[1]}`));
    const classes = [number === player.number ? "current" : "", number in data.pairs ? "embedded" : ""].join(" ").trim();
    return element("tr", { class: classes, "data-row": number }, ...cells);
  };

  const drawRows = () => {
    const start = view.page * PAGE_ROWS;
    const page = numbers.slice(start, start + PAGE_ROWS);
    body.replaceChildren(...page.map(drawRow));
    for (const head of heads) {
      const isSorted = head.dataset.column === view.sort;
      head.setAttribute("aria-sort", isSorted ? (view.down ? "descending" : "ascending") : "none");
      head.classList.toggle("sorted", isSorted);
    }
    const waiting = rows.loaded < rows.total ? `, ${Math.floor((100 * rows.loaded) / rows.total)} % loaded` : "";
    const left = data.total > rows.total ? ` The table has ${data.total.toLocaleString("en")}: the others are in results.parquet.` : "";
    count.textContent = `${timbreflow.counted(numbers.length, "pair", "pairs")} of ${rows.total.toLocaleString("en")}${waiting}.${left}`;
    const turn = (label, to, off) => element("button", { type: "button", disabled: off, onclick: () => ((view.page = to), drawRows()) }, label);
    const last = Math.ceil(numbers.length / PAGE_ROWS) - 1;
    const told = `${(start + 1).toLocaleString("en")} to ${(start + page.length).toLocaleString("en")}`;
    pages.replaceChildren(...(last > 0 ? [turn("first", 0, view.page === 0), turn("previous", view.page - 1, view.page === 0), element("span", {}, told), turn("next", view.page + 1, view.page === last), turn("last", last, view.page === last)] : []));
  };

  const labelled = (text, control) => element("label", {}, element("span", {}, text), control);
  const number = (name) =>
    element("input", { type: "number", step: "0.05", "data-bound": name, placeholder: name === "least" ? "from" : "to", "aria-label": name === "least" ? "Figure from" : "Figure to", oninput: (event) => ((view[name] = event.target.value === "" ? NaN : Number(event.target.value)), renew()) });
  let typed = null;
  const search = element("input", {
    type: "search",
    id: "search",
    placeholder: "name, sound, error",
    oninput: (event) => {
      clearTimeout(typed);
      typed = setTimeout(() => ((view.search = event.target.value), renew()), rows.total > 20_000 ? 200 : 0);
    },
  });
  const sets = element("select", { id: "set", onchange: (event) => ((view.set = event.target.value), renew()) }, ...Object.entries(SETS).map(([name, [label]]) => element("option", { value: name }, label)));
  const figure = element("select", { id: "figure", "aria-label": "Figure", onchange: (event) => ((view.figure = event.target.value), renew()) }, ...judging.figures.map((each) => element("option", { value: each.name }, each.heading)));
  const saved = element("button", { type: "button", id: "save-stars", onclick: notes.save });

  const labelSave = () => (saved.textContent = `Save ${timbreflow.counted(notes.count, "star", "stars")} as CSV`);
  labelSave();

  box.append(
    element("div", { class: "tools" }, labelled("Search", search), labelled("Show", sets), element("fieldset", {}, element("legend", {}, "Figure"), figure, number("least"), number("most")), saved),
    count,
    element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table of pairs" }, element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body)),
    pages,
  );

  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (line) player.show(Number(line.dataset.row), { play: true });
  });
  player.whenShown((shown) => {
    for (const line of body.children) line.classList.toggle("current", Number(line.dataset.row) === shown);
  });
  notes.whenChanged(() => {
    labelSave();
    if (view.set === "starred") renew({ keepPage: true });
    else drawRows();
  });
  // A large table is sorted anew now and then while it is loaded, and once more at its end.
  let renewed = -Infinity;
  rows.whenLoaded(() => {
    if (rows.loaded < rows.total && performance.now() - renewed < RENEW_EVERY_MS) return;
    renew({ keepPage: true });
    renewed = performance.now();
  });

  Object.assign(view, { sort: data.by, down: moreIsBetter(data.by) });

  // Go to the pair before or after the one that is shown, in the order of the table.
  const step = (by) => {
    const place = numbers.indexOf(player.number) + by;
    if (place < 0 || place >= numbers.length) return;
    view.page = Math.floor(place / PAGE_ROWS);
    drawRows();
    body.querySelector(`tr[data-row="${numbers[place]}"]`)?.scrollIntoView({ block: "nearest" });
    player.show(numbers[place], { play: timbreflow.engine.playing });
  };

  return { renew, sortBy, step, search, view, get numbers() { return numbers; } };
})();
