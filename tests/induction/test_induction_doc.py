"""docs/induction.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from limbeck.induction.rules import FUNCTIONS
from limbeck.induction.training import GAPS

DOC = (Path(__file__).parents[2] / "docs/induction.md").read_text("utf-8")


def test_its_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    for block in blocks:  # they go on from each other
        exec(block, names)


def test_it_names_every_function_of_the_language():
    [sentence] = re.findall(r"and the functions (.*?)\. No attributes", DOC, re.DOTALL)
    assert re.findall(r"`(\w+)`", sentence) == list(FUNCTIONS)


def test_its_gaps_are_those_of_the_filter():
    [sentence] = re.findall(r"satisfies more than (.*?) demonstrations more", DOC)
    assert {kind: int(gap) for gap, kind in re.findall(r"(\d) \(`(\w+)`\)", sentence)} == GAPS
