"""L_f: how far the change from frame to frame is from the content's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stylecore.terms.term import Batch, Kept, SpectrogramTerm, TargetSound, Weight

if TYPE_CHECKING:
    from torch import Tensor


class Flux(SpectrogramTerm):
    """Mean square of the difference of `|x_t - x_(t-1)|`, averaged over frequency."""

    place = 5
    name = "flux"
    meaning = "loss of the spectral flux"
    weight = Weight("epsilon", 0.0, 0.0, "weight of the spectral-flux loss L_f: more holds where sounds change")

    def of_content(self, sound: TargetSound) -> Kept:
        """Return the flux, `[1, T - 1]`."""
        return {"flux": _flux(sound.picture[None])[0]}

    def distance(self, contents: Sequence[Kept], styles: Sequence[Kept], batch: Batch) -> Callable[[Tensor], Tensor]:
        """Return the distance from the contents' flux."""
        from stylecore.encoded import padded

        wanted = padded([content["flux"] for content in contents])
        return lambda picture: (_flux(picture) - wanted).square().mean((1, 2))


def _flux(picture: Tensor) -> Tensor:
    return picture.diff(dim=2).abs().mean(1, keepdim=True)


TERM = Flux()
