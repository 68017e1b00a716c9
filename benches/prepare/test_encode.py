"""Encoding alone, beside which the whole way is to be seen; libraries with other ids are not timed.

limbeck's own encoder has no call of its own in Python; `cargo bench --bench encode` times it.
"""

import json
import statistics
import sys

import process
import pytest
from ways import HERE


def encode(library, inputs, threads, rounds):
    script = HERE / "rivals" / "encode.py"
    command = [
        sys.executable, script, library, inputs.corpus, inputs.tokenizer,
        "--threads", str(threads), "--rounds", str(rounds),
    ]  # fmt: skip
    return json.loads(process.run(command).output.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def reference(inputs):
    return encode("tokenizers", inputs, 2, 1)["digest"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("library", ["gigatoken", "fastokens", "tokie", "tiktoken", "tokenizers"])
def test_encode(benchmark, inputs, reference, rounds, library, threads):
    rounds = 1 if library in {"tiktoken", "tokenizers"} else rounds
    result = benchmark.pedantic(encode, args=[library, inputs, threads, rounds], rounds=1)
    if result["digest"] != reference:
        pytest.skip(f"{library}: ids differ from those of tokenizers, so it is not timed")
    wall_s = statistics.median(result["seconds"])
    benchmark.extra_info.update(
        way=library, encode=True, threads=threads, rounds=rounds, wall_s=wall_s,
        mb_per_s=result["bytes"] / 1e6 / wall_s,
    )  # fmt: skip
