"""The whole way with every filter on.

Which records are near duplicates is an estimate, and what repeats a matter of taste, so the three
keep different records; how many stands beside the time.
"""

import pytest
from ways import kept_by_limbeck, kept_by_rival, limbeck, rival


@pytest.mark.parametrize("threads", [1, 2])
def test_limbeck(timed, inputs, recipes, rounds, threads):
    def command(corpus, out):
        return limbeck(corpus, inputs.tokenizer, out, threads=threads, recipe=recipes["all"])

    timed("limbeck", command, kept_by_limbeck, threads=threads, filters="all", rounds=rounds)


@pytest.mark.parametrize("threads", [1, 2])
def test_expert(timed, inputs, rounds, threads):
    command = rival("expert", inputs.tokenizer, threads, "--filtered")
    timed("expert", command, kept_by_rival, threads=threads, filters="chain", rounds=rounds)


@pytest.mark.parametrize("threads", [1, 2])
def test_trl(timed, inputs, threads):
    command = rival("trl_sft", inputs.tokenizer, threads, "--filtered")
    timed("TRL", command, kept_by_rival, threads=threads, filters="chain", rounds=1)
