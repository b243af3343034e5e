"""A style as one text: a path, or JSON that names several clips.

- `/snd/violin.wav`: a sound; a folder or a pattern stands for the sounds that it holds, which are one style together.
- `["/snd/a.wav", "/snd/b.wav"]`: these are one style together.
- `{"/snd/a.wav": 0.25, "/snd/b.wav": 0.75}`: a blend of styles, each with its share; shares add up to 1.

The text is what tables keep of a style: it travels, is compared and is shown like any other path. Styles that mean the
same have the same text: the clips are sorted and named once, and a single one is a plain path.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence

from manifests.files import UriError

MOST_CLIPS = 64
"""Sounds that may be one style together: each gives half a second of those 30 s that are listened to."""

MOST_BLENDED = 8
"""Styles of a blend: each is laid along the content by itself."""

_JSON = re.compile(r"""\s*(\[\s*"|\{\s*"|\[\s*\]|\{\s*\})""")
"""How texts begin that are meant as JSON: no path is likely to."""

_DIGITS = 9
"""Of a share: 1 to 3 and .1 to .3 are the same."""

_SHOWN = 3

Shares = Mapping[str, float]


def parsed(text: str) -> Sequence[str] | Shares:
    """Return what a text names: clips that are one style together, or styles with their shares.

    Raises
    ------
    UriError
        Saying what is wrong with it and what to write.

    Examples
    --------
    >>> parsed("a.wav"), parsed('["b.wav", "a.wav"]'), parsed('{"a.wav": 1, "b.wav": 3}')
    (['a.wav'], ['b.wav', 'a.wav'], {'a.wav': 1.0, 'b.wav': 3.0})
    """
    if not _JSON.match(text):
        return [text]
    try:
        found = json.loads(text, object_pairs_hook=_summed)
    except json.JSONDecodeError as error:
        raise UriError(f'{_short(text)} is no JSON ({error}). Write ["a.wav", "b.wav"], or a plain path') from error
    if isinstance(found, Mapping):
        return {path: _weight(path, weight) for path, weight in found.items()}
    if not all(isinstance(path, str) for path in found):
        raise UriError(f'{_short(text)} has what is no text. Write ["a.wav", "b.wav"], or a plain path')
    return list(found)


def canonical(paths: Sequence[str], weights: Sequence[float] | None = None) -> str:
    """Return the one text of a style.

    Parameters
    ----------
    paths : sequence of str
        Of sounds, folders or patterns.
    weights : sequence of float, optional
        As many: the result is a blend then. Else all are one style together.

    Raises
    ------
    UriError
        No path, an empty one, too many of them, other numbers of weights, or weights that are not positive.

    Examples
    --------
    >>> canonical(["b.wav", "a.wav", "b.wav"]), canonical(["a.wav"]), canonical(["b.wav", "a.wav"], [1, 3])
    ('["a.wav", "b.wav"]', 'a.wav', '{"a.wav": 0.75, "b.wav": 0.25}')
    """
    _check(paths, weights)
    if weights is None:
        clips = sorted(set(paths))
        return clips[0] if len(clips) == 1 else json.dumps(clips, ensure_ascii=False)
    shares = normalised(list(zip(paths, (float(weight) for weight in weights), strict=True)))
    if len(shares) > MOST_BLENDED:
        remedy = f"Leave style_weights out: without, up to {MOST_CLIPS} clips are one style together"
        raise UriError(f"{len(shares)} styles > {MOST_BLENDED} in a blend. {remedy}")
    return next(iter(shares)) if len(shares) == 1 else json.dumps(shares, ensure_ascii=False)


def normalised(weighted: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return shares that add up to 1, sorted by name; what is named twice has both weights.

    >>> normalised([("b", 0.3), ("a", 0.1)]), normalised([("a", 2), ("a", 1)])
    ({'a': 0.25, 'b': 0.75}, {'a': 1.0})
    """
    summed = _summed(weighted)
    total = math.fsum(summed.values())
    return {name: float(f"{summed[name] / total:.{_DIGITS}g}") for name in sorted(summed)}


def mapped(text: str, change: Callable[[str], str]) -> str:
    """Return the text of a style whose paths have been changed, canonical again.

    Raises
    ------
    UriError
        As `parsed` and `canonical`, and what `change` raises.
    """
    found = parsed(text)
    weights = list(found.values()) if isinstance(found, Mapping) else None
    return canonical([change(path) for path in found], weights)


def paths_in(text: str) -> list[str]:
    """Return the paths that a canonical text names.

    >>> paths_in("a.wav"), paths_in('{"a.wav": 0.5, "b.wav": 0.5}')
    (['a.wav'], ['a.wav', 'b.wav'])
    """
    return list(parsed(text))


def is_several(text: str) -> bool:
    """Return whether a canonical text names several paths."""
    return len(paths_in(text)) > 1


def short_name(text: str) -> str:
    """Return a style in a few words: the names of its clips without folder and suffix, in a blend with percents.

    >>> short_name("/snd/violin.wav"), short_name("/snd/glass/**/*.wav"), short_name('["/a.wav", "/b.wav"]')
    ('violin', 'glass', 'a+b')
    >>> short_name('{"/a.wav": 0.25, "/b.wav": 0.75}')
    'a 25%+b 75%'
    """
    found = parsed(text)
    names = [_stem(path) for path in found]
    if isinstance(found, Mapping):
        names = [f"{name} {100 * share:.3g}%" for name, share in zip(names, found.values(), strict=True)]
    more = len(names) - _SHOWN
    return "+".join([*names[:_SHOWN], *([f"{more} more"] if more > 0 else [])])


def _stem(path: str) -> str:
    """Return the last part of a path of which something is left without its suffix and its wildcards."""
    stems = (re.sub(r"[*?]", "", posixpath.splitext(part)[0]) for part in reversed(path.split("/")))
    return next((stem for stem in stems if stem), path)


def _check(paths: Sequence[str], weights: Sequence[float] | None) -> None:
    if not paths:
        raise UriError("an empty list. Name a sound, or take the row out")
    if any(not path.strip() for path in paths):
        raise UriError("an empty path in a list. Fill it in, or take it out")
    if len(set(paths)) > MOST_CLIPS:
        raise UriError(f"{len(set(paths))} clips > {MOST_CLIPS} in one style. Choose those that show what it is like")
    if weights is None:
        return
    if len(weights) != len(paths):
        raise UriError(f"{len(weights)} weights for {len(paths)} styles. Give one for each, or none")
    for path, weight in zip(paths, weights, strict=True):
        _weight(path, weight)


def _weight(path: str, weight: object) -> float:
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not 1e-6 <= float(weight) <= 1e6:  # type: ignore[arg-type]
        raise UriError(f"the weight {weight} of '{path}' is no number from 1e-6 to 1e6. Give one, or leave it out")
    return float(weight)  # type: ignore[arg-type]


def _summed(weighted: Sequence[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, weight in weighted:
        found[name] = found[name] + weight if name in found else weight
    return found


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
