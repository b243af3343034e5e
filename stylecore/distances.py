"""What all transfers share: how far a result has come on the way from the content to the style."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def share_travelled(output: Array, content: Array, style: Array, weights: Array, negligible: float) -> float | None:
    """Return `1 - d(o, s) / d(c, s)`, `d` the weighted root mean square: 0 at the content, 1 at the style.

    Parameters
    ----------
    output, content, style : ndarray of float64
        The statistic of each sound, of one shape.
    weights : ndarray of float64
        How much each entry counts, 0 or more; of a shape that broadcasts.
    negligible : float
        Distance of content and style, in the statistic's unit, under which there is no way to go.

    Returns
    -------
    float or None
        None where the style is as near as `negligible`, or nothing counts.

    Examples
    --------
    >>> one, half, none = np.ones(3), np.full(3, 0.5), np.zeros(3)
    >>> share_travelled(half, none, one, np.ones(3), 0.1), share_travelled(half, one, one, np.ones(3), 0.1)
    (0.5, None)
    """
    whole, left = distance(content, style, weights), distance(output, style, weights)
    if whole is None or left is None or whole <= negligible:
        return None
    return 1 - left / whole


def distance(one: Array, other: Array, weights: Array) -> float | None:
    """Return the weighted root mean square of the difference; None where nothing counts."""
    shared = np.broadcast_to(weights, one.shape)
    total = float(shared.sum())
    return float(np.sqrt((shared * np.square(one - other)).sum() / total)) if total > 0 else None
