import json

import pytest

from limbeck.config import Evaluate, RecipeError, check
from limbeck.evaluate import evaluate, table
from limbeck.statistics import wilson_interval
from limbeck.summarize import summarize
from limbeck.vote import Vote, vote


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (["4"], Vote("4", (("4", 1),))),
        (["5", "4", "4.0", "$4"], Vote("4", (("4", 3), ("5", 1)))),
        (["5", "4"], Vote("5", (("5", 1), ("4", 1)))),  # a tie: the first
        (["5", "4", "4", "5"], Vote("5", (("5", 2), ("4", 2)))),
        ([None, "no", None], Vote("no", (("no", 1),))),  # silence does not vote
        ([None, None], Vote(None, ())),
        (["(B)", "B. banana", "b"], Vote("(B)", (("(B)", 3),))),
    ],
)
def test_the_commonest_answer_wins(answers, outcome):
    assert vote(answers) == outcome


def rows(*samples, gold="4", task="sums"):
    """Rows of one question; a sample is an answer that was written in some tokens."""
    return [
        {
            "task": task,
            "question": f"2 + 2 = {gold}?",
            "gold": gold,
            "way": "think-first",
            "answer": answer,
            "correct": answer == gold,
            "prompt_tokens": 7,
            "tokens_generated": tokens,
        }
        for answer, tokens in samples
    ]


def test_votes_are_counted_beside_samples():
    first = rows(("4", 10), ("5", 10), ("4", 20), ("6", 1), ("5", 1), ("5", 1))
    second = rows(("8", 5), (None, 5), (None, 5), ("9", 3), ("8", 3), ("9", 3), gold="8")
    task = summarize([*first, *second], votes_of=3)["sums"]
    # 4 of (4, 5, 4), 5 of (6, 5, 5); 8 of (8), 9 of (9, 8, 9).
    assert (task.vote.votes, task.vote.correct, task.vote.accuracy) == (4, 2, 0.5)
    assert (task.samples, task.correct) == (12, 4)
    assert task.vote.tokens_per_vote == (43 + 24) / 4
    assert task.tokens_per_answer == (43 + 24) / 12
    assert task.vote.low < 0.5 < task.vote.high
    assert summarize(first, votes_of=None)["sums"].vote is None


def test_votes_on_one_task_of_induction_are_one_observation():
    shown = "Input: [1]\nOutput: [2]\nInput: [{}]\nOutput:"
    said = {"tokens_generated": 2, "prompt_tokens": 9, "way": "answer-only", "answer": "[9]"}
    rows = [
        {"task": "list_functions", "question": shown.format(n), "gold": "[9]", "correct": True}
        | said
        for n in range(4)
    ]
    task = summarize(rows, votes_of=1)["list_functions"]
    assert (task.questions, task.groups, task.vote.votes) == (4, 1, 4)
    assert (task.vote.low, task.vote.high) == (task.low, task.high) == wilson_interval(1.0, 1)


def test_ways_are_counted_apart():
    mixed = rows(("4", 1), ("4", 1)) + rows(("5", 30), gold="5")
    mixed[0]["way"] = mixed[1]["way"] = "answer-first"
    mixed[1]["correct"] = False
    ways = summarize(mixed, votes_of=None)["sums"].ways
    assert {
        name: (way.answers, way.correct, way.tokens_per_answer) for name, way in ways.items()
    } == {
        "answer-first": (2, 1, 1.0),
        "think-first": (1, 1, 30.0),
    }


def test_an_evaluation_votes(random_student, tmp_path):
    path = tmp_path / "numbers.jsonl"
    path.write_text('{"question": "one", "answer": "five"}\n')
    settings = Evaluate(vote=3, n_samples=6, temperature=1.0)
    summary = evaluate(random_student, tasks=[str(path)], output_dir=tmp_path, settings=settings)
    task = summary.tasks["numbers"]
    assert (task.samples, task.vote.samples, task.vote.votes) == (6, 3, 2)
    stored = json.loads((tmp_path / "summary.json").read_text())
    assert stored["tasks"]["numbers"]["vote"]["votes"] == 2
    assert table(summary).splitlines()[-1].split()[:3] == ["vote", "of", "3"]


def test_a_vote_draws_its_samples():
    assert Evaluate(vote=5, temperature=0.7).draws == 5
    assert Evaluate(vote=2, n_samples=4, temperature=0.7).draws == 4
    assert Evaluate().draws == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vote": 5}, "vote repeats one greedy answer; set `temperature`"),
        ({"vote": 1, "temperature": 1}, "vote: input should be greater than or equal to 2"),
        ({"vote": 3, "n_samples": 4, "temperature": 1}, "no whole number of votes of 3"),
    ],
)
def test_votes_that_decide_nothing_are_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        check(Evaluate, settings)
