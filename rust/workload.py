"""What an instrumented build of the core prepares, so that the compiler knows its usual ways.

`make wheel` runs this between its two builds. Records are those of the oracles, and paragraphs of
the project's own pages, which also make the vocabulary: nothing here is among what is timed.

    python rust/workload.py [share of the records]
"""

import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from limbeck import prepare, tasks
from limbeck.config import Prepare

ROOT = Path(__file__).parents[1]
PARAGRAPHS = 16_000
TASKS = {
    "arithmetic": 8_000,
    "arithmetic_bus": 8_000,
    "more_or_fewer": 4_000,
    "last_letters": 4_000,
    "shuffled_objects": 8_000,
    "list_functions:queries=1": 8_000,
    "miniscan:queries=1": 2_000,
}
REPEATED = WRONG = 0.1
VOCABULARY = 32_000
# The split pattern of Qwen2, which many vocabularies have, or one much like it.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def recipes(evaluation: Path) -> dict[str, Prepare]:
    """No filter, those of a recipe that names none, and every one."""
    every = [
        "answer_mismatch",
        "exact_duplicate",
        "near_duplicate",
        "repetition",
        {"name": "contaminated", "against": [str(evaluation)]},
        "answer_leak",
        "charset",
        {"name": "over_cap", "max_per_question": 4},
    ]
    chosen: dict[str, dict[str, Any]] = {"none": {"filters": []}, "default": {}}
    chosen["every"] = {"filters": every}
    return {name: Prepare.model_validate(settings) for name, settings in chosen.items()}


def records(share: float) -> Iterator[dict[str, Any]]:
    """Yield records of which some stand twice, and some say another answer than they come to."""
    rng = random.Random(0)  # noqa: S311 (records, not keys)
    pages = [page.read_text("utf-8") for page in sorted(ROOT.glob("docs/**/*.md"))]
    paragraphs = [text for page in pages for text in page.split("\n\n")]
    for _ in range(round(share * PARAGRAPHS)):
        question, *rationale = rng.choices(paragraphs, k=3)
        yield {"question": question, "rationale": "\n".join(rationale), "answer": question[:8]}
    for name, count in TASKS.items():
        for record in tasks.get(name).records(round(share * count), seed=0):
            yield record
            if rng.random() < REPEATED:
                yield record
            if rng.random() < WRONG:
                yield {**record, "answer": str(rng.randint(0, 99))}


def vocabulary(texts: Sequence[str]) -> Tokenizer:
    """Make a byte-level BPE of texts."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main(share: float) -> None:
    """Prepare the records in each way, by one thread and by two."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        lines = [json.dumps(record) for record in records(share)]
        random.Random(0).shuffle(lines)  # noqa: S311
        corpus, evaluation, tokenizer = home / "all.jsonl", home / "test.jsonl", home / "bpe.json"
        corpus.write_text("\n".join(lines) + "\n", "utf-8")
        evaluation.write_text("\n".join(lines[::100]) + "\n", "utf-8")
        vocabulary(lines[::8]).save(str(tokenizer))
        for name, recipe in recipes(evaluation).items():
            for threads in (1, 2):
                output = home / f"{name}-{threads}"
                manifest = prepare(
                    corpus, tokenizer=tokenizer, output_dir=output, recipe=recipe, threads=threads
                )
                kept = f"{manifest.records.kept:,} of {len(lines):,} records kept"
                sys.stdout.write(f"{name}, {threads} threads: {kept}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
