"""The card of a dataset: what is in it, from which sounds, under which licences, and how it was made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pyarrow.compute as pc
import yaml

from stylecore.figures import FIGURES
from tasks.exporting.row_stream import Piece

_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
_LICENCES = tuple(f"{sound}_{word}" for sound in ("content", "style") for word in ("licence", "license"))
_TOLD = ("sample_rate", "n_channels", "version", "core_version", "weights_digest", *_LICENCES)
_FIGURES = tuple(figure for figure in FIGURES if figure.shown)
_NAMES = tuple(figure.name for figure in _FIGURES)

_MOST_VALUES = 1_000
"""Different values of a column that are told apart; with more, all others count as one."""

_MOST_SHOWN = 10
_OTHERS = "others"
_NOT_KNOWN = "not known"


class CardFacts:
    """What a card tells of the pairs that were added to it."""

    columns = ("pair_id", "duration_s", "settings", *_TOLD, *_NAMES)

    def __init__(self) -> None:
        self.pairs = 0
        self.seconds = 0.0
        self.values: dict[str, Counter[str]] = {}
        self.settings: dict[str, Counter[str]] = {}
        self._sums, self._counts = dict.fromkeys(_NAMES, 0.0), dict.fromkeys(_NAMES, 0)
        self._rates: set[int | None] = set()

    def add(self, piece: Piece) -> None:
        """Add some pairs."""
        rows, names = piece.rows, piece.rows.column_names
        self.pairs += rows.num_rows
        self.seconds += _sum(piece, "duration_s")
        self._rates.update(rows["sample_rate"].unique().to_pylist())
        for name in (name for name in _TOLD if name in names):
            for one in rows[name].value_counts().to_pylist():
                _count(self.values, name, _NOT_KNOWN if one["values"] is None else str(one["values"]), one["counts"])
        for one in rows["settings"].value_counts().to_pylist():
            for name, value in _parsed(one["values"]).items():
                _count(self.settings, name, json.dumps(value), one["counts"])
        for figure in (figure for figure in _FIGURES if figure.name in names):
            self._sums[figure.name] += _sum(piece, figure.name)
            self._counts[figure.name] += pc.count(rows[figure.name]).as_py()

    def only_rate(self) -> int | None:
        """Return the sampling rate of all pairs; None if there are several, or one is not known."""
        return next(iter(self._rates)) if len(self._rates) == 1 else None

    def means(self) -> Iterator[tuple[str, str, float]]:
        """Give heading, description and mean of each figure that some pair has."""
        for figure in _FIGURES:
            if count := self._counts[figure.name]:
                yield figure.name, figure.description, self._sums[figure.name] / count

    def licences(self) -> list[str]:
        """Return the columns that have licences."""
        return [name for name in _LICENCES if name in self.values]


def _count(counters: dict[str, Counter[str]], name: str, value: str, count: int) -> None:
    known = counters.setdefault(name, Counter())
    known[value if value in known or len(known) < _MOST_VALUES else _OTHERS] += count


def _parsed(settings: str | None) -> dict[str, object]:
    """Return the settings of a pair; none where somebody else has written into the column."""
    try:
        found = json.loads(settings or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _sum(piece: Piece, name: str) -> float:
    return pc.sum(piece.rows[name]).as_py() or 0.0


def card(facts: CardFacts) -> str:
    """Return the text of a dataset card: the same for the same pairs."""
    sections = [_about(facts), _licences(facts), _figures(facts), _made(facts)]
    return f"---\n{_front_matter(facts)}---\n\n" + "\n".join(sections)


def _front_matter(facts: CardFacts) -> str:
    size = next((word for most, word in _SIZES.items() if facts.pairs < most), "n>1M")
    told = {
        "pretty_name": "Audio style transfer",
        "license": "other" if facts.licences() else "unknown",
        "task_categories": ["audio-to-audio"],
        "tags": ["audio", "style-transfer", "timbreflow"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
    }
    return yaml.safe_dump(told, sort_keys=False)


def _about(facts: CardFacts) -> str:
    rates = _listed(facts.values.get("sample_rate", Counter()), " Hz")
    channels = _listed(facts.values.get("n_channels", Counter()), "")
    return (
        "# Audio style transfer\n\n"
        f"{facts.pairs} pairs, {facts.seconds:.1f} s together. "
        "Each is a content sound in the voice of a style sound.\n\n"
        f"- Sampling rates: {rates}.\n- Channels: {channels}.\n"
        "- `audio` holds the result as it was computed, byte by byte. `content` and `style` name the sounds that it\n"
        "  was made of. Losses, figures and the columns of the manifest stand beside them.\n"
    )


def _licences(facts: CardFacts) -> str:
    text = "## Licences\n\nA result is made of two sounds, and the licences of both hold for it.\n"
    if not facts.licences():
        return (
            text + "The manifest had no column `content_licence` or `style_licence`: look them up before you publish.\n"
        )
    for name in facts.licences():
        text += f"\n| `{name}` | pairs |\n| --- | --- |\n{_rows(facts.values[name])}"
    return text


def _figures(facts: CardFacts) -> str:
    rows = "".join(f"| `{name}` | {mean:.3f} | {_cell(meaning)} |\n" for name, meaning, mean in facts.means())
    return f"## Means of the figures\n\n| column | mean | meaning |\n| --- | --- | --- |\n{rows}"


def _made(facts: CardFacts) -> str:
    told = {name: facts.values.get(name, Counter()) for name in ("version", "core_version", "weights_digest")}
    lines = [f"- `{name}`: {_listed(found, '')}\n" for name, found in told.items()]
    rows = "".join(f"| `{name}` | {_listed(found, '')} |\n" for name, found in facts.settings.items())
    return (
        "## How it was made\n\nBy timbreflow: the log-spectrogram of each result was optimised after Verma & Smith,\n"
        "*Neural style transfer for audio spectograms* (2018). Behind each value stands how many pairs have it.\n\n"
        + "".join(lines)
        + f"\n| setting | values |\n| --- | --- |\n{rows}"
    )


def _first(found: Counter[str]) -> list[tuple[str, int]]:
    """Return the most frequent values with their counts, and how many pairs have others."""
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    others = sum(count for _, count in ordered[_MOST_SHOWN:])
    return [*ordered[:_MOST_SHOWN], *([(_OTHERS, others)] if others else [])]


def _listed(found: Counter[str], unit: str) -> str:
    if len(found) > _MOST_SHOWN:
        return f"more than {_MOST_SHOWN} different ones ({found.total()})"
    return ", ".join(f"{_cell(value)}{unit} ({count})" for value, count in _first(found)) or _NOT_KNOWN


def _rows(found: Counter[str]) -> str:
    return "".join(f"| {_cell(value)} | {count} |\n" for value, count in _first(found))


def _cell(text: str) -> str:
    """Return a text that stays in its cell, and is no markup."""
    plain = " ".join(text.split())
    return "".join(f"\\{one}" if one in "\\|`*_<>[]#" else one for one in plain)
