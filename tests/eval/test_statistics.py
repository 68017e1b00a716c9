import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.statistics import measure_accuracy, wilson_interval


def rows(correct, questions):
    return [[index < correct] for index in range(questions)]


def test_wilson_by_hand():
    # 8 of 10 at z = 1.959964: centre (0.8 + 0.192073) / 1.384146, half-width
    # sqrt(0.8 · 0.2 · 0.384146 + 0.036892) / 1.384146.
    low, high = wilson_interval(0.8, 10)
    assert low == pytest.approx(0.716740 - 0.226577, abs=1e-5)
    assert high == pytest.approx(0.716740 + 0.226577, abs=1e-5)


def test_wilson_without_a_hit_by_hand():
    # The upper end is z² / (n + z²), with z² = 3.841459.
    assert wilson_interval(0.0, 20) == (0.0, pytest.approx(3.841459 / 23.841459, abs=1e-6))
    assert wilson_interval(1.0, 20) == (pytest.approx(20 / 23.841459, abs=1e-6), 1.0)


def test_more_confidence_is_wider():
    assert wilson_interval(0.5, 100, confidence=0.99)[0] < wilson_interval(0.5, 100)[0]


@given(st.integers(1, 300), st.data())
def test_one_sample_a_question_is_plain_wilson(questions, data):
    correct = data.draw(st.integers(0, questions))
    measured = measure_accuracy(rows(correct, questions))
    expected = wilson_interval(correct / questions, questions)
    assert (measured.low, measured.high) == pytest.approx(expected, abs=1e-12)
    assert 0 <= measured.low <= measured.accuracy <= measured.high <= 1
    assert measured.high - measured.low > 0
    assert (measured.questions, measured.samples, measured.correct) == (
        questions,
        questions,
        correct,
    )


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=30))
def test_the_interval_holds_the_accuracy_and_has_a_width(outcomes):
    measured = measure_accuracy(outcomes)
    assert 0 <= measured.low <= measured.accuracy + 1e-12
    assert measured.accuracy <= measured.high + 1e-12 <= 1 + 1e-12
    assert measured.high - measured.low > 1e-6
    assert measured.effective_samples <= measured.samples * (1 + 1e-9)


def test_accuracy_is_the_mean_of_the_questions_means():
    measured = measure_accuracy([[True], [True, False, False, False]])
    assert measured.accuracy == pytest.approx((1 + 1 / 4) / 2)
    assert (measured.samples, measured.correct) == (5, 2)


def test_samples_that_agree_count_as_one():
    outcomes = [[index % 2 == 0] * 8 for index in range(100)]
    measured = measure_accuracy(outcomes)
    # Korn and Graubard's t ratio is all that is left: t(799) / t(99), squared.
    assert measured.effective_samples == pytest.approx(100 * (1.96293 / 1.98422) ** 2, rel=1e-4)


def test_samples_that_do_not_depend_on_the_question_count_each():
    outcomes = [[True, False] for _ in range(100)]
    measured = measure_accuracy(outcomes)
    assert measured.effective_samples == pytest.approx(200, rel=0.02)


def test_questions_that_go_together_count_as_one():
    outcomes = [[index // 8 % 2 == 0] for index in range(800)]
    measured = measure_accuracy(outcomes, groups=[index // 8 for index in range(800)])
    assert (measured.questions, measured.groups, measured.accuracy) == (800, 100, 0.5)
    assert measured.effective_samples == pytest.approx(100 * (1.96293 / 1.98422) ** 2, rel=1e-4)
    alike = measure_accuracy([[True]] * 40, groups=[index // 8 for index in range(40)])
    assert (alike.low, alike.high) == wilson_interval(1.0, 5)


def test_groups_of_which_some_are_larger_weigh_by_their_questions():
    measured = measure_accuracy([[True], [True], [True], [False]], groups=[0, 0, 0, 1])
    assert measured.accuracy == 0.75
    # (3 · 1/4)² + (3/4)² over 4², so 0.1875 / 0.0703125 answers, times (t(3) / t(1))².
    t_ratio = 3.182446 / 12.706205
    assert measured.effective_samples == pytest.approx(0.1875 / 0.0703125 * t_ratio**2, rel=1e-5)


@pytest.mark.parametrize("right", [True, False])
def test_where_all_agree_only_questions_count(right):
    measured = measure_accuracy([[right] * 16] * 30)
    assert measured.effective_samples == 30
    assert (measured.low, measured.high) == wilson_interval(float(right), 30)


def test_one_question_is_one_observation():
    measured = measure_accuracy([[True, False, True, True]])
    assert measured.effective_samples == 1
    assert (measured.low, measured.high) == wilson_interval(0.75, 1)


@pytest.mark.parametrize("outcomes", [[], [[True], []]])
def test_nothing_to_measure_is_refused(outcomes):
    with pytest.raises(ValueError, match="at least one"):
        measure_accuracy(outcomes)


@pytest.mark.parametrize(
    ("questions", "samples", "alpha", "beta"),
    [
        (40, 1, 2.0, 2.0),
        (40, 8, 2.0, 2.0),  # questions differ
        (40, 8, 0.3, 0.3),  # most questions are either always or never right
        (200, 4, 6.0, 1.0),
        (12, 16, 3.0, 3.0),
    ],
)
def test_coverage_by_simulation(questions, samples, alpha, beta):
    """95 % intervals hold the true rate in about 95 % of 1,500 seeded experiments."""
    rng = random.Random(f"{questions} {samples} {alpha} {beta}")
    truth, runs = alpha / (alpha + beta), 1500
    covered = 0
    for _ in range(runs):
        rates = [rng.betavariate(alpha, beta) for _ in range(questions)]
        outcomes = [[rng.random() < rate for _ in range(samples)] for rate in rates]
        measured = measure_accuracy(outcomes)
        covered += measured.low <= truth <= measured.high
    # Wilson's own coverage swings by a point or two around 95 %; the draws by 0.6.
    assert 0.925 <= covered / runs <= 0.985


def test_pretending_that_samples_are_independent_would_be_caught():
    """The control of the simulation: plain Wilson on all samples covers far less than 95 %."""
    rng, covered = random.Random("naive"), 0
    for _ in range(500):
        rates = [rng.betavariate(0.3, 0.3) for _ in range(40)]
        share = math.fsum(sum(rng.random() < rate for _ in range(8)) for rate in rates) / 320
        low, high = wilson_interval(share, 320)
        covered += low <= 0.5 <= high
    assert covered / 500 < 0.8
