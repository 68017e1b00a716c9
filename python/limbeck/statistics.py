"""Accuracy with an interval that is honest about few questions and repeated samples.

Samples of one question are alike, so n samples of m questions tell less than n·m questions would;
so are the queries of one induction task. The design effect says how much less; it comes from how
much the rates of questions, or of groups of them, differ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from limbeck.student_t import t_quantile

__all__ = ["Accuracy", "measure_accuracy", "wilson_interval"]


@dataclass(frozen=True)
class Accuracy:
    """A measured share of right answers.

    Args:
        accuracy: Mean over questions of the mean over the question's samples.
        low: Lower end of the confidence interval.
        high: Upper end.
        questions: How many questions.
        groups: How many of these are independent.
        samples: How many answers over all questions.
        correct: How many of these are right.
        effective_samples: Independent answers that would tell as much.
    """

    accuracy: float
    low: float
    high: float
    questions: int
    groups: int
    samples: int
    correct: int
    effective_samples: float


def wilson_interval(share: float, count: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a share (Wilson 1927, JASA 22:209).

    It stays within 0 and 1 and has a width even where all or no answers are right.

    Args:
        share: Observed share, 0 to 1.
        count: Observations behind it; need not be whole.
        confidence: Of the two-sided interval.

    Example:
        >>> low, high = wilson_interval(0.5, 100)
        >>> round(low, 4), round(high, 4)
        (0.4038, 0.5962)
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    widening = z * z / count
    middle = (share + widening / 2) / (1 + widening)
    half = math.sqrt(share * (1 - share) * widening + widening**2 / 4) / (1 + widening)
    # At the ends the subtraction leaves a rounding error of either sign.
    low = 0.0 if share == 0 else max(0.0, middle - half)
    high = 1.0 if share == 1 else min(1.0, middle + half)
    return low, high


def measure_accuracy(
    outcomes: Sequence[Sequence[bool]],
    *,
    groups: Sequence[int] | None = None,
    confidence: float = 0.95,
) -> Accuracy:
    """Return accuracy with its confidence interval.

    The interval is Wilson's at the effective sample size of Korn and Graubard (1998, Survey
    Methodology 24:193): share·(1 − share) over the variance of the mean between groups, times
    their squared ratio of t quantiles, which pays for estimating that variance from few groups.
    With one sample per question and question per group it is plain Wilson. Where no rates differ at
    all because every answer is right, or wrong, nothing shows how alike the answers are: then only
    the groups count.

    Args:
        outcomes: For each question, whether each of its samples is right; at least one each.
        groups: Of each question the group that it belongs to; by default each is one.
        confidence: Of the two-sided interval.

    Raises:
        ValueError: No question, or a question without a sample.
    """
    if not outcomes or not all(outcomes):
        raise ValueError("accuracy needs at least one question and one sample of each")
    questions = len(outcomes)
    samples = sum(map(len, outcomes))
    rates = [sum(row) / len(row) for row in outcomes]
    share = math.fsum(rates) / questions
    group_of = range(questions) if groups is None else groups
    effective = _effective_samples(rates, [len(row) for row in outcomes], group_of, confidence)
    low, high = wilson_interval(share, effective, confidence=confidence)
    return Accuracy(
        accuracy=share,
        low=low,
        high=high,
        questions=questions,
        groups=len(set(group_of)),
        samples=samples,
        correct=sum(map(sum, outcomes)),
        effective_samples=effective,
    )


def _effective_samples(
    rates: list[float], sizes: list[int], group_of: Sequence[int], confidence: float
) -> float:
    questions = len(rates)
    share = math.fsum(rates) / questions
    apart = dict.fromkeys(group_of, 0.0)
    for group, rate in zip(group_of, rates, strict=True):
        apart[group] += rate - share
    between = math.fsum(each**2 for each in apart.values()) / questions**2
    if len(apart) == 1 or max(rates) == 0 or min(rates) == 1:
        return float(len(apart))
    # As many as if the samples were independent, and no more (a design effect of at least 1).
    most = questions**2 / math.fsum(1 / size for size in sizes)
    effective = min(most, share * (1 - share) / between) if between > 0 else most
    ratio = t_quantile(confidence, sum(sizes) - 1) / t_quantile(confidence, len(apart) - 1)
    return effective * ratio**2
