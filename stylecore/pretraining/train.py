"""Train the network to tell 80 instruments apart: cross-entropy and Adam (Verma & Smith 2018, section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylecore.errors import StylecoreError
from stylecore.network import AlexNet3x3
from stylecore.pretraining.augment import augmented_pictures, plain_pictures
from stylecore.pretraining.notes import SAMPLE_RATE, Notes

BATCH = 32
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 200
WEIGHT_DECAY = 1e-4
LABEL_SMOOTHING = 0.1
CLIP_NORM = 5.0
CHECKPOINT_EVERY = 250

Schedule = torch.optim.lr_scheduler.LRScheduler


class CheckpointError(StylecoreError):
    """A checkpoint belongs to a run with another seed, number of steps or set of notes."""


@dataclass(frozen=True)
class Progress:
    """Where a training run stands: `step` of `steps`, mean loss and accuracy since the last report."""

    step: int
    steps: int
    loss: float
    accuracy: float


def train(
    notes: Notes,
    steps: int,
    seed: int,
    checkpoint: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> AlexNet3x3:
    """Train on the notes whose pitches are not held out.

    Parameters
    ----------
    notes : Notes
        Rendered notes; those of held-out pitches are left aside here.
    steps, seed : int
        Steps of 32 crops; seed of the weights and of every draw.
    checkpoint : Path, optional
        Written every 250 steps and read first, so that a run that was killed goes on where it was. One of another
        seed, number of steps or set of notes is refused.
    on_progress : callable
        Told every 50 steps.

    Returns
    -------
    AlexNet3x3
        The trained network, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the checkpoint belongs to another run.
    """
    training = notes.where(~notes.held_out)
    samples = torch.from_numpy(training.samples)
    programs = torch.from_numpy(training.programs)
    torch.manual_seed(seed)
    network = AlexNet3x3().to(memory_format=torch.channels_last)
    _standardise_input(network, samples)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    run = {"seed": seed, "steps": steps, "notes": len(samples)}
    first = _resume(checkpoint, run, network, optimiser, schedule)
    network.train()
    losses, hits = 0.0, 0.0
    for step in range(first, steps):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)  # a resumed run draws what it would have
        chosen = torch.randint(len(samples), (BATCH,), generator=generator)
        pictures = augmented_pictures(samples[chosen].float(), SAMPLE_RATE, generator)
        loss, accuracy = _step(network, optimiser, pictures, programs[chosen])
        schedule.step()
        losses, hits = losses + loss, hits + accuracy
        if (step + 1) % 50 == 0:
            on_progress(Progress(step + 1, steps, losses / 50, hits / 50))
            losses, hits = 0.0, 0.0
        if checkpoint is not None and (step + 1) % CHECKPOINT_EVERY == 0:
            _save(checkpoint, run, network, optimiser, schedule, step + 1)
    return network.eval()


def _rate(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _standardise_input(network: AlexNet3x3, samples: Tensor) -> None:
    every = max(1, len(samples) // 512)
    pictures = plain_pictures(samples[::every].float(), SAMPLE_RATE)
    network.input_mean.copy_(pictures.mean())
    network.input_scale.copy_(1.0 / pictures.std())


def _step(
    network: AlexNet3x3, optimiser: torch.optim.Optimizer, pictures: Tensor, programs: Tensor
) -> tuple[float, float]:
    optimiser.zero_grad(set_to_none=True)
    # bfloat16 where the processor has it natively: half the time, the same accuracy.
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.backends.mkldnn.is_available()):
        scores = network(pictures).float()
    loss = torch.nn.functional.cross_entropy(scores, programs, label_smoothing=LABEL_SMOOTHING)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
    optimiser.step()
    return float(loss.detach()), float((scores.argmax(1) == programs).float().mean())


def _save(
    path: Path,
    run: dict[str, int],
    network: AlexNet3x3,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    step: int,
) -> None:
    state = {
        "run": run,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "random": torch.get_rng_state(),
        "step": step,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path | None,
    run: dict[str, int],
    network: AlexNet3x3,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
) -> int:
    if path is None or not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)  # tensors and numbers only: no pickled code is run
    if state["run"] != run:
        raise CheckpointError(
            f"{path} belongs to another run ({state['run']}, not {run}): delete it, or name another folder"
        )
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"])
    return int(state["step"])
