"""Student's t against the tables."""

import pytest

from limbeck.student_t import t_quantile, two_sided_p


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (10, 2.22814), (99, 1.98422), (100_000, 1.95999)],
)
def test_quantiles_of_the_tables(freedom, expected):
    assert t_quantile(0.95, freedom) == pytest.approx(expected, rel=1e-5)


def test_closed_forms():
    # One degree of freedom: 1 − 2·atan(t)/π. Two: 1 − t/√(2 + t²).
    assert two_sided_p(1.0, 1) == pytest.approx(0.5, abs=1e-12)
    assert two_sided_p(3.0, 2) == pytest.approx(1 - 3 / 11**0.5, abs=1e-12)
    assert two_sided_p(0.0, 7.3) == pytest.approx(1.0, abs=1e-9)


def test_freedom_between_whole_numbers_lies_between():
    assert t_quantile(0.95, 2) < t_quantile(0.95, 1.5) < t_quantile(0.95, 1)
