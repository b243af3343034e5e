"""L_c: how far encodings are from the content's (Verma & Smith 2018, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stylecore.terms.term import Batch, EncodedTerm, Kept, TargetSound, Weight

if TYPE_CHECKING:
    from stylecore.encoded import EncodedLayer


class Content(EncodedTerm):
    """`sum w (x - y)^2 / sum w y^2` at each layer, with the salience `w` of the content's positions."""

    place = 1
    name = "content"
    meaning = "content loss"
    weight = Weight("alpha", 400.0, 1000.0, "weight of the content loss L_c: more holds the structure")

    def of_content(self, sound: TargetSound) -> Kept:
        """Return encodings `[C, F', T']` and saliences `[F', T']` by layer."""
        from stylecore.encoded import salience

        layers, settings = sound.settings.content_layers, sound.settings
        encodings = sound.encodings(max(layers))
        return {
            "encodings": {layer: encodings[layer - 1] for layer in layers},
            "saliences": {n: salience(sound.encoder, sound.log_spectrogram, n, settings.salience) for n in layers},
        }

    def layers(self, contents: Sequence[Kept], styles: Sequence[Kept], batch: Batch) -> dict[int, EncodedLayer]:
        """Return the distance at each layer; see `EncodedTerm`."""
        from stylecore.encoded import ContentLayer

        return {
            layer: ContentLayer([c["encodings"][layer] for c in contents], [c["saliences"][layer] for c in contents])
            for layer in batch.settings.content_layers
        }


TERM = Content()
