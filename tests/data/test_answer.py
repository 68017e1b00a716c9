"""Answers: what a text concludes, and when two answers say the same."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck import _native

SHARED = Path(os.environ.get("LIMBECK_SHARED", Path(__file__).parents[2].parent / "shared"))
# Of each set: how many of the teacher's answers are right, of how many. By text alone they are
# the published accuracies of zero-shot chain of thought (arXiv 2205.11916).
RIGHT = {
    "addsub": (282, 395, 275),
    "coin_flip": (457, 500, 457),
    "commonsense_qa": (789, 1221, 789),
    "date_understanding": (249, 369, 249),
    "gsm8k": (542, 1319, 537),
    "last_letters": (288, 500, 288),
    "singleeq": (404, 508, 396),
    "strategy_qa": (1254, 2290, 1254),
    "svamp": (621, 1000, 621),
}


@pytest.mark.parametrize("name", RIGHT)
def test_public_logs(name):
    path = SHARED / "data" / "cot" / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no {path}: set LIMBECK_SHARED")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [(record["answer"], record["teacher_answer"]) for record in records]
    equal = sum(_native.answers_equal(*pair) for pair in pairs)
    same_text = sum(answer == teacher for answer, teacher in pairs)
    assert (equal, len(pairs), same_text) == RIGHT[name]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("12.3", "12.30"),
        ("1,000", "$1000.00"),
        ("3/4", r"\frac{3}{4}"),
        ("5 apples", "5"),
        ("70%", r"\fbox{70\%}"),
        ("B", "(B) banana"),
        ("Yes", "yes, it does."),
        ("New York", '"new  york."'),
    ],
)
def test_equal(a, b):
    assert _native.answers_equal(a, b)
    assert _native.answers_equal(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("", ""),
        ("5", ""),
        ("01/02/2020", "1/2/2020"),
        ("A", "a cat"),
        ("10%", "0.1"),
        ("5 km", "5 m"),
        ("nan", "inf"),
        ("naey", "n-a-e-y"),
    ],
)
def test_not_equal(a, b):
    assert not _native.answers_equal(a, b)
    assert not _native.answers_equal(b, a)


@given(st.text(), st.text())
def test_equality_is_symmetric_and_reflexive(a, b):
    assert _native.answers_equal(a, b) == _native.answers_equal(b, a)
    assert _native.answers_equal(a, a) or not any(map(str.isalnum, a))


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{:,}", "${:,}", "{}.", "{}.0", "{} km"]))
def test_spellings_of_a_number(number, spelling):
    assert _native.answers_equal(str(number), spelling.format(number))
    assert not _native.answers_equal(str(number), spelling.format(number + 1 + abs(number)))


@given(st.text(), st.text())
def test_a_conclusion_is_a_part_of_the_text(before, after):
    text = f"{before}\nThe answer is 42.\n"
    assert _native.conclusion(text) == "42"
    found = _native.conclusion(before + after)
    assert found is None or (found.strip() and found in before + after)


def test_conclusions():
    assert _native.conclusion("4 + 4 = 8") is None
    assert _native.conclusion("The answer is 7. No, the answer is \\boxed{8}.") == "8"
    assert _native.conclusion("4 + 4 = 8\n#### 8") == "8"
