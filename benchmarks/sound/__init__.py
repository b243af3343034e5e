"""How good the sound is: systems, sets of pairs, judges, and the tables of docs/quality.md and docs/figures.md."""
