"use strict";
// The blind test: two ways to make a pair, under the names X and Y, in an order that chance decides for each question.
timbreflow.blind = (() => {
  const { element, engine, player, counted, data } = timbreflow;
  const { first, second, trials } = data.blind;
  const box = document.getElementById("blind-body");
  const answers = []; // {trial, order, side, seconds}
  const HEAD = ["trial", "pair_id", "other_pair_id", "x", "y", "preferred", "seconds", "p"];
  const SIGNIFICANT = 0.05;
  let lanes = null;
  let order = null; // of the question at hand: which side is X
  let asked = 0;
  let running = false;

  const coin = () => crypto.getRandomValues(new Uint8Array(1))[0] & 1;
  const named = (side) => [first, second][side];
  const press = (kind, text, onclick, more = {}) => element("button", { type: "button", class: kind, onclick, ...more }, text);

  const intro = () => {
    const text =
      `${counted(trials.length, "question", "questions")}. Each lets you hear the content, the style, and two results, ` +
      "X and Y, which were made in two ways. Say which is better; at the end you see which was which, and whether " +
      "chance alone might have answered so.";
    box.replaceChildren(element("p", { class: "hint" }, text), press("primary", "Begin", begin, { id: "blind-start" }));
  };

  const begin = () => {
    answers.length = 0;
    running = true;
    ask();
  };

  // Return the tracks of a question: X is the side that chance has put first.
  const tracksOf = (trial) => {
    const [x, y] = order ? [trial.sides[1], trial.sides[0]] : trial.sides;
    const track = (name, letter, side, of) => {
      const { sound, seconds } = side.tracks[of] ?? {};
      return { name, letter, label: name, colour: of, key: sound, seconds, problem: side.problems[of] };
    };
    return [
      track("content", "A", x, "content"),
      track("style", "B", x, "style"),
      track("X", "X", x, "result"),
      track("Y", "Y", y, "result"),
    ];
  };

  const ask = async () => {
    order = coin();
    const tracks = tracksOf(trials[answers.length]);
    lanes = timbreflow.lanes(tracks, { pictures: false, topHz: 0 });
    const answer = (text, given) => press("primary", text, () => take(given), { "data-answer": text });
    const question = `Question ${answers.length + 1} of ${trials.length}. Which is better?`;
    box.replaceChildren(
      element("p", { class: "hint", role: "status" }, question),
      lanes.box,
      element(
        "div",
        { class: "answers" },
        press("play", "", engine.toggle, { "aria-label": "Play or pause" }),
        answer("X is better", 0),
        answer("Y is better", 1),
        answer("no difference", null),
        press("toggle", "stop here", () => finish()),
      ),
    );
    await engine.load(tracks, "X");
    asked = performance.now();
    engine.repeats = true;
    follow();
  };

  // Take an answer: 0 for X, 1 for Y, null for neither.
  const take = (answer) => {
    const side = answer === null ? null : answer ^ order;
    answers.push({ trial: trials[answers.length], order, side, seconds: (performance.now() - asked) / 1000 });
    if (answers.length < trials.length) ask();
    else finish();
  };

  // Return how many of the first answers prefer the first side, how many prefer one at all, and how likely chance is.
  const counts = (upTo) => {
    const decided = answers.slice(0, upTo).filter(({ side }) => side !== null);
    const firsts = decided.filter(({ side }) => side === 0).length;
    return { firsts, decided: decided.length, p: timbreflow.binomialP(firsts, decided.length) };
  };

  const csv = () => {
    const lines = answers.map(({ trial, order: x, side, seconds }, place) => {
      const preferred = side === null ? "" : named(side);
      const p = counts(place + 1).p.toPrecision(4);
      return [place + 1, ...trial.pair_ids, named(x), named(x ^ 1), preferred, seconds.toFixed(1), p];
    });
    return timbreflow.csv([HEAD, ...lines]);
  };

  const finish = ({ showAgain = true } = {}) => {
    running = false;
    engine.stop();
    engine.repeats = false;
    const { firsts, decided, p } = counts(answers.length);
    const line = (name, count) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, `${count}`));
    const lines = [line(first, firsts), line(second, decided - firsts), line("no difference", answers.length - decided)];
    const meaning = p < SIGNIFICANT ? "chance alone would hardly answer so." : "chance alone might answer so.";
    const test = `Two-sided binomial test of ${counted(decided, "answer", "answers")}.`;
    box.replaceChildren(
      element("table", { class: "outcome" }, element("tbody", {}, ...lines)),
      element("p", { class: "hint", id: "blind-p" }, `p = ${p.toPrecision(2)}: ${meaning} ${test}`),
      element(
        "div",
        { class: "answers" },
        press("primary", "Save answers as CSV", () => timbreflow.save("blind-test.csv", csv()), { id: "blind-save" }),
        press("toggle", "Begin again", begin),
      ),
    );
    if (showAgain && player.number !== null) player.show(player.number);
  };

  const follow = () => {
    if (!running) return;
    lanes.update();
    box.querySelector(".play")?.classList.toggle("on", engine.playing);
    if (engine.playing) requestAnimationFrame(follow);
  };
  engine.whenChanged(follow);
  player.whenShown(() => running && finish({ showAgain: false })); // who goes elsewhere keeps the answers so far

  if (trials.length) intro();
  return {
    csv,
    get running() {
      return running;
    },
  };
})();
