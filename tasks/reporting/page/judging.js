"use strict";
// Figures as a reader judges them: which is better, how it is written, and what it says in words.
timbreflow.judging = (() => {
  const { figures, words: wordsOf } = timbreflow.data;
  const named = Object.fromEntries(figures.map((figure) => [figure.name, figure]));
  const shown = figures.filter((figure) => figure.shown);

  // Return a value so that more is better.
  const goodness = (name, value) => {
    const { ideal } = named[name] ?? { ideal: "more" };
    if (ideal === "more") return value;
    return ideal === "less" ? -value : -Math.abs(value - ideal);
  };

  const text = (name, value) => {
    if (!Number.isFinite(value)) return "–";
    const { unit } = named[name] ?? { unit: "" };
    return unit === "dB" ? value.toFixed(1) : value.toFixed(2);
  };

  // Return the word for a value of a kind of figure; null where there is nothing to say.
  const word = (kind, value) => (wordsOf[kind] ?? []).find(([bound]) => bound === null || value >= bound)?.[1] ?? null;

  // Say what the figures of a row mean.
  const inWords = (row) => {
    const known = shown.filter((figure) => Number.isFinite(row[figure.name]));
    const parts = [];
    const arrived = known.find((figure) => figure.kind === "arrived");
    if (arrived) {
      parts.push(`${Math.round(100 * Math.max(0, row[arrived.name]))} % of the way to the style's ${arrived.heading}`);
    }
    const kept = new Map();
    for (const figure of known.filter((each) => each.kind === "kept")) {
      const said = word("kept", row[figure.name]);
      kept.set(said, [...(kept.get(said) ?? []), figure.heading]);
    }
    for (const said of wordsOf.kept.map(([, each]) => each)) {
      if (kept.has(said)) parts.push(`${joined(kept.get(said))} ${said}`);
    }
    for (const figure of known.filter((each) => each.kind === "unwanted")) {
      const said = word("unwanted", row[figure.name]);
      if (said) parts.push(`${said} ${figure.heading}`);
    }
    return parts.join("; ");
  };

  const joined = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

  return { figures, named, shown, goodness, text, inWords };
})();
