"""The weights of the network that a run asks for."""

from __future__ import annotations

from manifests.files import Files, absolute
from stylecore.errors import WeightsError
from stylecore.weights import Weights, shipped, weights_in


def read_weights(written: str | None, files: Files) -> Weights:
    """Read weights from a path or an s3:// URI; None means the shipped ones.

    Raises
    ------
    WeightsError
        If there is no such file, or it holds no weights of this architecture.
    """
    if written is None:
        return shipped()
    uri = absolute(written)
    try:
        data = files.read(uri)
    except FileNotFoundError as error:
        raise WeightsError(f"weights {uri}: no such file; `timbreflow pretrain` makes one") from error
    except IsADirectoryError as error:
        raise WeightsError(f"weights {uri}: is a folder; name the .safetensors file in it") from error
    return weights_in(data, uri)
