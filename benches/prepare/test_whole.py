"""The whole way, JSONL to packed Arrow rows on disk, without filters and with the default ones."""

import layouts
import process
import pytest
from ways import kept_by_limbeck, kept_by_rival, limbeck, rival


@pytest.fixture(scope="module")
def expected(inputs, recipes):
    """What every way must have made of the corpus."""
    out = inputs.folder / "expected"
    process.run(limbeck(inputs.corpus, inputs.tokenizer, out, threads=0, recipe=recipes["none"]))
    return layouts.digest(layouts.limbeck(out))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("filters", ["none", "default"])
def test_limbeck(timed, inputs, recipes, expected, rounds, threads, filters):
    def command(corpus, out):
        return limbeck(corpus, inputs.tokenizer, out, threads=threads, recipe=recipes[filters])

    out = timed(
        "limbeck", command, kept_by_limbeck, threads=threads, filters=filters, rounds=rounds
    )
    if filters == "none":
        assert layouts.digest(layouts.limbeck(out)) == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_expert(timed, inputs, expected, rounds, threads):
    command = rival("expert", inputs.tokenizer, threads)
    out = timed("expert", command, kept_by_rival, threads=threads, filters="none", rounds=rounds)
    assert layouts.digest(layouts.labelled(out)) == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_trl(timed, inputs, expected, threads):
    command = rival("trl_sft", inputs.tokenizer, threads)
    out = timed("TRL", command, kept_by_rival, threads=threads, filters="none", rounds=1)
    assert layouts.digest(layouts.labelled(out)) == expected
