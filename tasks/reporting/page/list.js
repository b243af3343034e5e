"use strict";
// The table: sorted, filtered and searched over all rows that are loaded; a page of it stands in the document.
timbreflow.list = (() => {
  const { element, judging, notes, rows, player, data } = timbreflow;
  const PAGE_ROWS = 50;
  const RENEW_EVERY_MS = 1000;
  const MANY_ROWS = 20_000; // beyond these a search waits for a pause in the typing
  const box = document.getElementById("list");

  const among = (numbers) => {
    const members = new Set(numbers);
    return (row) => members.has(row);
  };
  const SETS = {
    all: ["All pairs", () => true],
    best: ["Best", among(data.best)],
    worst: ["Worst", among(data.worst)],
    sample: ["At random", among(data.sample)],
    embedded: ["With pictures", (row) => row in data.pairs],
    starred: ["Starred", (row) => notes.of(rows.texts.pair_id[row]).star],
    succeeded: ["Succeeded", (row) => !rows.texts.error[row]],
    failed: ["Failed", (row) => Boolean(rows.texts.error[row])],
  };

  // Return whether the best of a column have the largest values.
  const moreIsBetter = (name) => name in judging.named && judging.goodness(name, 1) > judging.goodness(name, 0);

  const view = { set: "all", search: "", figure: judging.shown[0].name, least: NaN, most: NaN, page: 0 };
  Object.assign(view, { sort: data.by, down: moreIsBetter(data.by) });
  let numbers = []; // of the rows that pass, in order

  const passing = () => {
    const [, inSet] = SETS[view.set];
    const text = view.search.trim().toLowerCase();
    const values = rows.numbers[view.figure];
    const least = Number.isNaN(view.least) ? -Infinity : view.least;
    const most = Number.isNaN(view.most) ? Infinity : view.most;
    const bounded = least > -Infinity || most < Infinity;
    const found = [];
    for (let row = 0; row < rows.loaded; row++) {
      if (!inSet(row)) continue;
      if (text && !rows.searched(row).includes(text)) continue;
      if (bounded && !(values[row] >= least && values[row] <= most)) continue;
      found.push(row);
    }
    return found;
  };

  // Return by what a row is sorted, null where it has no such value.
  const keyOf = (name) => {
    const texts = rows.texts[name];
    if (name === "pair_id") return (row) => texts[row].toLowerCase();
    if (texts) return (row) => texts[row][2].toLowerCase();
    const values = rows.numbers[name];
    return (row) => (Number.isNaN(values[row]) ? null : values[row]);
  };

  // Sort rows; those without a value are last either way, and equal ones stay in the order of the manifest.
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
    numbers = sorted(passing());
    if (!keepPage) view.page = 0;
    view.page = Math.max(0, Math.min(view.page, Math.ceil(numbers.length / PAGE_ROWS) - 1));
    draw();
  };

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
  const NAMES = 3; // columns before the figures

  const heads = columns.map(([name, heading, kind]) => {
    const title = judging.named[name]?.description;
    const button = element("button", { type: "button", onclick: () => sortBy(name) }, heading);
    return element("th", { scope: "col", class: kind, "data-column": name, title }, button);
  });
  const body = element("tbody");
  const count = element("p", { class: "count", role: "status" });
  const pages = element("nav", { class: "pages", "aria-label": "Pages of the table" });

  const nameCell = (row) => {
    const star = notes.of(row.pair_id).star ? element("span", { class: "starred", title: "starred" }, "★ ") : null;
    const about = { type: "button", "data-row": row.number, title: row.pair_id };
    return element("td", { class: "name" }, element("button", about, star, row.pair_id));
  };

  const figureCell = (row, name, kind) => {
    const value = row[name];
    const figure = judging.named[name];
    const share = figure?.unit === "" && Number.isFinite(value) ? Math.round(100 * Math.max(0, Math.min(1, value))) : 0;
    const sortedBy = view.sort === name ? " sorted" : "";
    return element("td", { class: `${kind}${sortedBy}`, style: `--share:${share}%` }, judging.text(name, value));
  };

  const cell = (row, [name, , kind]) => {
    if (name === "pair_id") return nameCell(row);
    if (kind.startsWith("sound")) return element("td", { class: kind, title: row[name][0] }, row[name][2]);
    return figureCell(row, name, kind);
  };

  const line = (number) => {
    const row = rows.row(number);
    const cells = columns.slice(0, row.error ? NAMES : columns.length).map((column) => cell(row, column));
    if (row.error) {
      const [kind, message] = row.error;
      const about = { class: "error", colspan: columns.length - NAMES, title: message };
      cells.push(element("td", about, element("b", {}, kind), ` ${message}`));
    }
    const current = number === player.number ? "current" : "";
    return element("tr", { class: current, "data-row": number }, ...cells);
  };

  const drawCount = () => {
    const loading = rows.loaded < rows.total ? `, ${Math.floor((100 * rows.loaded) / rows.total)} % loaded` : "";
    const all = data.total.toLocaleString("en");
    const left = data.total > rows.total ? ` The table has ${all}: the others are in results.parquet.` : "";
    const found = timbreflow.counted(numbers.length, "pair", "pairs");
    count.textContent = `${found} of ${rows.total.toLocaleString("en")}${loading}.${left}`;
  };

  const drawPages = (start, drawn) => {
    const last = Math.ceil(numbers.length / PAGE_ROWS) - 1;
    const turn = (label, page, disabled) => {
      const go = () => {
        view.page = page;
        draw();
      };
      return element("button", { type: "button", disabled, onclick: go }, label);
    };
    const told = `${(start + 1).toLocaleString("en")} to ${(start + drawn).toLocaleString("en")}`;
    const [isFirst, isLast] = [view.page === 0, view.page === last];
    const back = [turn("first", 0, isFirst), turn("previous", view.page - 1, isFirst)];
    const on = [turn("next", view.page + 1, isLast), turn("last", last, isLast)];
    pages.replaceChildren(...(last > 0 ? [...back, element("span", {}, told), ...on] : []));
  };

  const draw = () => {
    const start = view.page * PAGE_ROWS;
    const page = numbers.slice(start, start + PAGE_ROWS);
    body.replaceChildren(...page.map(line));
    for (const head of heads) {
      const isSorted = head.dataset.column === view.sort;
      head.setAttribute("aria-sort", isSorted ? (view.down ? "descending" : "ascending") : "none");
      head.classList.toggle("sorted", isSorted);
    }
    drawCount();
    drawPages(start, page.length);
  };

  // The controls above the table.
  const labelled = (text, control) => element("label", {}, element("span", {}, text), control);
  const options = (pairs) => pairs.map(([value, label]) => element("option", { value }, label));
  const changed = (name, read) => (event) => {
    view[name] = read(event.target.value);
    renew();
  };
  const bound = (name, placeholder) => {
    const read = (text) => (text === "" ? NaN : Number(text));
    const about = { type: "number", step: "0.05", placeholder, "data-bound": name, "aria-label": `Figure ${placeholder}` };
    return element("input", { ...about, oninput: changed(name, read) });
  };
  let typed = null;
  const searchFor = (event) => {
    clearTimeout(typed);
    typed = setTimeout(changed("search", String), rows.total > MANY_ROWS ? 200 : 0, event);
  };
  const search = element("input", { type: "search", id: "search", placeholder: "name, sound, error, ...", oninput: searchFor });
  const sets = options(Object.entries(SETS).map(([name, [label]]) => [name, label]));
  const set = element("select", { id: "set", onchange: changed("set", String) }, ...sets);
  const figures = options(judging.figures.map((each) => [each.name, each.heading]));
  const figure = element("select", { id: "figure", "aria-label": "Figure", onchange: changed("figure", String) }, ...figures);
  const bounds = element("fieldset", {}, element("legend", {}, "Figure"), figure, bound("least", "from"), bound("most", "to"));
  const saved = element("button", { type: "button", id: "save-stars", onclick: notes.save });
  const labelSaved = () => (saved.textContent = `Save ${timbreflow.counted(notes.count, "star", "stars")} as CSV`);
  labelSaved();

  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body);
  box.append(
    element("div", { class: "tools" }, labelled("Search", search), labelled("Show", set), bounds, saved),
    count,
    element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table of pairs" }, table),
    pages,
  );

  body.addEventListener("click", (event) => {
    const clicked = event.target.closest("tr");
    if (clicked) player.show(Number(clicked.dataset.row), { play: true });
  });
  player.whenShown((shown) => {
    for (const each of body.children) each.classList.toggle("current", Number(each.dataset.row) === shown);
  });
  notes.whenChanged(() => {
    labelSaved();
    if (view.set === "starred") renew({ keepPage: true });
    else draw();
  });
  // A large table is sorted anew now and then while it is loaded, and once more at its end.
  let renewed = -Infinity;
  rows.whenLoaded(() => {
    if (rows.loaded < rows.total && performance.now() - renewed < RENEW_EVERY_MS) return;
    renew({ keepPage: true });
    renewed = performance.now();
  });

  // Go to the pair before or after the one that is shown, in the order of the table.
  const step = (by) => {
    const place = numbers.indexOf(player.number) + by;
    if (place < 0 || place >= numbers.length) return;
    view.page = Math.floor(place / PAGE_ROWS);
    draw();
    body.querySelector(`tr[data-row="${numbers[place]}"]`)?.scrollIntoView({ block: "nearest" });
    player.show(numbers[place], { play: timbreflow.engine.playing });
  };

  return {
    renew,
    sortBy,
    step,
    search,
    view,
    get numbers() {
      return numbers;
    },
  };
})();
