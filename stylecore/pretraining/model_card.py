"""The model card: what a network was trained on, how, and how well it hears, as measured."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import torch

from stylecore.network import ARCHITECTURE, load_network, weights_digest
from stylecore.pretraining.augment import CROP_FRAMES
from stylecore.pretraining.evaluate import Accuracy
from stylecore.pretraining.notes import FAMILIES, HELD_OUT_EVERY, Notes
from stylecore.pretraining.train import AVERAGE_DECAY, BATCH

LICENCES = {
    "FluidR3_GM.sf2": "MIT, Frank Wen",
    "MuseScore_General_Full.sf2": "MIT, parts CC0 and public domain, S. Christian Collins; made from FluidR3",
    "GeneralUser-v1.47.sf2": "GeneralUser GS licence 2.0 (free for any use), S. Christian Collins",
    "OPL-3_FM_128M.sf2": "CC BY-SA 4.0, Zandro Reveille",
    "TimGM6mb.sf2": "GPL 2, Tim Brechbill and David Bolton",
    "freepats.cfg": "GPL 2 or later with an exception for compositions, freepats.opensrc.org",
}
"""Of the soundfonts used by default, as their Debian packages state them."""


@dataclass(frozen=True)
class Pretraining:
    """What `timbreflow pretrain` is asked for; see its options."""

    soundfonts: tuple[str, ...]
    unseen_soundfont: str
    selection: str | None
    start: str | None
    out: str
    notes: int
    steps: int
    seed: int


@dataclass(frozen=True)
class Source:
    """A training soundfont: its notes, and the programs left out because the unseen soundfont has their recordings."""

    path: Path
    notes: Notes
    left_out: tuple[int, ...]


@dataclass(frozen=True)
class MeasuredAccuracy:
    """An accuracy, with what it was measured on."""

    name: str
    source: str
    found: Accuracy


def model_card(asked: Pretraining, sources: list[Source], measured: list[MeasuredAccuracy], digest: str) -> str:
    """Return the model card in Markdown: where the network comes from and how well it hears, as measured."""
    unseen = Path(asked.unseen_soundfont).name
    lines = [
        "# The network: 80 instruments by ear",
        "",
        f"- Architecture: `{ARCHITECTURE}`, five 3 x 3 convolutions with batch norm (stylecore/network.py).",
        "- Task: name the General MIDI program (0 to 79) of a single note from its log-magnitude spectrogram.",
        f"- Data: {sum(len(source.notes.programs) for source in sources)} notes rendered by fluidsynth from "
        f"{len(sources)} soundfonts, {asked.notes} drawn per program of each, without reverb and chorus.",
        f"- Held out: every MIDI pitch p with p mod {HELD_OUT_EVERY} = 2, all its velocities and lengths.",
        f"- Start: {_start(asked.start)}.",
        f"- Training: cross-entropy with label smoothing, Adam with decoupled weight decay, {asked.steps} steps of "
        f"{BATCH} crops of {CROP_FRAMES} frames, augmented (stylecore/pretraining/augment.py); moving average of the "
        f"weights, decay {AVERAGE_DECAY}; seed {asked.seed}, torch {torch.__version__}.",
        "- Licence of the weights: MIT, as the project; those of the sounds are below.",
        f"- Digest: `{digest}`",
        f"- Made by: `{command(asked)}`",
        "",
        "## Soundfonts trained on",
        "",
        f"Left out: programs that play, here or in {unseen}, a recording which is in both, as loud or not "
        "(stylecore/pretraining/soundfonts.py; a copy that was resampled or filtered would not be found).",
        "",
        "| soundfont | notes | programs left out or absent | licence |",
        "| --- | ---: | --- | --- |",
        *(_source_row(source) for source in sources),
        "",
        "## Accuracy, programs 0 to 79",
        "",
        "| notes of | source | notes | top-1 | family |",
        "| --- | --- | ---: | ---: | ---: |",
        *(
            f"| {m.name} | {m.source} | {m.found.notes} | {m.found.top_1:.3f} | {m.found.family:.3f} |"
            for m in measured
        ),
        "",
        "The selection set, where there is one, chose between recipes (a soundfont may share a recording with it); the "
        "unseen soundfont was used for this measurement alone, not for any choice.",
        "",
        *_confusion(unseen, measured[-1].found),
    ]
    return "\n".join(lines) + "\n"


def command(asked: Pretraining) -> str:
    """Return the command line that asks for this."""
    words = ["timbreflow", "pretrain", *(word for path in asked.soundfonts for word in ("--soundfont", path))]
    words += ["--unseen-soundfont", asked.unseen_soundfont]
    for option, value in (("--selection", asked.selection), ("--start", asked.start)):
        words += [] if value is None else [option, value]
    return shlex.join([*words, "--notes", str(asked.notes), "--steps", str(asked.steps), "--seed", str(asked.seed)])


def _start(path: str | None) -> str:
    if path is None:
        return "random weights"
    return f"{Path(path).name}, digest of its filters `{weights_digest(load_network(Path(path)))}`"


def _source_row(source: Source) -> str:
    missing = sorted(set(range(80)) - set(source.notes.programs.tolist()))
    licence = LICENCES.get(source.path.name, "see its documentation")
    return (
        f"| {source.path.name} | {len(source.notes.programs)} | {', '.join(map(str, missing)) or 'none'} | {licence} |"
    )


def _confusion(name: str, found: Accuracy) -> list[str]:
    return [
        f"## Confusion by family, {name}",
        "",
        "Rows: what was played; columns: what was heard.",
        "",
        f"| | {' | '.join(FAMILIES)} |",
        f"| --- |{' ---: |' * len(FAMILIES)}",
        *(
            f"| {family} | {' | '.join(str(count) for count in counts)} |"
            for family, counts in zip(FAMILIES, found.confusion, strict=True)
        ),
    ]
