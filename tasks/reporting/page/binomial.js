"use strict";
// The exact binomial test: how likely is it that chance alone prefers one side at least as clearly?
// Two-sided, each answer being a toss of a fair coin; ties are left out before.
timbreflow.binomialP = (preferred, answers) => {
  if (!answers) return 1;
  const clear = Math.max(preferred, answers - preferred);
  let logChoose = 0; // of `answers` over `count`
  let tail = 0;
  for (let count = 0; count <= answers; count++) {
    if (count >= clear) tail += Math.exp(logChoose - answers * Math.LN2);
    logChoose += Math.log(answers - count) - Math.log(count + 1);
  }
  return Math.min(1, 2 * tail);
};
