"use strict";
// What all scripts of the page share. The scripts of the report's files, rows and sounds, call it by this name too.
const timbreflow = { data: JSON.parse(document.getElementById("report-data").textContent) };

// Make an element. Children that are text stay text: nothing of a table is ever read as HTML.
timbreflow.element = (tag, properties = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

// Return where a file of the report lies: beside the page, or at a signed address.
timbreflow.address = (name) => timbreflow.data.addresses?.[name] ?? name;

// Run a script of the report; a page that was opened from a disk may load these, but fetch nothing.
timbreflow.loadScript = (name) =>
  new Promise((resolve, reject) => {
    const script = timbreflow.element("script", { src: timbreflow.address(name) });
    script.onload = () => (script.remove(), resolve());
    script.onerror = () => (script.remove(), reject(new Error(`${name} cannot be loaded: write the report again`)));
    document.head.append(script);
  });

// Tell who cannot see the page what has changed.
timbreflow.say = (text) => {
  document.getElementById("said").textContent = text;
};

timbreflow.complain = (text) => {
  const problem = document.getElementById("load-problem");
  problem.textContent = text;
  problem.hidden = false;
};

timbreflow.counted = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

// Return rows of values as CSV, as RFC 4180 has it.
timbreflow.csv = (rows) => {
  const field = (value) => {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(field).join(",") + "\r\n").join("");
};

timbreflow.save = (name, text) => {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  timbreflow.element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
};
