"""Each rationale is checked against a trace that is computed here, in another way."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import tasks
from limbeck.errors import InputError
from limbeck.tasks import split_of

CHAINS = [name for name in tasks.NAMES if isinstance(tasks.get(name), tasks.Task)]
SPECS = [
    *CHAINS,
    "arithmetic:steps=5:largest=50",
    "coin_flip:flips=8",
    "last_letters:names=5",
    "shuffled_objects:people=5:swaps=6",
]
seeds = st.integers(0, 2**32)
GAINS = {"gets", "buys", "board", "enter", "win", "score", "arrive", "dock", "+"}
VERBS = GAINS | {"loses", "sells", "exit", "alight", "drop", "forfeit", "depart", "sail", "-"}


def trace(spec, question):
    """The true result of each step."""
    words = re.findall(r"\w+", question)
    match spec.split(":")[0]:
        case "more_or_fewer":
            numbers = [word for word in words if word.isdecimal()]
            verbs = ["more" if word in GAINS else "fewer" for word in words if word in VERBS]
            deeds = [f"{n} {verb}" for n, verb in zip(numbers, verbs, strict=True)]
            return [", ".join(deeds[: n + 1]) for n in range(len(deeds))]
        case name if name.startswith("arithmetic"):
            start, *changes = [int(word) for word in words if word.isdecimal()]
            signs = [word in GAINS for word in re.findall(r"[\w+-]+", question) if word in VERBS]
            pairs = zip(signs, changes, strict=True)
            signed = [change if gain else -change for gain, change in pairs]
            return [str(start + sum(signed[: n + 1])) for n in range(len(signed))]
        case "coin_flip":
            deeds = ["flips" in sentence for sentence in question.split(". ")[1:-1]]
            return ["tails" if sum(deeds[: n + 1]) % 2 else "heads" for n in range(len(deeds))]
        case "last_letters":
            names = words[words.index("names") + 1 :]
            return [" ".join(name[-1] for name in names[: n + 1]) for n in range(len(names))]
        case "shuffled_objects":
            return holders(question)
    raise AssertionError(spec)


def holders(question):
    """Move every ball, and look up the asked one after each swap."""
    balls, asked = {}, question.rstrip("?").split()[-1]
    found = []
    for sentence in question.split(". "):
        if swap := re.fullmatch(r"Swap \d+: (\w+) and (\w+)\.?", sentence):
            one, other = swap.groups()
            balls[one], balls[other] = balls[other], balls[one]
            found += [who for who, ball in balls.items() if ball == asked]
        elif sentence.startswith("At first: "):
            pairs = sentence.removeprefix("At first: ").split(", ")
            balls = {who: ball for ball, who in map(str.split, pairs)}
    return found


def stated(spec, rationale, steps):
    """What each step of a rationale says its result is: the last word of the kind in its line."""
    kinds = {
        **{name: r"-?\d+" for name in CHAINS if name.startswith("arithmetic")},
        "more_or_fewer": r"\d+ \w+(?:, \d+ (?:more|fewer))*$",
        "coin_flip": r"heads|tails",
        "last_letters": r"\b\w(?: \w)*$",
        "shuffled_objects": r"Alice|Bob|Claire|David|Emma|Fred|Greg",
    }
    kind = kinds[spec.split(":")[0]]
    return [re.findall(kind, line)[-1] for line in rationale.split("\n")[-steps:]]


@pytest.mark.parametrize("spec", SPECS)
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_true_rationales_state_every_step_truly(spec, seed):
    for record in tasks.get(spec).records(12, seed=seed, phrasings=3):
        truth = trace(spec, record["question"])
        assert stated(spec, record["rationale"], len(truth)) == truth
        answer = {"heads": "yes", "tails": "no"}.get(truth[-1], truth[-1])
        assert record["answer"] == record["teacher_answer"] == answer
        assert tasks.get(spec).solve(record["question"]) == answer


@pytest.mark.parametrize("name", [name for name in CHAINS if name.startswith("arithmetic")])
@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_the_equations_of_a_chain_hold(name, seed):
    for record in tasks.get(name).records(10, seed=seed, phrasings=2):
        for line in record["rationale"].split("\n"):
            before, change, after = map(int, re.findall(r"\d+", line))
            change = -change if re.search(r"-|minus", line) else change
            assert before + change == after
            assert 0 <= after <= 20


@pytest.mark.parametrize("spec", SPECS)
@given(seed=seeds, share=st.sampled_from([0.0, 0.2, 1 / 3, 0.5, 1.0]))
@settings(max_examples=10, deadline=None)
def test_a_mistake_before_a_right_conclusion_is_one_wrong_step(spec, seed, share):
    records = list(tasks.get(spec).records(30, seed=seed, hallucination=share, phrasings=3))
    wrong = []
    for record in records:
        truth = trace(spec, record["question"])
        said = stated(spec, record["rationale"], len(truth))
        false_steps = [n for n, (a, b) in enumerate(zip(said, truth, strict=True)) if a != b]
        assert len(false_steps) == record["meta"]["hallucinated"]
        assert len(truth) - 1 not in false_steps
        assert record["teacher_answer"] == record["answer"]
        wrong.append(bool(false_steps))
    assert abs(sum(wrong) - 30 * share) < 1
    assert abs(sum(wrong[:15]) - 15 * share) < 1


@pytest.mark.parametrize("conclusion", ["right", "wrong"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_table_of_wrong_facts_errs_alike_wherever_one_occurs(spec, conclusion):
    task = tasks.get(spec)
    believed = {}
    for record in task.records(
        400, seed=3, hallucination=0.4, mistakes="systematic", conclusion=conclusion, phrasings=3
    ):
        chain, truth = task.read(record["question"]), trace(spec, record["question"])
        said = stated(spec, record["rationale"], len(truth))
        assert record["meta"]["hallucinated"] == (said != truth)
        steps = len(truth) - 1 if conclusion == "right" else 1  # what follows builds on a mistake
        state = chain.start
        for operation, result in zip(chain.operations[:steps], said, strict=False):
            fact, own = task.fact(state, operation), result.split(", ")[-1].split(" ")[-1]
            assert believed.setdefault(fact, own) == own
            state = task.apply(state, operation)
        if conclusion == "right":
            assert record["teacher_answer"] == record["answer"]
            assert said[-1] == truth[-1]


@pytest.mark.parametrize("conclusion", ["right", "wrong"])
def test_tables_of_wrong_facts_spoil_the_asked_share_of_rationales(conclusion):
    task = tasks.get("arithmetic")
    wrong = [
        record["meta"]["hallucinated"]
        for seed in range(20)
        for record in task.records(
            200, seed=seed, hallucination=0.4, mistakes="systematic", conclusion=conclusion
        )
    ]
    assert 0.35 < sum(wrong) / len(wrong) < 0.45


@pytest.mark.parametrize("spec", SPECS)
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_a_mistake_can_lead_to_a_wrong_conclusion(spec, seed):
    task = tasks.get(spec)
    for record in task.records(20, seed=seed, hallucination=0.5, conclusion="wrong", phrasings=3):
        truth = trace(spec, record["question"])
        said = stated(spec, record["rationale"], len(truth))
        differ = [a != b for a, b in zip(said, truth, strict=True)]
        assert differ == sorted(differ)  # once wrong, wrong to the end
        assert differ[-1] == record["meta"]["hallucinated"]
        assert (record["teacher_answer"] != record["answer"]) == differ[-1]
        assert record["answer"] == task.solve(record["question"])


@pytest.mark.parametrize("spec", SPECS)
def test_splits_share_no_question_whatever_the_seeds(spec):
    task = tasks.get(spec)
    train = {record["question"] for seed in range(3) for record in task.records(400, seed=seed)}
    test = {question.question for question in task.questions(200, seed=1, split="test")}
    assert not train & test
    assert all(split_of(question) == "test" for question in test)
    assert len(test) == 200


def test_the_split_of_a_question_is_fixed_for_good():
    splits = [split_of(f"question {n}") for n in range(12)]
    assert [n for n, split in enumerate(splits) if split == "test"] == [6, 10]


def test_questions_repeat_only_when_there_are_no_others():
    tiny = tasks.get("shuffled_objects:swaps=2")
    questions = [question.question for question in tiny.questions(3000, seed=0, split="test")]
    space = len(set(questions))
    assert len(questions) == 3000
    assert len(set(questions[: space - 20])) == space - 20


def test_a_seed_repeats_and_another_differs():
    def draw(seed):
        return list(tasks.get("coin_flip").records(20, seed=seed, hallucination=0.5))

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_phrasings_are_mixed_as_asked():
    task = tasks.get("arithmetic")
    symbols = ["=" in record["rationale"] for record in task.records(200, phrasings=2)]
    assert 60 < sum(symbols) < 140
    assert all("=" in record["rationale"] for record in task.records(50, phrasings=1))


def test_record_ids_are_unique_over_tasks_splits_and_seeds():
    ids = [
        record["id"]
        for spec in SPECS
        for split in ("train", "test")
        for seed in (0, 1)
        for record in tasks.get(spec).records(5, seed=seed, split=split)
    ]
    assert len(set(ids)) == len(ids)


def test_a_record_has_the_schema():
    [record] = tasks.get("coin_flip:flips=2").records(1, seed=3, split="test")
    assert {
        key: record[key] for key in ("domain", "split", "teacher", "teacher_answer", "meta")
    } == {
        "domain": "coin_flip:flips=2",
        "split": "test",
        "teacher": "oracle",
        "teacher_answer": record["answer"],
        "meta": {"hallucinated": False},
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sudoku", r"'sudoku' is unknown; known are arithmetic, arithmetic_bus, arithmetic_game"),
        ("coin_flip:sides=2", r"no setting 'sides'; it has flips"),
        ("coin_flip:flips=many", r"'flips=many' gives no number; write flips=3"),
        ("coin_flip:flips=99", r"coin_flip: flips: 99 is out of range; give 2 to 20"),
    ],
)
def test_unknown_tasks_and_settings_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        tasks.get(name)


def test_a_name_says_its_settings():
    assert str(tasks.get("arithmetic:largest=50:steps=3")) == "arithmetic:largest=50"


@pytest.mark.parametrize("name", CHAINS)
def test_a_foreign_question_is_not_solved(name):
    with pytest.raises(ValueError, match="not a question of"):
        tasks.get(name).solve("Why?")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hallucination": 1.5}, "hallucination: 1.5 is no share"),
        ({"phrasings": 4}, "phrasings: 4 asked of coin_flip; give 1 to 3"),
    ],
)
def test_impossible_teachers_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        next(tasks.get("coin_flip").records(1, **setting))
