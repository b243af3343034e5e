"""`timbreflow pretrain` from end to end: render, train, measure, export with a model card."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from stylecore.network import AlexNet3x3, load_network, save_network, weights_digest
from stylecore.pretraining.evaluate import evaluate
from stylecore.pretraining.model_card import MeasuredAccuracy, Pretraining, Source, model_card
from stylecore.pretraining.notes import Notes, render_notes
from stylecore.pretraining.soundfonts import read_soundfont, shared_programs
from stylecore.pretraining.train import Progress, train

TESTED_NOTES_PER_PROGRAM = 25
SEEDS_APART = 100
MEASURED_EVERY = 500
WEIGHTS = "instruments80.safetensors"
CARD = "MODEL_CARD.md"


def pretrain_network(asked: Pretraining, say: Callable[[str], None]) -> str:
    """Render, train, measure and export.

    Parameters
    ----------
    asked : Pretraining
        Soundfonts, weights to start from, folder, amounts and seed.
    say : callable
        Told in words how far it is.

    Returns
    -------
    str
        The model card, as written beside the weights.

    Raises
    ------
    DependencyError
        If fluidsynth, timidity or a soundfont is missing; it names the package.
    WeightsError
        If the weights to start from cannot be read.
    """
    folder = Path(asked.out)
    folder.mkdir(parents=True, exist_ok=True)
    start = None if asked.start is None else load_network(Path(asked.start))
    unseen = render_notes(Path(asked.unseen_soundfont), TESTED_NOTES_PER_PROGRAM, asked.seed + 1)
    selection = None
    if asked.selection is not None:
        selection = render_notes(Path(asked.selection), TESTED_NOTES_PER_PROGRAM, asked.seed + 2)
    sources = [_rendered(asked, number, say) for number in range(len(asked.soundfonts))]
    network = _trained(asked, sources, start, selection, say)
    measured = [
        MeasuredAccuracy("pitches held out as a whole", s.path.name, evaluate(network, s.notes.where(s.notes.held_out)))
        for s in sources
    ]
    if selection is not None and asked.selection is not None:
        measured.append(MeasuredAccuracy("selection", Path(asked.selection).name, evaluate(network, selection)))
    measured.append(MeasuredAccuracy("unseen soundfont", Path(asked.unseen_soundfont).name, evaluate(network, unseen)))
    card = model_card(asked, sources, measured, weights_digest(network))
    names = ", ".join(source.path.name for source in sources)
    save_network(network, folder / WEIGHTS, {"soundfonts": names, "steps": str(asked.steps), "seed": str(asked.seed)})
    (folder / CARD).write_text(card)
    return card


def _rendered(asked: Pretraining, number: int, say: Callable[[str], None]) -> Source:
    path = Path(asked.soundfonts[number])
    shared = _shared_with_unseen(path, Path(asked.unseen_soundfont))
    say(f"rendering {asked.notes} notes per instrument from {path.name}, without {len(shared)} of 80 instruments")
    return Source(path, render_notes(path, asked.notes, asked.seed + SEEDS_APART * number, shared), shared)


def _shared_with_unseen(path: Path, unseen: Path) -> tuple[int, ...]:
    if not path.is_file() or path.samefile(unseen):
        return ()  # what is missing is named when it is rendered; one soundfont for both is asked for on purpose
    shared = shared_programs(read_soundfont(path), read_soundfont(unseen))
    return tuple(sorted(program for program in shared if program < 80))


def _trained(
    asked: Pretraining,
    sources: list[Source],
    start: AlexNet3x3 | None,
    selection: Notes | None,
    say: Callable[[str], None],
) -> AlexNet3x3:
    began = time.perf_counter()

    def report(progress: Progress) -> None:
        left_s = (time.perf_counter() - began) / max(1, progress.step) * (progress.steps - progress.step)
        say(
            f"step {progress.step} of {progress.steps}: loss {progress.loss:.3f}, "
            f"accuracy {progress.accuracy:.3f}, at most {left_s / 60:.0f} min left"
        )

    def measure(step: int, average: AlexNet3x3) -> None:
        if selection is not None and step % MEASURED_EVERY == 0:
            found = evaluate(average, selection)
            say(f"step {step}: selection top-1 {found.top_1:.3f}, family {found.family:.3f}")

    checkpoint = Path(asked.out) / "checkpoint.safetensors"
    notes = [source.notes for source in sources]
    return train(notes, asked.steps, asked.seed, start, checkpoint, report, measure)
