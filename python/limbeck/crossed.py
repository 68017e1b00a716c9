"""Means over seeds × questions, and the difference of two methods, with what both factors cost.

A student of another seed is another student, and a test of other questions another test: both are
samples. Every student answers every question, so the outcomes are a table with two crossed factors,
and neither its rows nor its columns are independent of each other. Taking all cells for independent
answers gives intervals that are far too narrow. Queries of one induction task are not independent
questions either; such groups are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from limbeck.statistics import wilson_interval
from limbeck.student_t import t_quantile, two_sided_p

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Difference", "Mean", "crossed_difference", "crossed_mean", "holm", "pigeonhole"]

DRAWS = 4000  # the standard error's own error is then 1.1 %
_AT_ONCE = 500  # draws whose weights are in memory together


@dataclass(frozen=True)
class Mean:
    """An accuracy over seeds × questions.

    Attributes:
        mean: Of all cells, 0 to 1.
        low: Lower end of the 95 % confidence interval.
        high: Upper end.
        seeds: How many rows.
        questions: How many columns.
        groups: How many of these are drawn on their own.
    """

    mean: float
    low: float
    high: float
    seeds: int
    questions: int
    groups: int


@dataclass(frozen=True)
class Difference:
    """How much better one method is than another on the same seeds and questions.

    Attributes:
        mean: Mean difference of accuracy, −1 to 1.
        low: Lower end of the 95 % confidence interval.
        high: Upper end.
        p: Two-sided probability of so large a difference were there none; of this contrast alone.
        seeds: How many rows.
        questions: How many columns.
        groups: How many of these are drawn on their own.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    questions: int
    groups: int

    @property
    def verdict(self) -> str:
        """What the interval says in a word."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not distinguishable"


def pigeonhole(
    table_SQ: NDArray[np.float64], *, draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64]:
    """Return bootstrap means of a table whose rows and columns are both drawn with replacement.

    The pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1:386): a cell weighs as often
    as its row was drawn times as often as its column was. One row and one column fewer are drawn
    than there are, which makes the variance between few of them unbiased (Rao and Wu 1988, JASA
    83:231); a factor of one level is not drawn.

    Args:
        table_SQ: A value for each seed and question.
        draws: How many means.
        seed: Of the draws.

    Returns:
        The means, `[draws]`.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, draws, _AT_ONCE):
        count = min(_AT_ONCE, draws - start)
        rows, columns = (_weights(rng, count, levels) for levels in table_SQ.shape)
        means.append(np.sum((columns @ table_SQ.T) * rows, axis=1))
    return np.concatenate(means)


def _weights(rng: np.random.Generator, draws: int, levels: int) -> NDArray[np.float64]:
    import numpy as np

    if levels == 1:
        return np.ones((draws, 1))
    drawn = rng.integers(levels, size=(draws, levels - 1))
    drawn += np.arange(draws)[:, None] * levels
    counts = np.bincount(drawn.ravel(), minlength=draws * levels)
    return counts.reshape(draws, levels) / (levels - 1)


def crossed_mean(
    table_SQ: NDArray[np.float64], *, groups: Sequence[int] | None = None, seed: int = 0
) -> Mean:
    """Return an accuracy with its interval over seeds × questions.

    The interval is Wilson's at the effective number of answers, as `measure_accuracy` has it.

    Args:
        table_SQ: Share of right answers for each seed and question.
        groups: Of each question the group that it is drawn with; by default each is one.
        seed: Of the bootstrap.

    Raises:
        ValueError: The table has no cell.
    """
    table_SG = _group(table_SQ, groups)
    error, freedom = _standard_error(table_SG, seed)
    mean, independent = float(table_SQ.mean()), table_SG.shape[1]
    effective = float(independent)
    if error > 0:
        wider = t_quantile(0.95, freedom) / NormalDist().inv_cdf(0.975)
        effective = mean * (1 - mean) / (error * wider) ** 2
    low, high = wilson_interval(mean, effective)
    seeds, questions = table_SQ.shape
    return Mean(mean, low, high, seeds, questions, independent)


def crossed_difference(
    method_SQ: NDArray[np.float64],
    baseline_SQ: NDArray[np.float64],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Difference:
    """Return the paired difference of two methods with its interval over seeds × questions.

    The interval is mean ± t · standard error, of the bootstrap and of the degrees of freedom that
    few seeds leave. With a single seed it speaks of the students of that seed alone.

    Args:
        method_SQ: Share of right answers for each seed and question.
        baseline_SQ: The baseline's, on the same seeds and questions in the same order.
        groups: Of each question the group that it is drawn with; by default each is one.
        seed: Of the bootstrap.

    Raises:
        ValueError: The tables differ in shape, or have no cell.
    """
    if method_SQ.shape != baseline_SQ.shape:
        raise ValueError(f"tables of {method_SQ.shape} and {baseline_SQ.shape} are no pairs")
    paired = method_SQ - baseline_SQ
    paired_SG = _group(paired, groups)
    error, freedom = _standard_error(paired_SG, seed)
    mean, independent = float(paired.mean()), paired_SG.shape[1]
    if error > 0:
        half = t_quantile(0.95, freedom) * error
        p = two_sided_p(abs(mean) / error, freedom)
    else:
        # All pairs differ alike. The rule of Wilson's interval without a hit says how far they
        # could go astray all the same, the sign test what so many of one sign are worth.
        half = wilson_interval(0.0, independent)[1]
        p = 1.0 if mean == 0 else 0.5 ** (independent - 1)
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    seeds, questions = paired.shape
    return Difference(mean, low, high, p, seeds, questions, independent)


def _group(table_SQ: NDArray[np.float64], groups: Sequence[int] | None) -> NDArray[np.float64]:
    """Return a column for each group of questions; their mean is that of the questions.

    A column is the sum of its questions, in units that leave the mean as it was: larger groups
    weigh more, and how large a group happens to be is a part of what chance may change.
    """
    import numpy as np

    if groups is None or not table_SQ.size:
        return table_SQ
    found, group_of = np.unique(np.asarray(groups), return_inverse=True)
    table_GS = np.zeros((len(found), len(table_SQ)))
    np.add.at(table_GS, group_of, table_SQ.T)
    return table_GS.T * (len(found) / table_SQ.shape[1])


def _standard_error(table_SQ: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Return the standard error of a table's mean and its degrees of freedom.

    Effects of seeds, of questions and of their pairs add up. The bootstrap counts the last three
    times, once for each way of drawing (Owen 2007, theorem 3 has the same for full draws); two of
    them are taken off, but never so much that less is left than one factor alone shows. The
    degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2:110).
    """
    import numpy as np

    if not table_SQ.size:
        raise ValueError("a comparison needs at least one seed and one question")
    seeds, questions = table_SQ.shape
    centred = table_SQ - table_SQ.mean()
    rows, columns = centred.mean(axis=1), centred.mean(axis=0)
    pairs = centred - rows[:, None] - columns[None, :]
    freedoms = (seeds - 1, questions - 1, (seeds - 1) * (questions - 1))
    # Variances of the table's mean: what each part adds to it.
    by_seed, by_question, by_pair = (
        float(np.sum(part**2)) / (freedom * part.size) if freedom else 0.0
        for part, freedom in zip((rows, columns, pairs), freedoms, strict=True)
    )
    drawn = float(np.var(pigeonhole(table_SQ, seed=seed)))
    variance = max(drawn - 2 * by_pair, by_seed, by_question)
    if variance < 1e-18:  # rounding leaves as much of equal values
        return 0.0, math.inf
    shares = sum(
        part**2 / freedom
        for part, freedom in zip((by_seed, by_question, by_pair), freedoms, strict=True)
        if freedom
    )
    fewest = min(freedom for freedom in freedoms if freedom)
    return math.sqrt(variance), max(float(fewest), variance**2 / shares)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several (Holm 1979, Scandinavian J. Statistics 6:65).

    Rejecting where they are below α errs in any of the contrasts with probability α at most.

    Args:
        ps: Uncorrected p-values, in any order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, highest = [1.0] * len(ps), 0.0
    order = sorted(range(len(ps)), key=ps.__getitem__)
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = highest
    return corrected
