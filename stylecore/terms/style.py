"""L_s: how far Gram matrices of encodings are from the style's (Verma & Smith 2018, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stylecore.terms.term import Batch, EncodedTerm, Kept, TargetSound, Weight

if TYPE_CHECKING:
    from stylecore.encoded import EncodedLayer


class Style(EncodedTerm):
    """`|G - G_s|^2 / |G_s|^2` at each layer, `G` a Gram matrix per frequency band."""

    place = 2
    name = "style"
    meaning = "style loss"
    weight = Weight(
        "beta", 1000.0, 80.0, "weight of the style loss L_s (Gram matrices): more brings the style's texture"
    )
    draws_to_style = True

    def of_style(self, sound: TargetSound) -> Kept:
        """Return Gram matrices `[bands, C, C]` by layer."""
        from stylecore.encoded import gram

        settings = sound.settings
        layers, bands = settings.style_layers, settings.in_whole_band(settings.style_bands)
        encodings = sound.encodings(max(layers))
        return {"grams": {layer: gram(encodings[layer - 1][None], None, bands)[0] for layer in layers}}

    def layers(self, contents: Sequence[Kept], styles: Sequence[Kept], batch: Batch) -> dict[int, EncodedLayer]:
        """Return the distance at each layer; see `EncodedTerm`."""
        from stylecore.encoded import StyleLayer

        frames = batch.padded_frames
        return {
            layer: StyleLayer(
                [style["grams"][layer] for style in styles],
                None if frames is None else batch.encoder.own_columns(frames, layer),
            )
            for layer in batch.settings.style_layers
        }


TERM = Style()
