import json

import pytest

from limbeck import tasks
from limbeck.config import Teacher
from limbeck.errors import InputError
from limbeck.tasks import load, write_records


def write(path, *lines):
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    )
    return str(path)


def record(**fields):
    return json.dumps({"question": "1 + 1?", "answer": "2", **fields})


def test_a_generated_task_gives_its_test_questions():
    questions = load("coin_flip:flips=3", limit=5, seed=1)
    assert questions == list(tasks.get("coin_flip:flips=3").questions(5, seed=1, split="test"))
    assert len(load("coin_flip")) == 200


def test_the_domain_of_a_record_names_its_task(tmp_path):
    path = write(
        tmp_path / "sums.jsonl",
        "\ufeff" + record(id="a", domain="addition"),
        record(question="1 + 2?", answer=3),
        "",
        record(question="1 + 3?", answer=4.50, id=17),
    )
    assert [(each.task, each.id, each.answer) for each in load(path)] == [
        ("addition", "a", "2"),
        ("sums", "2", "3"),
        ("sums", "17", "4.5"),
    ]


def test_an_answer_number_is_read_as_written(tmp_path):
    path = write(tmp_path / "t.jsonl", '{"question": "q", "answer": 1.50e3}')
    assert load(path)[0].answer == "1.50e3"


def test_only_the_split_and_records_without_one_are_taken(tmp_path):
    path = write(
        tmp_path / "t.jsonl",
        record(question="a", split="train"),
        record(question="b", split="test"),
        record(question="c"),
    )
    assert [each.question for each in load(path)] == ["b", "c"]
    assert [each.question for each in load(path, split="train")] == ["a", "c"]
    with pytest.raises(InputError, match="no record of split 'test'"):
        load(write(tmp_path / "u.jsonl", record(split="train")))


def test_several_rationales_of_a_question_count_once(tmp_path):
    path = write(
        tmp_path / "t.jsonl",
        record(rationale="so"),
        record(rationale="or so"),
        record(answer="3"),
    )
    assert [each.answer for each in load(path)] == ["2", "3"]


def test_a_limit_samples_each_task_of_a_file(tmp_path):
    lines = [record(question=f"{n}?", domain=f"d{n % 2}") for n in range(100)]
    path = write(tmp_path / "t.jsonl", *lines)
    chosen = load(path, limit=10, seed=1)
    assert [each.task for each in chosen] == ["d0"] * 10 + ["d1"] * 10
    numbers = [int(each.question[:-1]) for each in chosen[:10]]
    assert numbers == sorted(numbers)
    assert numbers != list(range(0, 20, 2))
    assert chosen == load(path, limit=10, seed=1) != load(path, limit=10, seed=2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"t\.jsonl:2: column 2: .*; write one JSON object a line"),
        ("[]", r"t\.jsonl:2: not an object"),
        (b'{"question": "\xff"}', r"t\.jsonl:2: not UTF-8"),
        ('{"answer": "2"}', r"t\.jsonl:2: question: missing; give a string"),
        ('{"question": 2, "answer": "2"}', r"t\.jsonl:2: question: wrong type"),
        ('{"question": "q", "answer": ["2"]}', r"t\.jsonl:2: answer: wrong type"),
        ('{"question": "q", "answer": true}', r"t\.jsonl:2: answer: wrong type"),
        ('{"question": " ", "answer": "2"}', r"t\.jsonl:2: question: empty"),
        ('{"question": "\\ud800", "answer": "2"}', r"t\.jsonl:2: question: a lone surrogate"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = write(tmp_path / "t.jsonl", record(), line)
    with pytest.raises(InputError, match=message):
        load(path)


@pytest.mark.parametrize("name", ["sudoku", "nowhere.jsonl"])
def test_an_unknown_name_lists_the_known(name):
    with pytest.raises(InputError, match="neither a file nor a task; known are arith"):
        load(name)


def test_too_few_questions_are_refused():
    with pytest.raises(InputError, match=r"evaluate\.questions: 0 is too few"):
        load("coin_flip", limit=0)


def test_written_records_are_those_of_the_tasks(tmp_path):
    told = []
    path = write_records(
        ["coin_flip", "arithmetic"],
        tmp_path / "teach" / "records.jsonl",
        examples=10,
        teacher=Teacher(hallucination=0.5, conclusion="wrong", phrasings=1),
        seed=3,
        progress=lambda *news: told.append(news),
    )
    expected = [
        made
        for name in ("coin_flip", "arithmetic")
        for made in tasks.get(name).records(
            10, seed=3, hallucination=0.5, conclusion="wrong", phrasings=1
        )
    ]
    assert [json.loads(line) for line in path.read_text().splitlines()] == expected
    assert told == [(0, 20, "coin_flip"), (10, 20, "arithmetic"), (20, 20, "written")]
    assert [file.name for file in path.parent.iterdir()] == ["records.jsonl"]


def test_a_failure_leaves_no_half_a_file(tmp_path):
    with pytest.raises(InputError, match="phrasings: 9 asked"):
        write_records(
            ["coin_flip"], tmp_path / "r.jsonl", examples=10, teacher=Teacher(phrasings=9)
        )
    assert not list(tmp_path.iterdir())
