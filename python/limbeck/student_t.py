"""Student's t distribution for any degrees of freedom from 1 upwards, whole or not."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["t_quantile", "two_sided_p"]

_NODES = 200  # of the Gauss–Legendre rule; leaves an error of about 1e-12


def two_sided_p(t: float, freedom: float) -> float:
    """Return the probability that |T| exceeds `t`.

    With T = √freedom · tan u the density of u is proportional to cos^(freedom − 1) u: smooth and
    bounded, so a fixed rule integrates its tail.

    Args:
        t: At least 0.
        freedom: Degrees of freedom, at least 1.

    Example:
        >>> round(two_sided_p(12.7062, 1), 6), round(two_sided_p(1.9842, 99), 4)
        (0.05, 0.05)
    """
    import numpy as np

    start = math.atan(t / math.sqrt(freedom))
    # Beyond 40 standard deviations of u nothing is left that a float could hold.
    end = min(math.pi / 2, start + 40 / math.sqrt(freedom))
    nodes, weights = _rule()
    angles = start + (nodes + 1) / 2 * (end - start)
    tail = float(weights @ np.cos(angles) ** (freedom - 1)) * (end - start) / 2
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(math.pi) / 2
    return min(1.0, 2 * math.exp(scale) * tail)


@cache
def _rule() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    return np.polynomial.legendre.leggauss(_NODES)


@cache
def t_quantile(confidence: float, freedom: float) -> float:
    """Return the t that |T| does not exceed with probability `confidence`.

    Example:
        >>> round(t_quantile(0.95, 2), 4)
        4.3027
    """
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > 1 - confidence:
        low, high = high, 2 * high
    for _ in range(45):
        middle = (low + high) / 2
        if two_sided_p(middle, freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2
