"""From two analysed sounds to what equation 1 compares with: whose notes, how far, and the encodings of both."""

from __future__ import annotations

from stylecore.alignment import lay_along, towards
from stylecore.analysis import Analysis
from stylecore.encoder import Encoder
from stylecore.losses import encode_content, encode_style
from stylecore.settings import Settings
from stylecore.spectrogram import Polar
from stylecore.synthesis import Pair


def paired(content: Analysis, style: Analysis, n_samples: int, encoder: Encoder, settings: Settings) -> Pair:
    """Return one pair, ready for the device.

    Parameters
    ----------
    content, style : Analysis
        On the encoder's device.
    n_samples : int
        Length of the content.
    encoder : Encoder
        Frozen filters.
    settings : Settings
        The pair's own.
    """
    target = Polar(content.log_spectrogram, content.phase(settings.analysis_rate))
    if settings.notes == "style":
        heard, own = style.log_spectrogram, None
    else:
        target = towards(target, lay_along(content, style, settings.analysis_rate), settings.strength)
        heard, own = target.log_spectrogram, content.log_spectrogram
    return Pair(
        content=encode_content(encoder, target.log_spectrogram, settings, own),
        style=encode_style(encoder, heard, settings),
        n_samples=n_samples,
        settings=settings,
        start=target if settings.start == "target" else None,
    )
