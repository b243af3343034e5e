"use strict";
// The blind test: two ways to make a pair, under the names X and Y, in an order that chance decides for each question.
timbreflow.blind = (() => {
  const { element, engine, data } = timbreflow;
  const { first, second, trials } = data.blind;
  const box = document.getElementById("blind-body");
  const answers = [];
  const HEAD = ["trial", "pair_id", "other_pair_id", "x", "y", "preferred", "seconds", "p"];
  let lanes = null;
  let order = null; // of the question at hand: which side is X
  let asked = 0;
  let running = false;

  const coin = () => crypto.getRandomValues(new Uint8Array(1))[0] & 1;
  const named = (side) => [first, second][side];

  const intro = () => {
    box.replaceChildren(
      element("p", { class: "hint" }, `${timbreflow.counted(trials.length, "question", "questions")}. Each lets you hear the content, the style, and two results, X and Y, which were made in two ways. Say which is better; at the end you see which was which, and whether chance alone might have answered so.`),
      element("button", { type: "button", class: "primary", id: "blind-start", onclick: begin }, "Begin"),
    );
  };

  const begin = () => {
    answers.length = 0;
    running = true;
    ask();
  };

  const ask = async () => {
    const trial = trials[answers.length];
    order = coin();
    const [x, y] = order ? [trial.sides[1], trial.sides[0]] : trial.sides;
    const heard = (name, letter, colour, side, of) => ({ name, letter, label: name, colour, key: side.tracks[of]?.sound, seconds: side.tracks[of]?.seconds, problem: side.problems[of] });
    const tracks = [heard("content", "A", "content", x, "content"), heard("style", "B", "style", x, "style"), heard("X", "X", "result", x, "result"), heard("Y", "Y", "result", y, "result")];
    lanes = timbreflow.lanes(tracks, { pictures: false, topHz: 0 });
    const answer = (text, preferred) => element("button", { type: "button", class: "primary", "data-answer": text, onclick: () => take(preferred) }, text);
    box.replaceChildren(
      element("p", { class: "hint", role: "status" }, `Question ${answers.length + 1} of ${trials.length}. Which is better?`),
      lanes.box,
      element("div", { class: "answers" }, element("button", { type: "button", class: "play", "aria-label": "Play or pause", onclick: engine.toggle }), answer("X is better", 0), answer("Y is better", 1), answer("no difference", null), element("button", { type: "button", class: "toggle", onclick: finish }, "stop here")),
    );
    await engine.load(tracks, "X");
    asked = performance.now();
    engine.repeats = true;
    follow();
  };

  // Take an answer: 0 for X, 1 for Y, null for neither.
  const take = (answer) => {
    const trial = trials[answers.length];
    const side = answer === null ? null : answer ^ order;
    answers.push({ trial, order, side, seconds: (performance.now() - asked) / 1000 });
    if (answers.length < trials.length) ask();
    else finish();
  };

  const counts = (upTo) => {
    const decided = answers.slice(0, upTo).filter(({ side }) => side !== null);
    return { firsts: decided.filter(({ side }) => side === 0).length, decided: decided.length };
  };

  const csv = () =>
    timbreflow.csv([
      HEAD,
      ...answers.map(({ trial, order: x, side, seconds }, place) => {
        const { firsts, decided } = counts(place + 1);
        return [place + 1, ...trial.pair_ids, named(x), named(x ^ 1), side === null ? "" : named(side), seconds.toFixed(1), timbreflow.binomialP(firsts, decided).toPrecision(4)];
      }),
    ]);

  const finish = () => {
    running = false;
    engine.stop();
    engine.repeats = false;
    const { firsts, decided } = counts(answers.length);
    const p = timbreflow.binomialP(firsts, decided);
    const line = (name, count) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, String(count)));
    box.replaceChildren(
      element("table", { class: "outcome" }, element("tbody", {}, line(first, firsts), line(second, decided - firsts), line("no difference", answers.length - decided))),
      element("p", { class: "hint", id: "blind-p" }, `p = ${p.toPrecision(2)}: ${p < 0.05 ? "chance alone would hardly answer so." : "chance alone might answer so."} Two-sided binomial test of ${timbreflow.counted(decided, "answer", "answers")}.`),
      element("div", { class: "answers" }, element("button", { type: "button", class: "primary", id: "blind-save", onclick: () => timbreflow.save("blind-test.csv", csv()) }, "Save answers as CSV"), element("button", { type: "button", class: "toggle", onclick: begin }, "Begin again")),
    );
    const { player } = timbreflow;
    if (player.number !== null) player.show(player.number);
  };

  const follow = () => {
    if (!running) return;
    lanes.update();
    box.querySelector(".play")?.classList.toggle("on", engine.playing);
    if (engine.playing) requestAnimationFrame(follow);
  };
  engine.whenChanged(follow);
  timbreflow.player.whenShown(() => {
    if (running) intro();
    running = false;
  });

  if (trials.length) intro();
  return { csv, get running() { return running; } };
})();
