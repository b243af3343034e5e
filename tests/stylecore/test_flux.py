"""The term of the spectral flux."""

from __future__ import annotations

import torch

from stylecore.folded_alexnet import FoldedAlexNet
from stylecore.losses import Objective, encode_content, encode_style
from stylecore.settings import Settings


def test_flux_is_none_at_the_content_and_some_beside_it(encoder: FoldedAlexNet) -> None:
    content = torch.rand(257, 20, generator=torch.Generator().manual_seed(0)) * 3
    settings = Settings(epsilon=1.0)  # type: ignore[call-arg]
    targets = [encode_content(encoder, content, settings)], [encode_style(encoder, content, settings)]
    objective = Objective(encoder, *targets, settings)
    assert objective(content[None])["flux"].item() == 0.0 < objective(content.flip(1)[None] * 2)["flux"].item()
