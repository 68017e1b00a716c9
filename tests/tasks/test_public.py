"""The public sets: each column mapping on rows as its publisher has them, splits, real records."""

import json

import pytest
from datasets import Dataset, DatasetDict

from limbeck.config import Evaluate, check
from limbeck.errors import InputError
from limbeck.sources import Data
from limbeck.tasks import SETS, find, load, write_records
from limbeck.tasks.public.base import PublicTask

MATHS = {"question": " 1 + 1? ", "final_ans": "2"}
COIN = "Q: A coin is heads up. Al flips the coin. Is the coin still heads up?"
BIGBENCH = {
    "idx": 0,
    "inputs": "Q: Which?\nA:",
    "targets": ["two"],
    "multiple_choice_targets": ["one", "two", "three"],
    "multiple_choice_scores": [0, 1, 0],
}
AQUA = {
    "question": "x = 2 + 3?",
    "options": ["A)4", "B)5"],
    "rationale": "2 + 3 = 5\n",
    "correct": "B",
}
CHOICES = {"label": ["A", "B"], "text": ["sea", "pen"]}

# name: (splits of the hub with one row each, question and answer of the first)
ROWS = {
    "single_eq": ({"train": {"input": "1 + 1?", "target": 2.0}}, "1 + 1?", "2"),
    "addsub": ({"train": {"input": "1 + 1?", "target": 0.7}}, "1 + 1?", "0.7"),
    "multiarith": ({"train": MATHS, "test": MATHS | {"question": "?"}}, "1 + 1?", "2"),
    "gsm8k": (
        {
            "train": {"question": "1 + 1?", "answer": "1+1=<<1+1=2>>2\n#### 2"},
            "test": {"question": "?", "answer": "#### 1"},
        },
        "1 + 1?",
        "2",
    ),
    "aqua": (
        {"train": AQUA, "test": AQUA | {"question": "?"}},
        "x = 2 + 3? Answer Choices: (A) 4 (B) 5",
        "B",
    ),
    "svamp": (
        {
            "train": {"Body": "Al has 3 pens", "Question": "How many?", "Answer": 3.0},
            "test": {"Body": "Al has 3 pens.", "Question": "Why?", "Answer": 3.0},
        },
        "Al has 3 pens. How many?",
        "3",
    ),
    "date_understanding": (
        {"train": BIGBENCH, "validation": BIGBENCH | {"inputs": "?"}},
        "Which? Answer Choices: (A) one (B) two (C) three",
        "B",
    ),
    "shuffled_objects_public": (
        {"train": BIGBENCH, "validation": BIGBENCH | {"inputs": "?"}},
        "Which? Answer Choices: (A) one (B) two (C) three",
        "B",
    ),
    "last_letters_public": (
        {
            "train": {"question": 'The last letters of "Al Bo"?', "answer": "lo"},
            "test": {"question": "?", "answer": "l"},
        },
        'The last letters of "Al Bo"?',
        "lo",
    ),
    "coin_flip_public": (
        {
            "train": {"inputs": COIN + " A:", "targets": "No"},
            "test": {"inputs": "?", "targets": "yes"},
        },
        COIN.removeprefix("Q: "),
        "no",
    ),
    "commonsense_qa": (
        {
            "train": {"question": "Where is ink?", "choices": CHOICES, "answerKey": "B"},
            "validation": {"question": "?", "choices": CHOICES, "answerKey": "A"},
        },
        "Where is ink? Answer Choices: (A) sea (B) pen",
        "B",
    ),
    "strategy_qa": (
        {
            "train": {"question": "Is ink wet?", "answer": True},
            "test": {"question": "?", "answer": False},
        },
        "Is ink wet?",
        "yes",
    ),
}


def save(path, splits):
    data = {split: Dataset.from_list(rows) for split, rows in splits.items()}
    DatasetDict(data).save_to_disk(str(path))
    return path


def sizes(name, path=None):
    split = SETS[name].split(path)
    return {side: len(split[side]) for side in sorted(split)}


def test_the_protocols_sets_are_all_there():
    assert ROWS.keys() == SETS.keys()
    assert {name: each.sizes for name, each in SETS.items()} == {
        "single_eq": (356, 152),
        "addsub": (276, 119),
        "multiarith": (420, 180),
        "gsm8k": (7473, 1319),
        "aqua": (10_000, 254),
        "svamp": (700, 300),
        "date_understanding": (258, 111),
        "shuffled_objects_public": (525, 225),
        "last_letters_public": (350, 150),
        "coin_flip_public": (350, 150),
        "commonsense_qa": (9741, 1221),
        "strategy_qa": (1603, 687),
    }


@pytest.mark.parametrize("name", ROWS)
def test_a_publishers_columns_become_question_and_answer(name, tmp_path):
    splits, question, answer = ROWS[name]
    save(tmp_path / "copy", {split: [row] for split, row in splits.items()})
    sides = SETS[name].split(tmp_path / "copy").values()
    found = [items[0] for side in sides for items in side]
    assert (question, answer) in [(item.question, item.answer) for item in found]
    assert len(found) == len(splits)
    if SETS[name].hub.test is not None:
        [train] = load(f"{name}:path={tmp_path / 'copy'}", split="train")
        assert (train.task, train.question, train.answer) == (name, question, answer)
        assert train.kind == SETS[name].kind


def test_human_rationales_come_with_the_records(tmp_path):
    save(tmp_path / "g", {split: [row] for split, row in ROWS["gsm8k"][0].items()})
    [record] = find(f"gsm8k:path={tmp_path / 'g'}").records()
    assert record == {
        "id": "gsm8k-train-00000",
        "domain": "gsm8k",
        "question": "1 + 1?",
        "answer": "2",
        "rationale": "1+1=<<1+1=2>>2",
        "teacher": "human",
        "split": "train",
    }


def test_a_repositorys_copy_is_read_as_the_hub_is(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    file = tmp_path / "copy/data/mawps/addsub.jsonl"
    file.parent.mkdir(parents=True)
    rows = [{"input": f"1 + {n}?", "target": n + 1} for n in range(395)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "copy/README.md").write_text("# Other files of the repository\n")
    assert sizes("addsub", tmp_path / "copy") == {"train": 276, "test": 119}


def test_the_rule_of_places_is_the_published_one(tmp_path):
    """The first and last test places of the split that Fine-tune-CoT's authors put down."""
    path = tmp_path / "addsub.jsonl"
    path.write_text(
        "".join(json.dumps({"question": f"q{n}", "answer": n}) + "\n" for n in range(395))
    )
    test = [int(items[0].answer) for items in SETS["addsub"].split(path)["test"]]
    assert test[:13] == [0, 9, 23, 25, 28, 31, 32, 36, 38, 39, 41, 42, 43]
    assert test[-5:] == [377, 379, 381, 382, 393]


def test_a_larger_split_is_sampled_to_the_protocols_size(tmp_path):
    rows = [{"inputs": f"coin {n}?", "targets": "yes"} for n in range(400)]
    path = save(tmp_path / "coins", {"train": rows, "test": [{"inputs": "?", "targets": "no"}]})
    train = SETS["coin_flip_public"].split(path)["train"]
    questions = [items[0].question for items in train]
    assert len(questions) == 350
    assert questions == sorted(questions, key=lambda text: int(text[5:-1]))


def test_other_numbers_of_objects_are_left_out(tmp_path):
    five = BIGBENCH | {
        "multiple_choice_targets": list("abcde"),
        "multiple_choice_scores": [1, 0, 0, 0, 0],
    }
    path = save(tmp_path / "b", {"train": [BIGBENCH, five | {"inputs": "5"}], "validation": [five]})
    assert sum(sizes("shuffled_objects_public", path).values()) == 1


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("addsub", "addsub", {"train": 276, "test": 119}),
        ("singleeq", "single_eq", {"train": 356, "test": 152}),
        ("svamp", "svamp", {"train": 700, "test": 300}),
        ("date_understanding", "date_understanding", {"train": 258, "test": 111}),
        ("last_letters", "last_letters_public", {"train": 350, "test": 150}),
        ("coin_flip", "coin_flip_public", {"train": 350, "test": 150}),
        # One question stands in it twice.
        ("strategy_qa", "strategy_qa", {"train": 1602, "test": 687}),
    ],
)
def test_real_records_part_as_the_protocol_does(shared, file, name, expected):
    path = shared / "data" / "cot" / f"{file}.jsonl"
    assert sizes(name, path) == expected
    records = list(find(f"{name}:path={path}").records())
    assert len(records) == expected["train"] + (name == "strategy_qa")
    assert all(record["rationale"] and record["teacher_answer"] is not None for record in records)


def test_real_files_of_splits_are_those(shared):
    assert sizes("gsm8k", shared / "data" / "gsm8k") == {"train": 7473, "test": 1319}


def test_gold_answers_of_real_records_are_of_their_kind(shared):
    """The parser leaves what is an answer already equal to itself."""
    from limbeck._native import answers_equal
    from limbeck.tasks.answers import parse

    for file, name in [("addsub", "addsub"), ("date_understanding",) * 2, ("strategy_qa",) * 2]:
        for question in load(f"{name}:path={shared}/data/cot/{file}.jsonl"):
            parsed = parse(question.kind, question.answer, question.question)
            assert answers_equal(parsed, question.answer), question


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_no_test_question_comes_into_training(tmp_path):
    """Of one set, and of two that share a question in other capitals and spaces."""
    write(
        tmp_path / "a.jsonl",
        [
            {"question": "One?", "answer": 1, "rationale": "r", "split": "test"},
            {"question": "one?", "answer": 1, "rationale": "r", "split": "train"},
            {"question": "TWO?", "answer": 2, "rationale": "r", "split": "validation"},
            {"question": "two?", "answer": 2, "rationale": "r", "split": "train"},
            {"question": "three ?", "answer": 3, "rationale": "r"},
            {"question": "three ?", "answer": 3, "rationale": "another"},
        ],
    )
    write(
        tmp_path / "b.jsonl",
        [
            {"question": "four", "answer": 4, "split": "train"},
            {"question": "Three  ?", "answer": 3, "split": "test"},
        ],
    )
    alone = write_records([f"addsub:path={tmp_path}/a.jsonl"], tmp_path / "one.jsonl", examples=1)
    found = [json.loads(line) for line in alone.read_text().splitlines()]
    assert [(each["question"], each["split"], each["rationale"]) for each in found] == [
        ("three ?", "train", "r"),
        ("three ?", "train", "another"),
        ("TWO?", "validation", "r"),
    ]
    both = [f"addsub:path={tmp_path}/a.jsonl", f"svamp:path={tmp_path}/b.jsonl"]
    path = write_records(both, tmp_path / "two.jsonl", examples=1)
    questions = [json.loads(line)["question"] for line in path.read_text().splitlines()]
    assert questions == ["TWO?", "four"]


def test_questions_are_sampled_by_seed(tmp_path):
    path = write(tmp_path / "t.jsonl", [{"question": f"q{n}", "answer": n} for n in range(100)])
    name = f"addsub:path={path}"
    assert len(load(name)) == 30
    assert load(name, limit=5, seed=1) == load(name, limit=5, seed=1) != load(name, limit=5, seed=2)
    assert {each.id for each in load(name, limit=5)} <= {each.id for each in load(name)}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gsm8k:steps=3", "gsm8k has no setting 'steps=3'; it has path="),
        ("gsm8k:path", "has no setting 'path'"),
        ("gsm8k:path=absent.jsonl", r"absent\.jsonl: no such file"),
        ("gsm8k:path={tmp}/bad", r"gsm8k: a row with the columns prompt is none of openai/gsm8k"),
        ("gsm8k:path={tmp}/part", r"has no split 'test', only train"),
        ("gsm8k:path={tmp}/empty", r"gsm8k: .*empty: cannot be loaded"),
        ("addsub:path={tmp}/line.jsonl", r"line\.jsonl:1: answer: missing"),
    ],
)
def test_what_is_no_such_set_is_refused(tmp_path, monkeypatch, name, message):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    save(tmp_path / "bad", {"train": [{"prompt": "1"}], "test": [{"prompt": "1"}]})
    save(tmp_path / "part", {"train": [ROWS["gsm8k"][0]["train"]]})
    (tmp_path / "empty").mkdir()
    write(tmp_path / "line.jsonl", [{"question": "one"}])
    with pytest.raises(InputError, match=message):
        load(name.format(tmp=tmp_path))


def test_a_recipe_names_tasks_with_their_settings():
    tasks = ["coin_flip", {"name": "arithmetic", "steps": 4, "largest": 50}]
    assert check(Data, {"tasks": tasks}).tasks == ("coin_flip", "arithmetic:steps=4:largest=50")
    local = {"name": "svamp", "path": "data/svamp.jsonl"}
    assert check(Evaluate, {"tasks": [local]}).tasks == ("svamp:path=data/svamp.jsonl",)
    with pytest.raises(InputError, match=r"tasks\.0: .*valid string"):
        check(Data, {"tasks": [{"steps": 4}]})


def test_a_set_is_a_task():
    task = find("svamp")
    assert isinstance(task, PublicTask)
    assert (str(task), task.path) == ("svamp", None)
