"""Two crossed factors: exact cases, the bootstrap's moments, and coverage by simulation."""

import numpy as np
import pytest

from limbeck.crossed import crossed_difference, crossed_mean, holm, pigeonhole
from limbeck.student_t import t_quantile


def parts(table):
    """The variances that seeds, questions and pairs add to the mean, from textbook mean squares."""
    seeds, questions = table.shape
    rows, columns = table.mean(1), table.mean(0)
    rest = table - rows[:, None] - columns + table.mean()
    by_pair = (rest**2).sum() / ((seeds - 1) * (questions - 1)) / table.size
    return rows.var(ddof=1) / seeds, columns.var(ddof=1) / questions, by_pair


def simulate(rng, seeds, questions, *, gain=0.0, seed_sd=0.0, question_sd=1.0, gain_sd=0.0):
    """Answers of two methods; `gain` and the standard deviations are in logits."""
    base = rng.normal(0, question_sd, questions) + rng.normal(0, seed_sd, (seeds, 1))
    more = gain + rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, gain_sd, questions)
    tables = (base + more, base + rng.normal(0, seed_sd, (seeds, 1)))
    return tuple((rng.random(t.shape) < 1 / (1 + np.exp(-t))).astype(float) for t in tables)


def test_the_bootstrap_has_the_moments_that_theory_gives_it():
    table = np.random.default_rng(0).random((4, 7))
    means = pigeonhole(table, draws=40_000)
    assert means.mean() == pytest.approx(table.mean(), abs=2e-3)
    assert means.var() == pytest.approx(sum(parts(table)), rel=0.03)
    assert np.array_equal(means, pigeonhole(table, draws=40_000))
    assert not np.array_equal(means[:9], pigeonhole(table, draws=9, seed=1))


def test_two_seeds_by_hand():
    # Seeds differ by 0.2 and questions not at all: mean 0.3, standard error 0.1, one degree of
    # freedom, t 12.7062; p = 1 − 2·atan(3)/π.
    table = np.array([[0.4] * 6, [0.2] * 6])
    found = crossed_difference(table, np.zeros((2, 6)))
    assert found.mean == pytest.approx(0.3)
    # The draws make the error known to about one percent.
    assert found.low == pytest.approx(0.3 - 1.27062, rel=0.05)
    assert found.high == 1.0
    assert found.p == pytest.approx(1 - 2 * np.arctan(3) / np.pi, rel=0.03)
    assert found.verdict == "not distinguishable"


def test_one_seed_is_the_paired_t_test():
    rng = np.random.default_rng(1)
    paired = rng.choice([-1.0, 0.0, 1.0], size=(1, 60), p=[0.1, 0.5, 0.4])
    found = crossed_difference(paired, np.zeros_like(paired))
    half = t_quantile(0.95, 59) * paired.std(ddof=1) / 60**0.5
    assert found.mean == pytest.approx(paired.mean())
    assert found.high - found.mean == pytest.approx(half, rel=0.05)
    assert (found.seeds, found.questions, found.verdict) == (1, 60, "better")
    opposite = crossed_difference(np.zeros_like(paired), paired)
    assert (opposite.mean, opposite.verdict) == (-found.mean, "worse")


def test_equal_pairs_have_an_interval_too():
    ones, zeros = np.ones((3, 5)), np.zeros((3, 5))
    same = crossed_difference(ones, ones)
    assert (same.mean, same.p, same.verdict) == (0.0, 1.0, "not distinguishable")
    assert same.low == -same.high < 0
    all_better = crossed_difference(ones, zeros)
    assert (all_better.mean, all_better.high, all_better.p) == (1.0, 1.0, 0.5**4)
    mean = crossed_mean(ones)
    assert mean.high == 1
    assert mean.low == pytest.approx(5 / (5 + 3.841459), abs=1e-6), "Wilson of five questions"


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((0, 3), (0, 3)), ((2, 0), (2, 0))])
def test_what_makes_no_pairs_is_refused(shapes):
    with pytest.raises(ValueError, match=r"no pairs|at least one"):
        crossed_difference(*map(np.zeros, shapes))


@pytest.mark.parametrize(
    ("seeds", "questions", "seed_sd", "question_sd"),
    [
        (3, 100, 0.3, 1.0),
        (5, 60, 0.0, 0.5),  # nothing but noise between seeds
        (5, 120, 0.5, 2.0),  # seeds matter more than questions
        (10, 100, 0.2, 1.5),
    ],
)
def test_type_one_error_is_near_nominal(seeds, questions, seed_sd, question_sd):
    rng = np.random.default_rng([seeds, questions])
    runs = 200
    found = [
        crossed_difference(
            *simulate(rng, seeds, questions, seed_sd=seed_sd, question_sd=question_sd)
        )
        for _ in range(runs)
    ]
    errors = sum(each.p < 0.05 for each in found) / runs
    assert 0.005 <= errors <= 0.096, "0.05, three standard errors of 200 runs above"
    for each in found:
        assert (each.p < 0.05) == (each.verdict != "not distinguishable"), "p and interval agree"


def test_coverage_is_near_nominal_where_methods_differ():
    rng = np.random.default_rng(7)
    settings = {"gain": 0.8, "seed_sd": 0.3, "question_sd": 1.0, "gain_sd": 0.7}
    truth = np.subtract(*(t.mean() for t in simulate(rng, 200, 5000, **settings)))
    runs, covered, powered = 200, 0, 0
    for _ in range(runs):
        found = crossed_difference(*simulate(rng, 6, 120, **settings))
        covered += found.low <= truth <= found.high
        powered += found.verdict == "better"
    assert 0.915 <= covered / runs <= 0.99
    assert powered / runs > 0.5, "intervals that hold everything tell nothing"


def test_questions_in_groups_are_drawn_together():
    """Of questions that are copies of one another only one tells something; no figure moves."""
    rng = np.random.default_rng(10)
    ours, theirs = simulate(rng, 4, 30, gain=0.5)
    groups = np.repeat(np.arange(30), 4)
    alone = crossed_difference(ours, theirs)
    copied = crossed_difference(
        *(np.repeat(table, 4, axis=1) for table in (ours, theirs)), groups=groups
    )
    assert (copied.questions, copied.groups) == (120, 30)
    assert (copied.mean, copied.p) == pytest.approx((alone.mean, alone.p))
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))
    alone_mean = crossed_mean(ours)
    found = crossed_mean(np.repeat(ours, 4, axis=1), groups=groups)
    assert (found.mean, found.low) == pytest.approx((alone_mean.mean, alone_mean.low))
    ones = crossed_mean(np.ones((3, 20)), groups=groups[:20])
    assert ones.low == pytest.approx(5 / (5 + 3.841459), abs=1e-6), "Wilson of five groups"


def test_groups_of_different_sizes_leave_the_mean_of_the_questions():
    table = np.array([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    groups = [7, 7, 7, 2]
    found = crossed_mean(table, groups=groups)
    assert (found.mean, found.seeds, found.questions, found.groups) == (0.625, 2, 4, 2)
    assert crossed_difference(table, 0 * table, groups=groups).mean == 0.625


def test_groups_keep_the_type_one_error():
    """Queries of a task share its difficulty for both methods: by themselves they err too often."""
    rng = np.random.default_rng(11)
    runs, size, errors, alone = 200, 8, 0, 0
    groups = np.repeat(np.arange(25), size)
    for _ in range(runs):
        gains = np.repeat(rng.normal(0, 1.5, 25), size)
        tables = [
            (rng.random((5, 200)) < 1 / (1 + np.exp(-each))).astype(float)
            for each in (gains, 0 * gains)
        ]
        errors += crossed_difference(*tables, groups=groups).p < 0.05
        alone += crossed_difference(*tables).p < 0.05
    assert 0.005 <= errors / runs <= 0.096
    assert alone / runs > 0.2, "the control: what taking queries for independent would do"


def test_an_accuracys_interval_covers_the_truth():
    rng = np.random.default_rng(8)
    settings = {"gain": 1.5, "seed_sd": 0.4}
    truth = simulate(rng, 200, 5000, **settings)[0].mean()
    found = [crossed_mean(simulate(rng, 4, 80, **settings)[0]) for _ in range(200)]
    assert 0.915 <= np.mean([each.low <= truth <= each.high for each in found]) <= 0.995


def test_taking_all_cells_for_independent_would_be_caught():
    """The control of the simulation: a z test over cells errs far more often than it says."""
    rng, errors = np.random.default_rng(9), 0
    for _ in range(200):
        ours, theirs = simulate(rng, 5, 120, seed_sd=0.5)
        paired = ours - theirs
        errors += abs(paired.mean()) > 1.96 * paired.std(ddof=1) / paired.size**0.5
    assert errors / 200 > 0.15


def test_holm_by_hand():
    # Sorted 0.005, 0.011, 0.02, 0.04, 0.13 times 5, 4, 3, 2, 1: 0.025, 0.044, 0.06, 0.08, 0.13.
    assert holm([0.02, 0.005, 0.13, 0.04, 0.011]) == pytest.approx([0.06, 0.025, 0.13, 0.08, 0.044])
    # A later one is never below an earlier one, and none above 1.
    assert holm([0.01, 0.011, 0.9, 0.8]) == pytest.approx([0.04, 0.04, 1.0, 1.0])
    assert holm([]) == []
