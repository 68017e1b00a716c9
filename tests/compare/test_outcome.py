"""What a finished cell says of its costs, and which of them are another arm's."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limbeck.compare.outcome import read_outcome
from limbeck.compare.plan import Cell, plan_comparison
from limbeck.compare.summary import summarize_comparison
from limbeck.search.evaluate import SearchSummary


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value) + "\n", "utf-8")


def evaluated(**found: Any) -> dict[str, Any]:
    """What an evaluation says beside the figures of its tasks."""
    about = {"student": "s", "method": "m", "decoding": {}, "seed": 0, "split": "test"}
    return {**about, "tasks": {}, "validation": {}, "controls": {}, "searches": {}, **found}


def finish(cell: Cell, trained: int, encoded: int = 0) -> None:
    """Leave what the stages of a cell leave."""
    home = cell.recipe.output_dir
    training = {"tokens_processed": trained, "tokens_trained": 1, "examples_seen": 4, "steps": 2}
    size = {"parameters": 1, "trainable_parameters": 1, "epochs": 1.0, "seconds": 1.0}
    write(home / "student/training.json", {**training, **size})
    row = {"task": "coin_flip", "id": "1", "question": "Up?", "gold": "yes", "sample": 0}
    said = {"text": " yes", "answer": "yes", "correct": True, "tokens_generated": 2}
    write(home / "evaluate/results.jsonl", {**row, **said, "prompt_tokens": 7})
    write(home / "evaluate/summary.json", evaluated())
    if encoded:
        write(home / "targets/targets.json", {"tokens_encoded": encoded})


def test_an_encoders_training_is_shown_and_not_added(comparison: Callable[..., Path]) -> None:
    pst = {"method": "pst", "targets": {"encoder": "think_first"}}
    found = plan_comparison(comparison(methods=["answer_only", "think_first", pst]))
    for number, cell in enumerate(found.cells):
        finish(cell, 1000 * (number + 1), 50 if cell.arm == "pst" else 0)
    first = read_outcome(found.cells[2])
    assert (first.spent.total, first.encoder_arm) == (3050, 2000)
    arms = {arm.name: arm for arm in summarize_comparison(found, {}).arms}
    assert (arms["pst"].tokens, arms["pst"].tokens_of_encoder_arm) == (4550, 3500)  # of two seeds
    assert arms["think_first"].tokens == 3500
    assert arms["think_first"].tokens_of_encoder_arm == arms["answer_only"].tokens_of_encoder_arm
    assert arms["answer_only"].tokens_of_encoder_arm == 0


def test_contrasts_are_about_the_tasks_that_they_name(comparison: Callable[..., Path]) -> None:
    """Both arms know the source; of the target only one has every answer right."""
    file = comparison(
        methods=["answer_only", "think_first"],
        evaluate={"tasks": ["coin_flip", "last_letters"], "questions": 2},
        contrast_tasks=["last_letters"],
    )
    found = plan_comparison(file)
    for cell in found.cells:
        finish(cell, 100)
        told = {"accuracy": 0.5 + cell.recipe.seed / 4, "low": 0.4, "high": 1.0}
        probe = {"domains": ["a", "b"], "unlabelled": ["b"], "train": 2, "test": 2, "majority": 0.5}
        points = {"domains": [0, 1], "before": [[0, 0], [1, 1]], "after": [[0, 0], [1, 1]]}
        states = {"question": {"before": {**told, "accuracy": 1.0}, "after": told}}
        write(
            cell.recipe.output_dir / "probe.json", {**probe, "states": states, "projection": points}
        )
        rows = []
        for task in ("coin_flip", "last_letters"):
            for number in range(4):
                right = task == "coin_flip" or cell.arm == "think_first" or number == 0
                row = {"task": task, "id": str(number), "question": f"{number}?", "gold": "yes"}
                said = {"text": "", "answer": "yes", "correct": right, "tokens_generated": 2}
                rows.append(json.dumps({**row, "sample": 0, "prompt_tokens": 7, **said}))
        path = cell.recipe.output_dir / "evaluate/results.jsonl"
        path.write_text("\n".join(rows) + "\n", "utf-8")
    summary = summarize_comparison(found, {})
    [contrast] = summary.contrasts
    assert (contrast.difference.mean, contrast.difference.questions) == (0.75, 4)
    assert contrast.tasks == ("last_letters",)
    arm = summary.arms[0]
    assert {name: each.mean for name, each in arm.tasks.items()} == {
        "coin_flip": 1.0,
        "last_letters": 0.25,
    }
    told = arm.probes["question"]
    assert (told.mean, arm.majority) == (0.625, 0.5)
    # Two seeds, 0.5 and 0.75: Student's t at one degree of freedom reaches beyond both ends.
    assert (told.low, told.high) == (0.0, 1.0)


def test_a_search_counts_its_calls_and_its_tasks(comparison: Callable[..., Path]) -> None:
    """Two queries of each of two tasks: independent are two, and the search asked ten texts."""
    found = plan_comparison(comparison(methods=["answer_only", "think_first"]))
    for cell in found.cells:
        finish(cell, 100)
        searched = cell.arm == "think_first"
        rows = []
        for task in ("[1]", "[2]"):
            for number in range(2):
                asked = f"Input: {task}\nOutput: [9]\nInput: [{number}]\nOutput:"
                row = {"task": "list_functions", "id": f"{task}-{number}", "question": asked}
                said = {"text": "", "answer": "[9]", "correct": searched, "tokens_generated": 3}
                rows.append({**row, "gold": "[9]", "sample": 0, "prompt_tokens": 40, **said})
        path = cell.recipe.output_dir / "evaluate/results.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        search = SearchSummary(2, 8, 8, 8, 0, 4, 2, 8, 2, 160, 12)  # 8 calls for rules, 2 to apply
        calls = {"list_functions": asdict(search)} if searched else {}
        controls = {"list_functions": {"majority": {"correct": 3, "questions": 4}}}
        write(
            cell.recipe.output_dir / "evaluate/summary.json",
            evaluated(controls=controls, searches=calls),
        )
    summary = summarize_comparison(found, {})
    direct, searching = summary.arms
    assert (direct.calls_per_answer, searching.calls_per_answer) == (1.0, 2.5)
    assert (direct.tokens_read_per_answer, direct.tokens_per_answer) == (40.0, 3.0)
    assert (direct.accuracy.questions, direct.accuracy.groups) == (4, 2)
    [contrast] = summary.contrasts
    assert (contrast.difference.mean, contrast.difference.groups) == (1.0, 2)
    assert summary.controls["list_functions"]["majority"].correct == 3
    assert summary.searched
    from rich.console import Console

    from limbeck.compare.console import comparison_table
    from limbeck.report.comparison import comparison_report

    console = Console(record=True, width=160, file=io.StringIO())
    console.print(comparison_table(summary))
    told = console.export_text()
    assert "list_functions without a student: majority 75.0 %" in told
    assert re.search(r"think_first +2\.5 +40\.0 +3\.0", told)
    page = comparison_report(summary, found.output_dir, title="rules").read_text("utf-8")
    assert "What is right without a student" in page
    assert "3 of 4" in page
