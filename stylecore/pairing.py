"""From two analysed sounds to what equation 1 compares with: whose notes, how far, and the encodings of both."""

from __future__ import annotations

from collections.abc import Sequence

from stylecore.alignment import blended, lay_along, towards
from stylecore.analysis import Analysis
from stylecore.encoder import Encoder
from stylecore.losses import encode_content, encode_style, mean_target
from stylecore.settings import Settings
from stylecore.spectrogram import Polar
from stylecore.synthesis import Pair

Blend = Sequence[tuple[float, Analysis]]
"""Several styles, each with its share; shares add up to 1."""


def paired(content: Analysis, style: Analysis | Blend, n_samples: int, encoder: Encoder, settings: Settings) -> Pair:
    """Return one pair, ready for the device.

    Each style of a blend is laid along the content by itself, and equation 1 compares with the weighted mean of their
    log-spectrograms. With the style's notes nothing is laid out: it compares with the weighted mean of what the terms
    keep of each style.

    Parameters
    ----------
    content : Analysis
        On the encoder's device.
    style : Analysis or Blend
        On the same device.
    n_samples : int
        Length of the content.
    encoder : Encoder
        Frozen filters.
    settings : Settings
        The pair's own.
    """
    styles = [(1.0, style)] if isinstance(style, Analysis) else style
    target = Polar(content.log_spectrogram, content.phase(settings.analysis_rate))
    if settings.notes == "style":
        heard, own = [(share, style.log_spectrogram) for share, style in styles], None
    else:
        laid = blended([(share, lay_along(content, style, settings.analysis_rate)) for share, style in styles])
        target = towards(target, laid, settings.strength)
        heard, own = [(1.0, target.log_spectrogram)], content.log_spectrogram
    return Pair(
        content=encode_content(encoder, target.log_spectrogram, settings, own),
        style=mean_target([(share, encode_style(encoder, spectrum, settings)) for share, spectrum in heard]),
        n_samples=n_samples,
        settings=settings,
        start=target if settings.start == "target" else None,
    )
