"use strict";
// The page begins: the rows are loaded, and the best pair is shown as soon as its row is there.
(async () => {
  const { rows, player, matrix, data } = timbreflow;
  rows.whenLoaded(() => {
    const first = data.best[0] ?? data.sample[0] ?? 0;
    if (player.number === null && first < rows.loaded) player.show(first);
  });
  timbreflow.list.renew();
  try {
    await rows.load();
  } catch (problem) {
    timbreflow.complain(problem.message);
  }
  if (!timbreflow.notes.remembers) timbreflow.complain("This browser keeps nothing: save stars and notes before you close the page.");
  matrix.draw();
  timbreflow.isReady = true;
})();
