import json

import pytest

from limbeck.config import Evaluate
from limbeck.errors import InputError
from limbeck.evaluate import evaluate, table
from limbeck.tasks import Question

PROMPT = 5


@pytest.fixture
def student(scripted_student):
    """A student that answers `five` to a question of one word, and ` five six` else not."""
    return scripted_student(["."] * PROMPT + ["Ġfive", "Ġsix", "<|endoftext|>"], "answer-only")


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "numbers.jsonl"
    records = [
        {"id": "a", "question": "one", "answer": "five six", "domain": "short"},
        {"id": "b", "question": "two", "answer": "Five six.", "domain": "short"},
        {"id": "c", "question": "six", "answer": "two", "domain": "short"},
        {"id": "d", "question": "one two", "answer": "six"},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_results_and_summary(student, questions, tmp_path):
    out = tmp_path / "evaluate"
    summary = evaluate(student, tasks=[questions], output_dir=out, settings=Evaluate(), seed=3)
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "task": "short",
        "id": "a",
        "question": "one",
        "prompt": "Question: one\nAnswer:",
        "prompt_tokens": 6,
        "gold": "five six",
        "sample": 0,
        "seed": 3,
        "way": "answer-only",
        "text": " five six",
        "answer": "five six",
        "correct": True,
        "tokens_generated": 3,
    }
    assert [(row["id"], row["correct"]) for row in rows] == [
        ("a", True),
        ("b", True),
        ("c", False),
        ("d", True),
    ]
    stored = json.loads((out / "summary.json").read_text())
    assert set(stored) == {
        *("student", "method", "decoding", "seed", "split", "tasks", "validation"),
        *("controls", "searches"),
    }
    assert stored["controls"] == stored["searches"] == {}, "only induction tasks have these"
    assert (stored["student"], stored["method"], stored["seed"]) == (str(student), "test", 3)
    assert stored["decoding"]["order"] == "answer-only"
    low, high = 0.207660, 0.938510  # Wilson, 2 of 3
    assert stored["tasks"]["short"] == {
        "accuracy": pytest.approx(2 / 3),
        "low": pytest.approx(low, abs=1e-5),
        "high": pytest.approx(high, abs=1e-5),
        "questions": 3,
        "groups": 3,
        "samples": 3,
        "correct": 2,
        "chance": pytest.approx(1 / 3),
        "tokens_per_answer": 3.0,
        "prompt_tokens_per_answer": 6.0,
        "answered": 1.0,
        "ways": {"answer-only": {"answers": 3, "correct": 2, "tokens_per_answer": 3.0}},
        "vote": None,
    }
    assert stored["tasks"]["numbers"]["tokens_per_answer"] == 2.0
    assert summary.tasks["short"].correct == 2
    assert sorted(path.name for path in out.iterdir()) == ["results.jsonl", "summary.json"]


def test_held_out_questions_stand_beside_the_tests(student, questions, tmp_path):
    held_out = [
        Question("short", "h", "one", "five six"),
        Question("short", "i", "two", "seven"),
        Question("short", "j", "six", "5, then 6", "letters"),
    ]
    out = tmp_path / "out"
    alone = evaluate(student, tasks=[questions], output_dir=out, settings=Evaluate())
    assert alone.validation == {}
    assert not (out / "validation.jsonl").exists()
    both = evaluate(
        student, tasks=[questions], output_dir=out, settings=Evaluate(), held_out=held_out
    )
    assert both.tasks == alone.tasks
    assert (both.validation["short"].questions, both.validation["short"].correct) == (3, 1)
    rows = [json.loads(line) for line in (out / "validation.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["h", "i", "j"]
    assert rows[2]["answer"] == "fivesix"  # as its kind has it
    evaluate(student, tasks=[questions], output_dir=out, settings=Evaluate())
    assert not (out / "validation.jsonl").exists(), "another evaluation's answers were left"


def test_the_validation_split_is_asked_in_place_of_the_tests(student, questions, tmp_path):
    held_out = [Question("short", "h", "one", "five six"), Question("short", "i", "two", "seven")]
    settings = Evaluate(split="validation")
    out = tmp_path / "out"
    found = evaluate(
        student, tasks=[questions], output_dir=out, settings=settings, held_out=held_out
    )
    assert (found.split, found.tasks["short"].questions, found.validation) == ("validation", 2, {})
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["h", "i"]
    with pytest.raises(InputError, match=r"^evaluate\.split: validation: no question is held out"):
        evaluate(student, tasks=[questions], output_dir=out, settings=settings)


def test_samples_are_rows_and_count_once_a_question(random_student, questions, tmp_path):
    settings = Evaluate(n_samples=4, temperature=1.0, questions=2)
    summary = evaluate(
        random_student,
        tasks=["coin_flip:flips=2", questions],
        output_dir=tmp_path,
        settings=settings,
    )
    shape = {name: (task.questions, task.samples) for name, task in summary.tasks.items()}
    assert shape == {"coin_flip:flips=2": (2, 8), "short": (2, 8), "numbers": (1, 4)}
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row["sample"] for row in rows] == [0, 1, 2, 3] * 5
    assert [row["seed"] for row in rows] == [0, 1, 2, 3] * 5


def test_files_of_one_task_are_one_task(student, questions, tmp_path):
    more = tmp_path / "more.jsonl"
    more.write_text(
        '{"question": "four", "answer": "two", "domain": "short"}\n'
        '{"question": "one", "answer": "five six", "domain": "short"}\n'
    )
    summary = evaluate(
        student, tasks=[questions, str(more)], output_dir=tmp_path / "out", settings=Evaluate()
    )
    assert summary.tasks["short"].questions == 4
    assert summary.tasks["short"].chance == 0.5  # "two", of four different questions


def test_a_failed_run_leaves_no_summary(student, questions, tmp_path, monkeypatch):
    out = tmp_path / "out"
    evaluate(student, tasks=[questions], output_dir=out, settings=Evaluate())
    from pathlib import Path

    replace = Path.replace

    def break_off(self, target):
        if self.name == ".summary.json.tmp":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", break_off)
    with pytest.raises(KeyboardInterrupt):
        evaluate(student, tasks=[questions], output_dir=out, settings=Evaluate())
    assert not (out / "summary.json").exists()


def test_tasks_are_needed(student, tmp_path):
    with pytest.raises(InputError, match="tasks: none given"):
        evaluate(student, tasks=[], output_dir=tmp_path, settings=Evaluate())


def test_the_table_shows_each_task(student, questions, tmp_path):
    summary = evaluate(student, tasks=[questions], output_dir=tmp_path / "o", settings=Evaluate())
    lines = table(summary).splitlines()
    assert [line.split()[0] for line in lines] == ["task", "short", "numbers"]
    assert "66.7%" in lines[1]
    assert "2/3" in lines[1]
