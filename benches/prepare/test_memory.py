"""Property P6: peak anonymous memory at 2 GB of input, beside that at one sixteenth of it."""

import json

import process
import pytest
from ways import limbeck

COPIES = 16
#: Bytes a record that may be kept in memory for each kind of duplicate, and for the choice.
EXACT, NEAR, CAP = 48, 160, 160
#: Memory with a bound of its own that the small run need not fill, in MB: prompts that were encoded
#: before (64 MiB), and what the allocator keeps.
SLACK_MB = 80


@pytest.fixture(scope="module")
def many(inputs):
    """The corpus again and again, no two records alike."""
    path = inputs.folder / "many.jsonl"
    with inputs.corpus.open() as source:
        records = [json.loads(line) for line in source]
    with path.open("w") as file:
        for copy in range(COPIES):
            for record in records:
                question = f"({copy}) {record['question']}"
                file.write(json.dumps(record | {"question": question}, ensure_ascii=False) + "\n")
    yield path, COPIES * len(records)
    path.unlink()


@pytest.mark.parametrize("filters", ["none", "default", "all"])
def test_memory_is_bounded(benchmark, inputs, recipes, many, filters):
    path, records = many
    out = inputs.folder / "memory"

    def run(corpus):
        command = limbeck(corpus, inputs.tokenizer, out, threads=2, recipe=recipes[filters])
        return process.run([*command, "--overwrite"], watch=True)

    small = run(inputs.corpus)
    large = benchmark.pedantic(run, args=[path], rounds=1)
    benchmark.extra_info.update(
        way="limbeck", memory=True, filters=filters, threads=2, records=records,
        input_mb=path.stat().st_size / 1e6, wall_s=large.wall_s,
        peak_anonymous_mb=large.peak_anonymous_mb,
        peak_anonymous_small_mb=small.peak_anonymous_mb,
    )  # fmt: skip
    each = {"none": 0, "default": EXACT, "all": EXACT + NEAR + CAP}[filters]
    allowed = each * records / 1e6
    assert large.peak_anonymous_mb <= small.peak_anonymous_mb + allowed + SLACK_MB
