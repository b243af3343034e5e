"""The terms of equation 1, a module each: its target, its distance, its weight.

Whatever names terms (settings, the columns of the results, the objective) reads them from `TERMS`: to add one is to add
a module here. Settings are read by processes without torch, so a term imports what computes where it computes.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from stylecore.terms.term import Term


def _terms() -> tuple[Term, ...]:
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return tuple(sorted((module.TERM for module in modules if hasattr(module, "TERM")), key=lambda term: term.place))


TERMS: tuple[Term, ...] = _terms()
"""All terms, in the order of equation 1."""
