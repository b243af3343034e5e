"""L_e: how far the energy over time is from the reference's (Verma & Smith 2018, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stylecore.terms.term import Batch, Kept, SpectrogramTerm, TargetSound, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from stylecore.envelopes import Scale


OWN_SHARE = 0.5
"""Of the content's own envelopes, where the style is laid along it. With all of them results keep more of the rhythm
and have less of the style's strokes (docs/experiments.md, *Halfway*)."""


class Temporal(SpectrogramTerm):
    """Mean square of the difference of temporal envelopes over an item's own frames, of the whole and by band."""

    place = 3
    name = "temporal"
    meaning = "loss of the temporal energy envelope"
    weight = Weight(
        "gamma",
        200.0,
        0.03,
        "weight of the temporal energy-envelope loss L_e: more holds rhythm and dynamics; with notes = content a "
        "quarter of it",
    )
    share_laid_out = 0.25  # what is laid out has its rhythm already; more of it takes attacks away

    def of_content(self, sound: TargetSound) -> Kept:
        """Return the envelope of the whole, `[1, T]`, and of its bands, `[K, T]`.

        Of a style laid along a content it is halfway to the content's own: its strokes, at the content's instants.
        """
        found = _envelopes(sound.log_spectrogram, sound)
        if sound.content is None:
            return found
        own = _envelopes(sound.content, sound)
        return {name: (1 - OWN_SHARE) * found[name] + OWN_SHARE * own[name] for name in found}

    of_style = of_content

    def between(self, one: Kept, other: Kept, share: float) -> Kept:
        """Return the mixed envelopes, as long as the one's: the other's are stretched."""
        fitted = {name: _fitted(envelope, one[name].shape[-1]) for name, envelope in other.items()}
        return super().between(one, fitted, share)

    def distance(self, contents: Sequence[Kept], styles: Sequence[Kept], batch: Batch) -> Callable[[Tensor], Tensor]:
        """Return the distance from the content's envelopes, or from the style's stretched to the content's length."""
        from stylecore.encoded import padded
        from stylecore.envelopes import rhythm_envelopes, temporal_envelope

        settings, lengths = batch.settings, batch.frames.tolist()
        references = contents if settings.temporal_reference == "content" else styles
        wanted = padded([_fitted(r["temporal"], n) for r, n in zip(references, lengths, strict=True)])
        by_band = padded([_fitted(r["rhythm"], n) for r, n in zip(references, lengths, strict=True)])

        def distance(log_spectrogram: Tensor) -> Tensor:
            envelope = temporal_envelope(log_spectrogram, settings.envelopes)
            if batch.mask is not None:
                envelope = envelope * batch.mask
            whole = _distance(envelope, wanted, batch.frames, settings.envelopes)
            if settings.temporal_bands == 0:
                return whole
            bands = settings.in_whole_band(settings.temporal_bands)
            rhythm = rhythm_envelopes(log_spectrogram, batch.mask, bands, batch.reach)
            return whole + _distance(rhythm, by_band, batch.frames, "log")

        return distance


def _envelopes(log_spectrogram: Tensor, sound: TargetSound) -> dict[str, Tensor]:
    from stylecore.envelopes import rhythm_envelopes, temporal_envelope

    whole, settings = log_spectrogram[None], sound.settings
    return {
        "temporal": temporal_envelope(whole, settings.envelopes)[0],
        "rhythm": rhythm_envelopes(whole, None, settings.in_whole_band(settings.temporal_bands), sound.reach)[0],
    }


def _distance(estimate: Tensor, reference: Tensor, lengths: Tensor, scale: Scale) -> Tensor:
    from stylecore.encoded import relative_distance

    if scale == "energy":
        return relative_distance(estimate, reference)
    return (estimate - reference).square().sum((1, 2)) / (lengths * estimate.shape[1])


def _fitted(envelope: Tensor, n_frames: int) -> Tensor:
    """Return an envelope `[K, T]` as long as the result; only a style's (the paper's reference) has to be stretched."""
    from stylecore.envelopes import resampled

    if envelope.shape[-1] == n_frames:
        return envelope
    return resampled(envelope[None], n_frames)[0] if len(envelope) else envelope.new_zeros(0, n_frames)


TERM = Temporal()
