"""The search by scripts whose rules are known: which rule answers, and what it takes."""

from __future__ import annotations

import pytest

from limbeck.config import RecipeError, check
from limbeck.induction import InductionTask, Pair
from limbeck.inference import Inference
from limbeck.search import Usage, search

RULES = ("xs", "xs[1:]", "xs[::-1]", "sorted(xs)")


def test_the_rule_that_satisfies_the_demonstrations_answers(script, tasks):
    backend = script(lambda prompt, samples: RULES[:samples])
    drop, turn = search(tasks, backend, settings=Inference(hypotheses=4, scoring="exact"))
    assert (drop.best.rule, drop.answers) == ("xs[1:]", ("[1]", "[8, 2]"))
    assert (turn.best.rule, turn.answers) == ("xs[::-1]", ("[1, 5]",))
    assert [one.satisfied for one in drop.rules] == [0, 3, 0, 0]
    assert [one.satisfied for one in turn.rules] == [1, 0, 3, 1]
    # Both tasks in one batch, a prompt each, and nothing is asked of the model for scores.
    assert backend.asked == [(2, 4, 0.9)]
    assert drop.usage == turn.usage == Usage(rule_calls=4, prompt_tokens=10, completion_tokens=4)


def test_of_equals_the_first_answers(script, tasks):
    said = ("xs[len(xs):]", "xs[1:] + []", "xs[1:]")
    [found] = search(
        tasks[:1], script(lambda prompt, samples: said), settings=Inference(hypotheses=3)
    )
    assert [one.satisfied for one in found.rules] == [1, 3, 3]
    assert found.best is found.rules[1]


@pytest.mark.parametrize("said", [("no rule", ""), (None, None)])
def test_where_nothing_is_a_rule_nothing_is_answered(script, tasks, said):
    backend = script(lambda prompt, samples: said)
    [found] = search(tasks[:1], backend, settings=Inference(hypotheses=2, scoring="exact"))
    assert found.answers == (None, None)
    assert all(one.fault for one in found.rules)
    assert found.usage.calls == 2


def test_a_model_applies_what_no_executor_reads(script, tasks):
    def say(prompt, samples):
        if not prompt.startswith("Apply"):
            return ("xs", "Leave the first one out.", "Rule: nonsense")
        rule = prompt.partition("Rule: ")[2].partition("\n")[0]
        numbers = prompt.rpartition("Input: [")[2].partition("]")[0].split(", ")
        return ["Output: [" + ",".join(numbers[1:]) + "]" if "first" in rule else "[]"]

    backend = script(say)
    [found] = search(tasks[:1], backend, settings=Inference(hypotheses=3))
    assert (found.best.rule, found.best.by) == ("Leave the first one out.", "model")
    assert found.answers == ("[1]", "[8, 2]")
    assert [one.by for one in found.rules] == ["executor", "model", "model"]
    assert [one.satisfied for one in found.rules] == [0, 3, 1]
    assert found.rules[2].answers is None, "only the best rule is put to the queries"
    # One batch of rules, one of demonstrations, one of queries.
    assert backend.asked == [(1, 3, 0.9), (6, 1, 0.7), (2, 1, 0.7)]
    assert found.usage == Usage(3, 8, prompt_tokens=90, completion_tokens=11)


def test_exact_leaves_the_model_out(script, tasks):
    backend = script(lambda prompt, samples: ("Leave the first one out.", "xs"))
    [found] = search(tasks[:1], backend, settings=Inference(hypotheses=2, scoring="exact"))
    assert len(backend.asked) == 1
    assert found.rules[0].fault is not None
    assert found.best.rule == "xs"


def test_a_rule_that_was_drawn_twice_is_applied_once(script, tasks):
    backend = script(lambda prompt, samples: ("keep", "keep", None, "keep")[:samples])
    [found] = search(tasks[:1], backend, settings=Inference(hypotheses=4, scoring="model"))
    assert backend.asked[1:] == [(3, 1, 0.7), (2, 1, 0.7)]
    assert [one.rule for one in found.rules] == ["keep", "keep", "", "keep"]
    assert found.rules[0] is found.rules[3]
    assert found.usage.calls == 4 + 3 + 2


@pytest.mark.parametrize(
    ("kind", "shown", "asked", "calls"),
    [("one_d_arc", 3, 1, 41), ("acre", 6, 4, 74), ("list_functions", 8, 8, 98),
     ("miniscan", 14, 10, 160)],
)  # fmt: skip
def test_the_calls_of_a_task_are_the_papers(script, kind, shown, asked, calls):
    pairs = [Pair(f"[{n}]", f"[{n}]") for n in range(shown + asked)]
    task = InductionTask(kind, "0", tuple(pairs[:shown]), tuple(pairs[shown:]))
    backend = script(lambda prompt, samples: [f"rule {n}" for n in range(samples)])
    [found] = search([task], backend, settings=Inference(scoring="model"))
    assert found.usage.calls == calls
    assert sum(prompts * samples for prompts, samples, _ in backend.asked) == calls


def test_several_greedy_rules_are_refused():
    with pytest.raises(RecipeError, match=r"several rules repeat one greedy rule"):
        check(Inference, {"mode": "search", "temperature": 0})
    assert check(Inference, {"mode": "search", "temperature": 0, "hypotheses": 1}).temperature == 0
