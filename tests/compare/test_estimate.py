"""What a comparison will take is measured by trying it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from limbeck.arguments import arguments
from limbeck.asking import Answered, Asking
from limbeck.compare.estimate import Estimate, Trial, checkpoints_judged, walk_trial
from limbeck.compare.plan import plan_comparison
from limbeck.compare.preview import preview
from limbeck.compare.workers import Event
from limbeck.config import Train, check
from limbeck.encoder import Encoder, Passage
from limbeck.tasks import Question


def test_a_trial_measures_time_by_steps_and_leaves_only_what_is_shared(
    comparison: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder is one that no arm has trained yet; a slow one is seen to be slow."""
    pst = {"method": "pst", "targets": {"encoder": "cot", "batch_size": 2}}
    cot = {"name": "cot", "method": "think_first"}
    file = comparison(methods=["answer_only", cot, pst])

    def tried(steps: int) -> Event:
        return walk_trial(Trial(plan_comparison(file, [f"train.max_steps={steps}"]).cells[2]))

    short, long = tried(10), tried(10_000)
    assert short.error is None
    assert 0 < 100 * short.done < 4 * long.done, "a thousand times the steps take longer"
    assert long.total > 50 * 2**20, "PyTorch alone takes more"
    root = file.parent / "out"
    assert [path.name for path in root.iterdir()] == ["shared"]

    batches: list[int] = []
    states = Encoder.states

    def slowly(self: Encoder, passages: Sequence[Passage]) -> Any:
        batches.append(len(passages))
        time.sleep(0.3)
        return states(self, passages)

    monkeypatch.setattr(Encoder, "states", slowly)
    slow = tried(10)
    assert batches == [2, 2], "one to warm up, one to be timed"
    assert slow.done > short.done + 2000, "some twenty batches of 300 ms"


def test_a_trial_answers_a_batch_with_questions_of_every_task(
    comparison: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a question takes is their mean, and counts once for each that is to be asked."""
    tasks, asked = ["coin_flip", "last_letters"], Counter[str]()
    ask = Asking.ask

    def slowly(self: Asking, questions: Sequence[Question]) -> Answered:
        asked.update(question.task for question in questions)
        time.sleep(0.2 * len(questions))
        return ask(self, questions)

    monkeypatch.setattr(Asking, "ask", slowly)

    def tried(questions: int) -> Event:
        asked.clear()
        settings = {"tasks": tasks, "questions": questions, "batch_size": 4, "max_new_tokens": 4}
        return walk_trial(Trial(plan_comparison(comparison(evaluate=settings), []).cells[0]))

    some, more = tried(10), tried(40)
    assert asked == dict.fromkeys(tasks, 2)
    assert more.done - some.done > 0.8 * 200 * 60


class Here:
    """A pool that works in this process, which has loaded everything already."""

    def __init__(self, processes: int, threads: int) -> None:
        assert processes == 1, "one arm is tried at a time"
        assert threads >= 1
        self.told: list[Event] = []

    @property
    def is_idle(self) -> bool:
        return not self.told

    def start(self, job: Trial) -> None:
        self.told.append(walk_trial(job))

    def events(self) -> list[Event]:
        told, self.told = self.told, []
        return told

    def close(self) -> None:
        assert self.is_idle


def test_a_preview_tells_which_arm_it_tries_and_leaves_nothing(
    comparison: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("limbeck.compare.estimate"), "Pool", Here)
    told: list[tuple[int, int, str]] = []
    file = comparison(seeds=[0])
    *cells, estimate = preview(file, [], lambda *each: told.append(each))
    assert [cell.split()[:3] for cell in cells] == [
        ["to", "do", "answer_only/seed-0"],
        ["to", "do", "cot/seed-0"],
    ]
    assert told == [(0, 2, "trial of answer_only"), (1, 2, "trial of cot")]
    assert estimate.startswith("estimate, from 6 steps and a batch of answers of each arm: about ")
    assert "not counted" not in estimate
    assert not (file.parent / "out").exists()


@pytest.mark.parametrize(
    ("settings", "times"),
    [
        ({"save_steps": 30}, 3),
        ({"save_steps": 0.25}, 4),
        ({"save_strategy": "epoch"}, 5),
        ({"save_strategy": "no"}, 0),
    ],
)
def test_checkpoints_are_judged_as_the_trainer_does(
    settings: dict[str, object], times: int, tmp_path: Path
) -> None:
    args = arguments(check(Train, settings), tmp_path, 0, validated=True)
    assert checkpoints_judged(args, steps=100, per_epoch=20) == times


def test_an_estimate_says_what_it_does_not_count() -> None:
    told = str(Estimate({"pst": 90.0}, {"adaptive": "no data"}, 360.0, 2**30, 2))
    assert "about 6 min 00 s in all (pst 90.0 s a cell), 2 × 1.0 GiB of memory" in told
    assert told.endswith("\nnot counted: adaptive: no data")
