"""What the page says, what it does not pretend, and how it is written."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from limbeck.errors import InputError
from limbeck.report import report, results_table


def words(path: Path) -> str:
    """The text of the page without its markup, style sheet and drawings."""
    page = path.read_text("utf-8")
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).replace("&nbsp;", " ").split())


@pytest.fixture
def run_dir(fake: Any, tmp_path: Path) -> Path:
    return fake.write(tmp_path / "run")


def test_the_page_is_written_into_the_run(run_dir: Path) -> None:
    path = report(run_dir)
    assert path == run_dir / "report.html"
    assert path.stat().st_mode & 0o044 == 0o044 & ~_umask()
    assert [each.name for each in run_dir.iterdir() if "part" in each.name] == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_interrupted_write_leaves_the_old_page(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = run_dir / "report.html"
    page.write_text("old", "utf-8")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        report(run_dir)
    assert page.read_text("utf-8") == "old"
    assert [each.name for each in run_dir.iterdir() if "part" in each.name] == []


def test_the_same_run_gives_the_same_bytes(run_dir: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.html", tmp_path / "new" / "second.html"
    report(run_dir, output=first)
    code = "import sys; from limbeck.report import report; report(sys.argv[1], output=sys.argv[2])"
    subprocess.run(
        [sys.executable, "-c", code, run_dir, second],
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        check=True,
    )
    assert first.read_bytes() == second.read_bytes()


def test_nothing_is_fetched(demo_page: Path) -> None:
    page = demo_page.read_text("utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)=["'](?!#|data:,)""", page)
    assert "url(" not in re.sub(r"url\(#", "", page)
    assert "@import" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_drawings_do_not_style_the_page(demo_page: Path) -> None:
    page = demo_page.read_text("utf-8")
    assert page.count("<style") == 1
    assert not re.search(r'style="[^"]*#[0-9a-f]{6}', page), "a colour that dark mode cannot change"
    assert "<?xml" not in page
    assert "<metadata" not in page


def test_numbers_of_the_run_are_on_the_page(run_dir: Path) -> None:
    summary = json.loads((run_dir / "evaluate" / "summary.json").read_text("utf-8"))
    found = summary["tasks"]["arithmetic"]
    text = words(report(run_dir))
    assert (
        f"{100 * found['accuracy']:.1f} % {100 * found['low']:.1f} to {100 * found['high']:.1f}"
        in text
    )
    assert "12 × 1" in text
    assert "312,480 parameters" in text
    manifest = json.loads((run_dir / "prepared" / "manifest.json").read_text("utf-8"))
    assert f"{manifest['rows']} × 256" in text
    assert "answer mismatch" in text
    assert "Not finished" not in text


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("evaluate", "No evaluation"),
        ("student", "No training log"),
        ("prepared", "Nothing prepared"),
        ("targets", "left nothing: targets"),
    ],
)
def test_a_missing_stage_is_said_to_be_missing(run_dir: Path, stage: str, said: str) -> None:
    shutil.rmtree(run_dir / stage)
    text = words(report(run_dir))
    assert said in text
    assert f"left nothing: {stage} ." in text.replace(f"{stage}.", f"{stage} .")


def test_a_run_that_has_only_begun(run_dir: Path) -> None:
    for stage in ("teach", "prepared", "targets", "student", "evaluate"):
        shutil.rmtree(run_dir / stage)
    text = words(report(run_dir))
    assert "left nothing: prepared , targets , student , evaluate" in text
    assert "The whole recipe" in text


def test_unequal_budgets_stand_beside_the_accuracies(demo_page: Path) -> None:
    text = words(demo_page)
    assert "examples seen 1.8-fold" in text
    assert "tokens processed" not in text.partition("differ in")[2].partition(".")[0]


def test_the_accuracy_on_held_out_questions_stands_beside_the_tests(demo_page: Path) -> None:
    page = demo_page.read_text("utf-8")
    assert page.count('<span title="40 questions">75.3 %</span>') == 3  # of three methods


def test_votes_stand_below_the_single_samples(fake: Any, demo_page: Path, tmp_path: Path) -> None:
    fake.methods, fake.questions, fake.samples, fake.vote = ("think_first",), 12, 6, True
    run = fake.write(tmp_path / "voted")
    text = words(report(run))
    # Held out was arithmetic alone; of 12 questions there are two votes each.
    assert "arithmetic, vote of 3 91.4 % 85.1 to 95.2 91.4 % 11.5 % 12 × 2 – 87.6" in text
    assert "coin flip, vote of 3 91.4 % 85.1 to 95.2 – 50.0 % 12 × 2 – 87.6" in text
    assert "A vote is the commonest answer" in text
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(results_table(run))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert lines.count(["vote", "of", "3", "91.4", "%", "85.1–95.2", "87.6"]) == 4
    assert "vote" not in words(demo_page)


def test_an_accuracy_within_chance_is_marked(demo_page: Path) -> None:
    text = words(demo_page)
    assert text.count("not above chance") == 2, "answer_only and pst on shuffled objects"


def test_control_characters_are_spelled_out(fake: Any, tmp_path: Path) -> None:
    fake.generation = "red \x1b[31m \x00 \u202e back"
    page = report(fake.write(tmp_path / "run")).read_text("utf-8")
    assert r"red \x1b[31m \x00 \u202e back" in page


def test_names_that_plots_would_choke_on(fake: Any, tmp_path: Path) -> None:
    fake.tasks = {"$\\frac{$ \x1b\x00 \uffff": 0.5, "问答 %s": 0.1}
    page = report(fake.write(tmp_path / "run")).read_text("utf-8")
    (drawing,) = re.findall(r'<svg[^>]*id="accuracy".*?</svg>', page, flags=re.DOTALL)
    assert r"$\frac{$ \x1b\x00 \uffff</text>" in drawing
    assert "问答 %s</text>" in drawing


def test_diverged_training_is_drawn_as_far_as_it_goes(run_dir: Path) -> None:
    path = run_dir / "student" / "trainer_state.json"
    state = json.loads(path.read_text("utf-8"))
    for entry in state["log_history"][30:]:
        entry["loss"] = float("nan")
    path.write_text(json.dumps(state), "utf-8")
    assert 'id="curve-loss"' in report(run_dir).read_text("utf-8")


def test_home_is_not_shown(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    fake.source = "/home/someone/data/records.jsonl"
    page = report(fake.write(tmp_path / "run")).read_text("utf-8")
    assert "~/data/records.jsonl" in page
    assert "/home/someone" not in page


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_what_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"{name}: .*output_dir of a run"):
        report(tmp_path / name)


def test_a_directory_is_no_output(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory; name the file"):
        report(run_dir, output=tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("student/training.json", "{", r"training.json: not JSON .*run its stage again"),
        ("student/training.json", "{}", r"training.json: steps: Field required"),
        ("evaluate/results.jsonl", '\n{"task": "a"}\n', r"results.jsonl:2: id: Field required"),
        ("prepared/state.json", "{}", r"state.json: not the state of a data set"),
    ],
)
def test_damaged_files_are_named(run_dir: Path, file: str, text: str, said: str) -> None:
    (run_dir / file).write_text(text, "utf-8")
    with pytest.raises(InputError, match=said):
        report(run_dir)
