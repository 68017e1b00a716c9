"""docs/methods.md: its table has every method, its recipes load, and its command plans a run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from limbeck.prepare import native_config
from limbeck.recipes import METHODS
from limbeck.recipes.load import load
from limbeck.run import plan

TEXT = (Path(__file__).parents[2] / "docs/methods.md").read_text("utf-8")
RECIPES = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)


def test_the_table_has_every_method() -> None:
    assert re.findall(r"^\| `(\w+)`", TEXT, re.M)[: len(METHODS)] == list(METHODS)


@pytest.mark.parametrize("text", RECIPES)
def test_each_recipe_loads_and_its_templates_exist(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    data = "" if "\ndata:" in text else "data: {paths: [records.jsonl]}\n"
    path.write_text(f"{text}student: gpt2\n{data}", "utf-8")
    (recipe,) = load(path)
    config = native_config(
        recipe.prepare, inputs=[], tokenizer=tmp_path, output_dir=tmp_path, keep_rationale=False
    )
    assert config["render"]["template"]["name"] == recipe.prepare.templates[0]


def test_the_command_plans_every_method() -> None:
    (command,) = re.findall(r"```bash\n(.*?)\n```", TEXT, re.S)
    program, verb, overrides, dry_run = shlex.split(command)
    assert (program, verb, dry_run) == ("limbeck", "run", "--dry-run")
    stages = [stage.name for stage in plan(load(None, [overrides]))]
    # ReDis learns rules, and the tasks of the embedded recipe have none.
    assert [f"{method}/student" for method in METHODS if method != "redis"] == [
        name for name in stages if name.count("/") == 1 and name.endswith("/student")
    ]
    assert "adaptive/route/judge-4/answers" in stages
