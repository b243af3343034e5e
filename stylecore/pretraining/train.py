"""Train the network to tell 80 instruments apart: cross-entropy and Adam (Verma & Smith 2018, section 3).

What is kept is not the last step's network but the moving average of all (Polyak averaging): the same instruments, with
less of the last crops' accidents.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from stylecore.errors import StylecoreError
from stylecore.network import CLASSES, AlexNet3x3, weights_digest
from stylecore.pretraining.augment import augmented_log_spectrograms, plain_log_spectrograms
from stylecore.pretraining.notes import SAMPLE_RATE, Notes

BATCH = 32
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 200
WEIGHT_DECAY = 1e-4
LABEL_SMOOTHING = 0.1
CLIP_NORM = 5.0
AVERAGE_DECAY = 0.998
CHECKPOINT_EVERY = 250


class CheckpointError(StylecoreError):
    """A checkpoint belongs to a run with another seed, number of steps, start or set of notes."""


@dataclass(frozen=True)
class Progress:
    """Where a training run stands: `step` of `steps`, mean loss and accuracy since the last report."""

    step: int
    steps: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class TrainingBatch:
    """Notes `[B, N]`, for each another note of the same program (`companions` `[B, N]`), and the `programs` `[B]`."""

    notes: Tensor
    companions: Tensor
    programs: Tensor


class Pool:
    """The notes of several soundfonts whose pitches are not held out, to draw batches from; nothing is copied."""

    def __init__(self, soundfonts: Sequence[Notes]) -> None:
        kept = [torch.from_numpy((~notes.held_out).nonzero()[0]) for notes in soundfonts]
        programs = [torch.from_numpy(notes.programs)[keep] for notes, keep in zip(soundfonts, kept, strict=True)]
        self.samples = [torch.from_numpy(notes.samples) for notes in soundfonts]
        self.soundfont = torch.cat([torch.full_like(keep, number) for number, keep in enumerate(kept)])
        self.place = torch.cat(kept)
        self.programs = torch.cat(programs)
        self.by_program = torch.argsort(self.programs, stable=True)
        self.count = torch.bincount(self.programs, minlength=CLASSES)

    def __len__(self) -> int:
        return len(self.programs)

    def draw(self, generator: torch.Generator) -> TrainingBatch:
        """Draw 32 notes, all equally likely, and companions."""
        chosen = torch.randint(len(self), (BATCH,), generator=generator)
        programs = self.programs[chosen]
        first = self.count.cumsum(0) - self.count
        nth = (torch.rand(BATCH, generator=generator) * self.count[programs]).long()
        companions = self.by_program[first[programs] + nth]
        return TrainingBatch(self.notes(chosen), self.notes(companions), programs)

    def notes(self, chosen: Tensor) -> Tensor:
        """Return the samples `[B, N]` of notes by number."""
        where = zip(self.soundfont[chosen].tolist(), self.place[chosen].tolist(), strict=True)
        return torch.stack([self.samples[soundfont][place] for soundfont, place in where]).float()


@dataclass
class Training:
    """What changes from step to step: the network, the average that is kept, Adam's moments, how far it is."""

    network: AlexNet3x3
    average: AlexNet3x3
    optimiser: torch.optim.Optimizer
    step: int = 0


def train(
    soundfonts: Sequence[Notes],
    steps: int,
    seed: int,
    start: AlexNet3x3 | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_checkpoint: Callable[[int, AlexNet3x3], None] = lambda _step, _average: None,
) -> AlexNet3x3:
    """Train on the notes whose pitches are not held out.

    Parameters
    ----------
    soundfonts : sequence of Notes
        Rendered notes of each soundfont; those of held-out pitches are left aside here.
    steps, seed : int
        Steps of 32 crops; seed of the weights and of every draw.
    start : AlexNet3x3, optional
        A trained network to go on from; without it, random weights.
    checkpoint : Path, optional
        Written every 250 steps and read first, so that a run that was killed goes on where it was. One of another
        seed, number of steps, start or set of notes is refused.
    on_progress, on_checkpoint : callable
        Told every 50 steps how it goes, and every 250 the step and the average so far.

    Returns
    -------
    AlexNet3x3
        The moving average of the trained network, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the checkpoint belongs to another run.
    """
    pool = Pool(soundfonts)
    origin = None if start is None else weights_digest(start)
    run = {"seed": seed, "steps": steps, "notes": len(pool), "start": origin}
    training = _begun(pool, seed, start)
    if checkpoint is not None and checkpoint.is_file():
        _resume(checkpoint, run, training)
    training.network.train()
    losses, hits = 0.0, 0.0
    while training.step < steps:
        loss, accuracy = _advance(training, pool, steps, seed)
        losses, hits = losses + loss, hits + accuracy
        if training.step % 50 == 0:
            on_progress(Progress(training.step, steps, losses / 50, hits / 50))
            losses, hits = 0.0, 0.0
        if training.step % CHECKPOINT_EVERY == 0:
            if checkpoint is not None:
                _save(checkpoint, run, training)
            on_checkpoint(training.step, training.average)
    return training.average.eval()


def _begun(pool: Pool, seed: int, start: AlexNet3x3 | None) -> Training:
    torch.manual_seed(seed)
    network = AlexNet3x3()
    if start is None:
        _standardise_input(network, pool)
    else:
        network.load_state_dict(start.state_dict())
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    return Training(network, copy.deepcopy(network).eval().requires_grad_(False), optimiser)


def _standardise_input(network: AlexNet3x3, pool: Pool) -> None:
    every = max(1, len(pool) // 512)
    log_spectrograms = plain_log_spectrograms(pool.notes(torch.arange(0, len(pool), every)), SAMPLE_RATE)
    network.input_mean.copy_(log_spectrograms.mean())
    network.input_scale.copy_(1.0 / log_spectrograms.std())


def _advance(training: Training, pool: Pool, steps: int, seed: int) -> tuple[float, float]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + training.step)  # a resumed run draws the same
    batch = pool.draw(generator)
    log_spectrograms = augmented_log_spectrograms(batch.notes, batch.companions, SAMPLE_RATE, generator)
    for group in training.optimiser.param_groups:
        group["lr"] = LEARNING_RATE * _rate(training.step, steps)
    told = _step(training.network, training.optimiser, log_spectrograms, batch.programs)
    training.step += 1
    _average(training)
    return told


def _rate(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _step(
    network: AlexNet3x3, optimiser: torch.optim.Optimizer, log_spectrograms: Tensor, programs: Tensor
) -> tuple[float, float]:
    optimiser.zero_grad(set_to_none=True)
    # bfloat16 where the processor has it natively: half the time, the same accuracy.
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.backends.mkldnn.is_available()):
        scores = network(log_spectrograms).float()
    loss = torch.nn.functional.cross_entropy(scores, programs, label_smoothing=LABEL_SMOOTHING)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
    optimiser.step()
    return float(loss.detach()), float((scores.argmax(1) == programs).float().mean())


def _average(training: Training) -> None:
    """Move the average: `a <- d a + (1 - d) w` with `d` growing to 0.998, running statistics of batch norm included."""
    decay = min(AVERAGE_DECAY, training.step / (training.step + 10))
    network = training.network.state_dict()
    for name, average in training.average.state_dict().items():
        if average.is_floating_point():
            average.lerp_(network[name], 1.0 - decay)
        else:
            average.copy_(network[name])


def _save(path: Path, run: dict[str, int | str | None], training: Training) -> None:
    """Write the state as tensors, and its numbers as JSON in the header; a kill leaves the old file or the new one."""
    moments = training.optimiser.state_dict()["state"]
    tensors = {f"network.{name}": tensor for name, tensor in training.network.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in training.average.state_dict().items()}
    tensors |= {f"optimiser.{n}.{name}": tensor for n, state in moments.items() for name, tensor in state.items()}
    tensors |= {"random": torch.get_rng_state()}
    partial = path.with_suffix(".partial")
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial, metadata={"run": json.dumps(run), "step": str(training.step)})
    partial.replace(path)


def _resume(path: Path, run: dict[str, int | str | None], training: Training) -> None:
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    found = json.loads(header.get("run", "null"))
    if found != run:
        raise CheckpointError(f"{path} belongs to another run ({found}, not {run}): delete it, or name another folder")
    training.network.load_state_dict(_within(tensors, "network."))
    training.average.load_state_dict(_within(tensors, "average."))
    optimiser = training.optimiser.state_dict()
    numbers = range(len(list(training.network.parameters())))
    optimiser["state"] = {n: _within(tensors, f"optimiser.{n}.") for n in numbers}
    training.optimiser.load_state_dict(optimiser)
    torch.set_rng_state(tensors["random"])
    training.step = int(header["step"])


def _within(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
