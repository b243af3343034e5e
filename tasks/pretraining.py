"""`timbreflow pretrain` from end to end: render, train, measure, export with a model card."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from stylecore.network import ARCHITECTURE, Encoder, save_network, weights_digest
from stylecore.pretraining.augment import CROP_FRAMES
from stylecore.pretraining.evaluate import Accuracy, evaluate
from stylecore.pretraining.notes import FAMILIES, HELD_OUT_EVERY, render_notes
from stylecore.pretraining.train import BATCH, Progress, train

UNSEEN_NOTES_PER_PROGRAM = 25
WEIGHTS = "instruments80.safetensors"
CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class Pretraining:
    """What `timbreflow pretrain` is asked for; see its options."""

    soundfont: str
    unseen_soundfont: str
    out: str
    notes: int
    steps: int
    seed: int


def pretrain_network(asked: Pretraining, say: Callable[[str], None]) -> str:
    """Render, train, measure and export.

    Parameters
    ----------
    asked : Pretraining
        Soundfonts, folder, amounts and seed.
    say : callable
        Told in words how far it is.

    Returns
    -------
    str
        The model card, as written beside the weights.

    Raises
    ------
    DependencyError
        If fluidsynth or a soundfont is missing; it names the package.
    """
    folder = Path(asked.out)
    folder.mkdir(parents=True, exist_ok=True)
    say(f"rendering {80 * asked.notes} notes from {asked.soundfont}")
    unseen = render_notes(Path(asked.unseen_soundfont), UNSEEN_NOTES_PER_PROGRAM, asked.seed + 1)
    notes = render_notes(Path(asked.soundfont), asked.notes, asked.seed)
    began = time.perf_counter()

    def report(progress: Progress) -> None:
        left_s = (time.perf_counter() - began) / max(1, progress.step) * (progress.steps - progress.step)
        say(
            f"step {progress.step} of {progress.steps}: loss {progress.loss:.3f}, "
            f"accuracy {progress.accuracy:.3f}, at most {left_s / 60:.0f} min left"
        )

    network = train(notes, asked.steps, asked.seed, folder / "checkpoint.pt", report)
    held_out = evaluate(network, notes.where(notes.held_out))
    elsewhere = evaluate(network, unseen)
    card = model_card(asked, len(notes.programs), held_out, elsewhere, weights_digest(Encoder(network)))
    provenance = {"soundfont": Path(asked.soundfont).name, "steps": str(asked.steps), "seed": str(asked.seed)}
    save_network(network, folder / WEIGHTS, provenance)
    (folder / CARD).write_text(card)
    return card


def model_card(asked: Pretraining, notes: int, held_out: Accuracy, elsewhere: Accuracy, digest: str) -> str:
    """Return the model card in Markdown: where the network comes from and how well it hears, as measured."""
    rows = [
        ("pitches held out as a whole", asked.soundfont, held_out),
        ("unseen soundfont", asked.unseen_soundfont, elsewhere),
    ]
    accuracies = [
        f"| {name} | {Path(font).name} | {found.notes} | {found.top_1:.3f} | {found.family:.3f} |"
        for name, font, found in rows
    ]
    confusion = [
        f"| {family} | {' | '.join(str(count) for count in counts)} |"
        for family, counts in zip(FAMILIES, elsewhere.confusion, strict=True)
    ]
    lines = [
        "# The network: 80 instruments by ear",
        "",
        f"- Architecture: `{ARCHITECTURE}`, five 3 x 3 convolutions with batch norm (stylecore/network.py).",
        "- Task: name the General MIDI program (0 to 79) of a single note from its log-magnitude spectrogram.",
        f"- Data: {notes} notes rendered by fluidsynth from {Path(asked.soundfont).name}, {asked.notes} drawn per "
        "program, without reverb and chorus. FluidR3_GM (Frank Wen) is under the MIT licence.",
        f"- Held out: every MIDI pitch p with p mod {HELD_OUT_EVERY} = 2, all its velocities and lengths.",
        f"- Training: cross-entropy with label smoothing, Adam with decoupled weight decay, {asked.steps} steps of "
        f"{BATCH} crops of {CROP_FRAMES} frames, augmented (stylecore/pretraining/augment.py), seed {asked.seed}, "
        f"torch {torch.__version__}.",
        "- Licence of the weights: MIT, as the project.",
        f"- Digest: `{digest}`",
        f"- Made by: `timbreflow pretrain --notes {asked.notes} --steps {asked.steps} --seed {asked.seed}`",
        "",
        "## Accuracy, programs 0 to 79",
        "",
        "| notes of | soundfont | notes | top-1 | family |",
        "| --- | --- | ---: | ---: | ---: |",
        *accuracies,
        "",
        "The unseen soundfont was used for this measurement alone, not for any choice.",
        "",
        f"## Confusion by family, {Path(asked.unseen_soundfont).name}",
        "",
        "Rows: what was played; columns: what was heard.",
        "",
        f"| | {' | '.join(FAMILIES)} |",
        f"| --- |{' ---: |' * len(FAMILIES)}",
        *confusion,
    ]
    return "\n".join(lines) + "\n"
