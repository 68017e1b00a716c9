"""docs/induction.md: how many tokens an epoch has with shared prompts, on GPT-4's public rules."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from limbeck.config import Prepare
from limbeck.induction import read_hypotheses, score_rule, training_data
from limbeck.prepare import Manifest, prepare

DOC = (Path(__file__).parents[2] / "docs/induction.md").read_text("utf-8")
TABLE = re.findall(
    r"^\| `(\w+)`, (\w+) \| ([\d.]*) ?\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) × \|$",
    DOC,
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def data(shared):
    directory = shared / "data/induction"
    tasks = read_hypotheses(directory / "hypotheses_gpt4.jsonl", directory)
    return training_data([score_rule(task, rule) for rule in rules] for task, rules in tasks)


def measure(shared, tmp_path, records, **settings) -> Manifest:
    path = tmp_path / "records.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in records), "utf-8")
    return prepare(
        path,
        tokenizer=shared / "tokenizers/qwen.json",
        output_dir=tmp_path / "out",
        recipe=Prepare(template="answer-only", packing="trie", **settings),
        dry_run=True,
    )


def of_fifty_rules(records):
    """Fifty rules for each of the first twenty prompts, drawn from all of the kind's."""
    prompts = list(dict.fromkeys(each["question"] for each in records))[:20]
    draw = random.Random(0)
    rules = [each["answer"] for each in records]
    return [{"question": q, "answer": rule} for q in prompts for rule in draw.sample(rules, 50)]


def test_the_table_is_complete():
    assert [(kind, part, rules) for kind, part, rules, *_ in TABLE] == [
        ("acre", "generation", "1.9"),
        ("list_functions", "generation", "4.3"),
        ("miniscan", "generation", "4.9"),
        ("miniscan", "pairs", ""),
        ("acre", "generation", "50"),
        ("list_functions", "generation", "50"),
        ("miniscan", "generation", "50"),
    ]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(row[:3]))
def test_its_figures_are_what_prepare_counts(row, data, shared, tmp_path):
    kind, part, rules, *figures, fewer = row
    records = [each for each in getattr(data, part) if each["domain"] == kind]
    if rules == "50":
        records = of_fifty_rules(records)
    elif rules:
        prompts = len({each["question"] for each in records})
        assert f"{len(records) / prompts:.1f}" == rules
    manifest = measure(shared, tmp_path, records, pairs=part == "pairs")
    counted = (manifest.examples, manifest.tokens["total"], manifest.stored_tokens)
    assert [f"{count:,}" for count in counted] == figures
    assert f"{counted[1] / counted[2]:.1f}" == fewer


def test_longer_rows_repeat_fewer_prompts_and_applications_share_none(data, shared, tmp_path):
    rules = of_fifty_rules([each for each in data.generation if each["domain"] == "miniscan"])
    manifest = measure(shared, tmp_path, rules, max_length=8192)
    assert f"{manifest.tokens['total'] / manifest.stored_tokens:.1f}" == "2.0"
    manifest = measure(shared, tmp_path, data.application)
    assert manifest.stored_tokens == manifest.tokens["total"]
