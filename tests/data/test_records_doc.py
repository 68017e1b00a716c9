"""Every example in docs/records.md is the same record, in the format whose section it stands in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from limbeck.config import check
from limbeck.prepare import prepare
from limbeck.sources import Data

TEXT = (Path(__file__).parents[2] / "docs/records.md").read_text("utf-8")
EXAMPLES = re.findall(r"##+ [^\n]*`(\w+)`\n(?:(?!##).)*?```json\n(.*?)\n```", TEXT, re.S)
FORMATS = ["records", "messages", "sharegpt", "prompt_completion", "preference", "alpaca", "r1"]


def test_every_format_has_its_example() -> None:
    assert [name for name, _ in EXAMPLES] == FORMATS
    assert TEXT.count("```json") == len(FORMATS)


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_examples_are_the_same_record(
    name: str, line: str, tokenizer: Path, tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(line, "utf-8")
    manifest = prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "out", keep_rationale=True)
    assert manifest.sources[0].format == name
    directory = opened(tmp_path / "out")
    assert directory.entries[0]["rationale"] == "3 * 24 = 72."
    question = "A ferry takes 24 cars and makes 3 trips."
    question += "\n\nHow many cross?" if name == "alpaca" else " How many cross?"
    plain = {"question": question, "rationale": "3 * 24 = 72.", "answer": "72"}
    path.write_text(json.dumps(plain), "utf-8")
    prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "plain", keep_rationale=True)
    assert directory.examples == opened(tmp_path / "plain").examples


def test_the_recipe_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    sources = check(Data, yaml.safe_load(block)["data"]).sources
    assert [(each.path, each.domain, each.format) for each in sources] == [
        ("records.jsonl", None, "auto"),
        ("math/*.parquet", "math", "r1"),
    ]
