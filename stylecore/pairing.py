"""From two analysed sounds to what equation 1 compares with: whose notes, how far, and the encodings of both."""

from __future__ import annotations

from stylecore.alignment import lay_along, towards
from stylecore.analysis import Analysis
from stylecore.losses import encode_content, encode_style
from stylecore.network import Encoder
from stylecore.settings import Settings
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
    if settings.notes == "style":
        weights = {name: getattr(settings, name) * settings.strength for name in ("beta", "delta")}
        settings = settings.model_copy(update=weights)
        target, heard = content.picture, style.picture
    else:
        laid = lay_along(content, style, settings.sample_rate)
        target = heard = towards(content.picture, laid, settings.strength)
    return Pair(
        content=encode_content(encoder, target, settings, envelopes_of=content.picture),
        style=encode_style(encoder, heard, settings),
        n_samples=n_samples,
        settings=settings,
        target=target if settings.start == "target" else None,
    )
