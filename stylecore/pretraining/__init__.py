"""How the shipped network came to be: render notes, train, evaluate."""
