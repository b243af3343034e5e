"""L_t: how far the energy over frequency is from the style's (Verma & Smith 2018, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stylecore.terms.term import Batch, Kept, SpectrogramTerm, TargetSound, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from stylecore.settings import Settings


class Spectral(SpectrogramTerm):
    """Mean square of the difference of spectral envelopes, at each resolution; frames count by their loudness."""

    place = 4
    name = "spectral"
    meaning = "loss of the spectral energy envelope"
    weight = Weight("delta", 100.0, 10.0, "weight of the spectral energy-envelope loss L_t")
    draws_to_style = True

    def of_content(self, sound: TargetSound) -> Kept:
        """Return how much each frame counts, `[1, T]`."""
        from stylecore.envelopes import frame_weights

        return {"frame_weights": frame_weights(sound.log_spectrogram[None], sound.settings.envelopes)[0]}

    def of_style(self, sound: TargetSound) -> Kept:
        """Return the envelope, one vector per resolution."""
        from stylecore.envelopes import frame_weights, spectral_envelope

        whole, settings = sound.log_spectrogram[None], sound.settings
        weights = frame_weights(whole, settings.envelopes)
        found = spectral_envelope(whole, weights, settings.envelopes, *_bands(settings))
        return {"spectral": tuple(envelope[0] for envelope in found)}

    def distance(self, contents: Sequence[Kept], styles: Sequence[Kept], batch: Batch) -> Callable[[Tensor], Tensor]:
        """Return the distance from the styles' envelopes."""
        import torch

        from stylecore.encoded import padded, relative_distance
        from stylecore.envelopes import spectral_envelope

        settings = batch.settings
        wanted = [torch.stack(envelopes) for envelopes in zip(*(s["spectral"] for s in styles), strict=True)]
        weights = padded([content["frame_weights"] for content in contents])

        def distance(log_spectrogram: Tensor) -> Tensor:
            found = spectral_envelope(log_spectrogram, weights, settings.envelopes, *_bands(settings))
            if settings.envelopes == "energy":
                return relative_distance(found[0], wanted[0])
            distances = [(a - b).square().mean(1) for a, b in zip(found, wanted, strict=True) if b.shape[1]]
            # Levels are of energies, twice as many nepers as the log-spectrogram's of amplitudes.
            return distances[0] + sum(distances[1:]) / 4

        return distance


def _bands(settings: Settings) -> tuple[int, int]:
    from stylecore.envelopes import BROAD_BANDS

    return settings.in_whole_band(settings.spectral_bands), settings.in_whole_band(BROAD_BANDS)


TERM = Spectral()
