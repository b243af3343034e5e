"""Names that follow from what they name: of a pair, of its starting noise, of its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache

from manifests.schema import INTEGER_SETTINGS, ROW_SETTINGS

PAIR_ID_DIGITS = 16
FINGERPRINT_DIGITS = 40
_SEEDS = 2**31


def pair_id(content_written: str, style_written: str, row_settings: Mapping[str, object]) -> str:
    """Return the default name of a pair: 16 hex digits.

    It follows from the paths AS WRITTEN in the manifest, so that a manifest copied elsewhere keeps its names and seeds.

    Parameters
    ----------
    content_written, style_written : str
        Paths as they stand in the manifest.
    row_settings : mapping
        The row's own settings; None counts as not set, and 1 and 1.0 are the same weight.

    Raises
    ------
    KeyError
        A name that is not one of `ROW_SETTINGS`.
    """
    return pair_ids([content_written], [style_written], [settings_text(row_settings)])[0]


def pair_ids(contents: Iterable[str], styles: Iterable[str], settings_texts: Iterable[str]) -> list[str]:
    """Return `pair_id` for columns of N pairs, their settings given as `settings_text`."""
    # A path cannot hold NUL (the reader refuses it), so the three parts cannot run into each other.
    return [
        hashlib.sha256(f"{content}\0{style}\0{text}".encode()).hexdigest()[:PAIR_ID_DIGITS]
        for content, style, text in zip(contents, styles, settings_texts, strict=True)
    ]


def settings_text(row_settings: Mapping[str, object]) -> str:
    """Return one spelling for equal row settings: JSON, in the order of `ROW_SETTINGS`, without what is not set.

    >>> settings_text({"seed": 7.0, "alpha": 1, "beta": None})
    '{"alpha":1.0,"seed":7}'
    """
    unknown = sorted(set(row_settings) - set(ROW_SETTINGS))
    if unknown:
        raise KeyError(f"{', '.join(unknown)}: not a row setting; these are {', '.join(ROW_SETTINGS)}")
    values = {name: _number(name, row_settings[name]) for name in ROW_SETTINGS if row_settings.get(name) is not None}
    return json.dumps(values, separators=(",", ":"))


def seed_for(run_seed: int, pair_id: str) -> int:
    """Return the seed of a pair whose row names none, 0 <= seed < 2**31: other pairs, other noise."""
    digest = hashlib.sha256(f"{run_seed}\0{pair_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _SEEDS


def fingerprint(
    content_identity: str, style_identity: str, settings_json: str, weights_digest: str, core_version: int
) -> str:
    """Return the name of a result: 40 hex digits over everything that decides its samples.

    Parameters
    ----------
    content_identity, style_identity : str
        sha256 of the sounds' bytes.
    settings_json : str
        The resolved settings of the pair, a JSON object; the order of its keys does not count.
    weights_digest : str
        Digest of the network's weights.
    core_version : int
        Version of the computation.

    Raises
    ------
    ValueError
        `settings_json` is not JSON.
    """
    parts = [content_identity, style_identity, json.loads(settings_json), weights_digest, core_version]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]


def fingerprints(
    content_identities: Iterable[str],
    style_identities: Iterable[str],
    settings_texts: Iterable[str],
    seeds: Iterable[int],
    weights_digest: str,
    core_version: int,
) -> list[str]:
    """Return `fingerprint` for columns of N pairs.

    What is hashed differs between pairs of equal settings in two identities and the seed alone, so each distinct text
    of settings is parsed once.

    Parameters
    ----------
    content_identities, style_identities : iterable of str
        As in `fingerprint`.
    settings_texts : iterable of str
        The resolved settings of each pair, a JSON object without the seed.
    seeds : iterable of int
        The seed of each pair.
    weights_digest, core_version
        As in `fingerprint`.
    """
    quoted = lru_cache(maxsize=1 << 16)(json.dumps)
    halves = lru_cache(maxsize=1 << 12)(_halves)
    end = f",{json.dumps(weights_digest)},{json.dumps(core_version)}]"
    names = []
    for content, style, text, seed in zip(content_identities, style_identities, settings_texts, seeds, strict=True):
        before, after = halves(text)
        whole = f"[{quoted(content)},{quoted(style)},{before}{seed}{after}{end}"
        names.append(hashlib.sha256(whole.encode()).hexdigest()[:FINGERPRINT_DIGITS])
    return names


def with_seed(settings_text: str, seed: int) -> str:
    """Return the resolved settings of a pair, a JSON object that lacks the seed, with it.

    >>> with_seed('{"alpha": 1.0, "tolerance": 0.0}', 7)
    '{"alpha": 1.0, "seed": 7, "tolerance": 0.0}'
    """
    return json.dumps({**json.loads(settings_text), "seed": seed}, sort_keys=True)


def _halves(settings_text: str) -> tuple[str, str]:
    """Return what stands before and after the seed once settings are spelled as `fingerprint` hashes them."""
    settings = json.loads(settings_text)
    before = {name: value for name, value in settings.items() if name < "seed"}
    after = {name: value for name, value in settings.items() if name > "seed"}
    parts = [json.dumps(part, sort_keys=True, separators=(",", ":"))[1:-1] for part in (before, after)]
    return f'{{{parts[0]}{"," if before else ""}"seed":', f"{',' if after else ''}{parts[1]}}}"


def _number(name: str, value: object) -> float | int:
    return int(value) if name in INTEGER_SETTINGS else float(value)  # type: ignore[call-overload, arg-type]
