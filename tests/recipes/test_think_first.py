"""Fine-tune-CoT: every rationale is an example, and a cap keeps those that differ most."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from limbeck.config import Recipe
from limbeck.prepare import prepare
from limbeck.recipes import answer_only, think_first

RATIONALES = [
    "Each trip takes 24 cars and there are 3 trips, which makes 24 * 3 = 72 cars.",
    "Each trip takes 24 cars and there are 3 trips, which makes 3 * 24 = 72 cars.",
    "Twenty and twenty and twenty are sixty; four thrice is twelve; together 72.",
    "First 24, then 48 after the second voyage, finally 72 when the third is over.",
    "Half of 144 would cross, since six voyages of 24 are 144: the half of it is 72.",
    "By mistake one may add 24 and 3. The answer is 27.",
]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    from limbeck.word_tokenizer import train_tokenizer

    train_tokenizer(RATIONALES * 5, 400).save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def kept(recipe: Recipe, tokenizer: Path, tmp_path: Path) -> tuple[list[str], dict[str, int]]:
    """The rationales that one epoch trains on, and what was rejected."""
    records = tmp_path / "records.jsonl"
    question = "A ferry takes 24 cars a trip and makes 3 trips. How many cross?"
    record = {"question": question, "rationale": RATIONALES, "answer": "72"}
    records.write_text(json.dumps(record) + "\n", "utf-8")
    manifest = prepare(
        records,
        tokenizer=tokenizer,
        output_dir=tmp_path / "prepared",
        recipe=recipe,
        keep_rationale=recipe.method == "think_first",
        overwrite=True,
    )
    assert manifest.steps.unpacked == manifest.examples
    with pa.ipc.open_stream(tmp_path / "prepared" / "examples.arrow") as reader:
        texts = reader.read_all()["rationale"].to_pylist()
    return texts, manifest.records.rejected


def test_every_sound_rationale_is_trained_in_every_epoch(tokenizer: Path, tmp_path: Path) -> None:
    recipe = think_first(student="s", data={"paths": ["records.jsonl"]})
    texts, rejected = kept(recipe, tokenizer, tmp_path)
    assert texts == RATIONALES[:5]
    assert rejected == {"answer_mismatch": 1}


def test_a_cap_keeps_the_rationales_that_differ_most(tokenizer: Path, tmp_path: Path) -> None:
    filters = ["answer_mismatch", {"name": "over_cap", "max_per_question": 4}]
    recipe = think_first(
        student="s", data={"paths": ["records.jsonl"]}, prepare={"filters": filters}
    )
    texts, rejected = kept(recipe, tokenizer, tmp_path)
    # The second is the first but for the order of a product.
    assert texts == [RATIONALES[0], *RATIONALES[2:5]]
    assert rejected == {"answer_mismatch": 1, "over_cap": 1}


def test_answer_only_sees_the_question_once(tokenizer: Path, tmp_path: Path) -> None:
    recipe = answer_only(student="s", data={"paths": ["records.jsonl"]})
    texts, rejected = kept(recipe, tokenizer, tmp_path)
    assert (texts, rejected) == ([None], {})
