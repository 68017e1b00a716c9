"""Each committed study: its files still plan, and its pages say what its results say."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from limbeck.compare.plan import Settings, plan_comparison
from limbeck.config import check
from limbeck.induction.prompts import read_few_shot
from limbeck.recipes.load import load

STUDIES = Path(__file__).parents[1] / "docs" / "studies"
FILES = sorted(STUDIES.glob("*/*.yaml"))
FOUND = sorted(STUDIES.glob("*/*.json"))


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_there_are_studies() -> None:
    assert FILES
    assert FOUND


@pytest.mark.parametrize("path", FILES, ids=name)
def test_what_was_run_can_still_be_planned(path: Path, tmp_path: Path) -> None:
    comparison = plan_comparison(path, [f"output_dir={tmp_path}"])
    assert len(comparison.cells) == len(comparison.arms) * len(comparison.settings.seeds)


def test_drills_of_the_base_of_kinds_can_be_looked_up(tmp_path: Path) -> None:
    folder = STUDIES / "redis" / "base"
    module = runpy.run_path(str(folder / "lessons.py"))
    module["TASKS"].update(dict.fromkeys(module["TASKS"], 2))
    module["main"](tmp_path / "lessons.jsonl")
    lessons = [json.loads(line) for line in (tmp_path / "lessons.jsonl").open()]
    copies = [lesson for lesson in lessons if lesson["domain"] == "copy"]
    colours = [lesson for lesson in lessons if lesson["domain"] == "colour"]
    assert len(copies) == module["COPIES"]
    assert len(colours) == module["COLOURS"]
    assert len(lessons) == len(copies) + len(colours) + 2 * len(module["TASKS"])
    for drill in copies:
        words = drill["question"].splitlines()[0].split()
        assert set(f"{drill['question']} {drill['answer']}".split()) == set(words)
    for drill in colours:
        asked = read_few_shot(drill["question"])
        assert asked is not None
        shown, given = asked
        meaning = {pair.input: pair.output for pair in shown if " " not in pair.input}
        assert len(set(meaning.values())) == len(meaning)
        for phrase, said in (*shown, (given, drill["answer"])):
            assert said == " ".join(meaning[word] for word in phrase.split())
    [recipe] = load(folder / "base.yaml")
    assert recipe.data.paths == ("out/lessons.jsonl",)


@pytest.mark.parametrize("path", FOUND, ids=name)
def test_results_are_those_of_the_file_beside_them(path: Path, tmp_path: Path) -> None:
    found = json.loads(path.read_text("utf-8"))
    file = path.with_name(f"{path.stem.split('-')[0]}.yaml")
    settings = plan_comparison(file, [f"output_dir={tmp_path}"]).settings
    # As JSON, which has no whole numbers as keys (`objectives: {1: …}`).
    assert check(Settings, found["settings"]).model_dump_json() == settings.model_dump_json()
    assert found["failed"] == {}
    for arm in found["arms"]:
        assert tuple(arm["seeds"]) == settings.seeds


@pytest.mark.parametrize("path", FOUND, ids=name)
def test_the_page_says_what_was_found(path: Path) -> None:
    """Behind the mark of a result file stands its table, with the figures in their digits."""
    page = path.parent.with_suffix(".md").read_text("utf-8")
    _, section = page.split(f"<!-- {path.name} -->\n")
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section.split("<!-- ")[0], re.MULTILINE)
    found = json.loads(path.read_text("utf-8"))
    target = found["settings"].get("contrast_tasks")
    assert rows == [(arm["name"], cells(arm, target)) for arm in found["arms"]]
    for contrast in found["contrasts"]:
        assert f"- {contrast['sentence']}\n" in section


def cells(arm: dict[str, Any], target: list[str] | None) -> str:
    """A row's figures: of a transfer those of source and target, else what accuracy costs."""
    if target:
        return cells_of_transfer(arm, *target)
    accuracy = arm["accuracy"]
    found = [
        f"{100 * accuracy['mean']:.1f}",
        f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}",
        f"{accuracy['seeds']} × {accuracy['questions']:,}",
        f"{arm['tokens'] / 1000:,.0f}",
        f"{arm['tokens_per_answer']:.1f}",
    ]
    vote = arm["vote"]
    if vote is not None:
        found[0] += f", vote {100 * vote['mean']:.1f}"
        found[1] += f", vote {100 * vote['low']:.1f} to {100 * vote['high']:.1f}"
        found[4] += f", vote {arm['tokens_per_vote']:.1f}"
    return " | ".join(found)


def cells_of_transfer(arm: dict[str, Any], target: str) -> str:
    """Accuracy on the target, seeds × questions, the least on a source, and what probes tell."""
    there = arm["tasks"][target]
    sources = [mean["mean"] for task, mean in arm["tasks"].items() if task != target]
    found = [
        f"{100 * there['mean']:.1f}",
        f"{100 * there['low']:.1f} to {100 * there['high']:.1f}",
        f"{there['seeds']} × {there['questions']:,}",
        f"{100 * min(sources):.1f}",
        *(
            f"{100 * told['mean']:.1f} ({100 * told['low']:.1f} to {100 * told['high']:.1f})"
            for told in arm["probes"].values()
        ),
    ]
    return " | ".join(found)
