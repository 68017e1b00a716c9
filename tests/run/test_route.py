"""Adaptive thinking through `limbeck run`: folds, judges, labels, and the student that chooses."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.run.test_run import Log

import limbeck
from limbeck.config import Route
from limbeck.errors import InputError
from limbeck.reading import Reader
from limbeck.recipes import adaptive, pst
from limbeck.route import deal, fold_sources, judge_recipe, needs_route, one_sided, write_ways
from limbeck.sources import Source

FOLDS = 3
ROUTE = Route(folds=FOLDS)
COMMON = {
    "student": {
        "config": {
            "model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 128,
        }
    },
    "prepare": {"max_length": 128, "packing": "none"},
    "route": {"folds": FOLDS, "template": "answer-only"},
    "train": {
        "objectives": [{"name": "cross_entropy"}], "max_steps": 30, "learning_rate": 0.02,
        "logging_steps": 10, "save_strategy": "no",
    },
}  # fmt: skip


def record(number: int) -> dict[str, Any]:
    # Mostly "yes", which a judge soon says to everything; so it is wrong about the others.
    answer = "no" if number % 4 == 0 else "yes"
    return {
        "id": str(number),
        "question": f"Is {number} fine?",
        "rationale": f"{number} was looked at, so {answer} it is.",
        "answer": answer,
    }


def write(path: Path, lines: list[dict[str, Any] | str]) -> Source:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return Source(path=str(path))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def prepared_examples(prepared: Path, source: Path) -> dict[str, set[str]]:
    """The templates of each question that a preparation has kept."""
    with pa.ipc.open_stream(prepared / "examples.arrow") as reader:
        entries = reader.read_all().to_pylist()
    by_id = {each["id"]: each["question"] for each in read(source)}
    found: dict[str, set[str]] = {}
    for entry in entries:
        found.setdefault(by_id[entry["record_id"]], set()).add(entry["template"])
    return found


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Log]:
    root = tmp_path_factory.mktemp("route")
    source = root / "records.jsonl"
    write(source, [record(number) for number in range(24)])
    test = root / "test.jsonl"
    write(test, [record(number) | {"split": "test"} for number in range(40, 46)])
    recipe = adaptive(
        data={"paths": [str(source)]},
        output_dir=root / "out",
        evaluate={"tasks": [str(test)], "max_new_tokens": 8},
        **COMMON,
    )
    log = Log()
    limbeck.run(recipe, watch=log)
    again = Log()
    limbeck.run(recipe, watch=again)
    assert (again.walked, again.skipped) == ([], log.walked)
    return root / "out", source, log


def test_no_question_is_judged_by_a_student_that_trained_on_it(
    walked: tuple[Path, Path, Log],
) -> None:
    out, source, _ = walked
    everything = {each["question"] for each in read(source)}
    judged: Counter[str] = Counter()
    for fold in range(FOLDS):
        home = out / "route" / f"judge-{fold}"
        own = {each["question"] for each in read(home / "answers" / "answers.jsonl")}
        learnt = set(prepared_examples(home / "prepared", source))
        assert own
        assert learnt
        assert own | learnt == everything
        assert not own & learnt
        judged.update(own)
    assert set(judged.values()) == {1}


def test_the_way_is_that_of_the_rule_and_of_the_example(walked: tuple[Path, Path, Log]) -> None:
    out, source, _ = walked
    right = {
        each["question"]: each["correct"]
        for fold in range(FOLDS)
        for each in read(out / "route" / f"judge-{fold}" / "answers" / "answers.jsonl")
    }
    assert len(set(right.values())) == 2, "the judges decide nothing"
    expected = {
        question: {"gate-answer-first" if is_right else "gate-think-first"}
        for question, is_right in right.items()
    }
    assert prepared_examples(out / "prepared", source) == expected


def test_the_cost_is_written_down(walked: tuple[Path, Path, Log]) -> None:
    out, _, log = walked
    summary = json.loads((out / "route" / "records" / "route.json").read_text("utf-8"))
    homes = [out / "route" / f"judge-{fold}" for fold in range(FOLDS)]
    answers = [each for home in homes for each in read(home / "answers" / "answers.jsonl")]
    trained = [json.loads((home / "student/training.json").read_text("utf-8")) for home in homes]
    assert summary["tokens_processed"] == sum(each["tokens_processed"] for each in trained) > 0
    for key in ("tokens_generated", "prompt_tokens"):
        assert summary[key] == sum(each[key] for each in answers) > 0
    assert sum(summary["ways"].values()) == summary["questions"] == 24
    names = ["prepared", "student", "answers"]
    judges = [f"route/judge-{fold}/{name}" for fold in range(FOLDS) for name in names]
    assert log.walked[1:] == [
        "route/folds", *judges, "route/records", "prepared", "student", "evaluate",
    ]  # fmt: skip


def test_the_student_chooses_and_the_results_say_how(walked: tuple[Path, Path, Log]) -> None:
    out, _, _ = walked
    card = json.loads((out / "student/limbeck.json").read_text("utf-8"))
    gates = card["inference"]["gates"]
    assert card["inference"]["order"] == "adaptive"
    assert {token: way["order"] for token, way in gates.items()} == {
        "<|answer_first|>": "answer-first",
        "<|think_first|>": "think-first",
    }
    rows = read(out / "evaluate/results.jsonl")
    summary = json.loads((out / "evaluate/summary.json").read_text("utf-8"))
    (task,) = summary["tasks"].values()
    counted = {way: each["answers"] for way, each in task["ways"].items()}
    assert counted == dict(Counter(row["way"] for row in rows))
    assert all(each["tokens_per_answer"] > 0 for each in task["ways"].values())
    gate = {"answer-first": "<|answer_first|>", "think-first": "<|think_first|>"}
    assert all(row["text"].startswith(gate[row["way"]]) for row in rows)


def test_a_gate_is_read_through_a_soft_prompt_alone(
    walked: tuple[Path, Path, Log], tmp_path: Path
) -> None:
    """The papers' perception module: all that is trained are rows of added tokens."""
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    out, source, _ = walked
    base = out / "base"
    recipe = adaptive(
        student=str(base),
        data={"paths": [str(source)]},
        output_dir=tmp_path / "out",
        prepare={**COMMON["prepare"], "soft_prompt": 2},
        route={**COMMON["route"], "folds": 2},
        train={**COMMON["train"], "use_peft": True, "lora_target_modules": []},
        evaluate={"tasks": [str(source.with_name("test.jsonl"))], "max_new_tokens": 8},
    )
    limbeck.run(recipe)
    prompt = "<|prompt_0|><|prompt_1|>"
    home = tmp_path / "out"
    counts = {
        name: json.loads((home / name / "manifest.json").read_text("utf-8"))
        for name in ("route/judge-0/prepared", "route/judge-1/prepared", "prepared")
    }
    assert all(each["tokens"]["soft_prompt"] == 2 * each["examples"] for each in counts.values())
    gates = [each["tokens"].get("gate", 0) for each in counts.values()]
    assert gates == [0, 0, counts["prepared"]["examples"]], "judges choose no way"

    rows = read(home / "evaluate/results.jsonl")
    assert all(row["prompt"].startswith(f"{prompt}Question:") for row in rows)
    gate = {"answer-first": "<|answer_first|>", "think-first": "<|think_first|>"}
    assert all(row["text"].startswith(gate[row["way"]]) for row in rows)

    student = home / "student"
    before, after = (load_file(each / "model.safetensors") for each in (base, student))
    assert before.keys() == after.keys()
    assert all(after[name][: len(old)].equal(old) for name, old in before.items())
    ids = AutoTokenizer.from_pretrained(student)(prompt, add_special_tokens=False)["input_ids"]
    moved = after["model.embed_tokens.weight"]
    mean = moved[: len(before["model.embed_tokens.weight"])].mean(0)
    assert (moved[ids] - mean).norm(dim=1).min() > 0.1


@pytest.mark.parametrize(
    ("text", "way", "answer"),
    [
        ("<|answer_first|> yes<|sem|>", "answer-first", "yes"),
        ("<|answer_first|> yes", "answer-first", None),
        ("<|think_first|> Two.\nThe answer is no.<|endoftext|>", "think-first", "no"),
        (" yes<|endoftext|>", "undecided", None),
    ],
)
def test_what_follows_the_gate_is_read_as_its_way(
    walked: tuple[Path, Path, Log], text: str, way: str, answer: str | None
) -> None:
    from transformers import AutoTokenizer

    student = walked[0] / "student"
    tokenizer = AutoTokenizer.from_pretrained(student)
    card = json.loads((student / "limbeck.json").read_text("utf-8"))
    stops = [tokenizer.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|sem|>")]
    config = json.loads((student / "generation_config.json").read_text("utf-8"))
    assert sorted(config["eos_token_id"]) == sorted(stops)
    reading = Reader(card, tokenizer, stops).read(tokenizer(text)["input_ids"])
    assert (reading.way, reading.answer) == (way, answer)


def test_records_of_one_question_share_a_fold(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", [record(number) for number in range(12)])
    second = write(
        tmp_path / "b.jsonl",
        [{**record(n), "question": f"  Is {n} fine?\n", "split": "train"} for n in range(6, 18)]
        + [record(50) | {"split": "test"}],
    )
    sources = [first, second.model_copy(update={"domain": "d", "weight": 0.5})]
    folds = deal(sources, tmp_path / "folds", route=ROUTE, split="train", seed=0)
    seen: dict[str, int] = {}
    for fold in range(FOLDS):
        a, b = fold_sources(sources, folds, [fold])
        assert (a.weight, b.domain, b.weight) == (None, "d", 0.5)
        for each in read(Path(a.path)) + read(Path(b.path)):
            assert seen.setdefault(each["question"].strip(), fold) == fold
    assert len(seen) == 18
    assert Counter(seen.values()) == dict.fromkeys(range(FOLDS), 6)
    other = deal(sources, tmp_path / "other", route=ROUTE, split="train", seed=1)
    assert Path(fold_sources(sources, other, [0])[0].path).read_text() != (
        Path(fold_sources(sources, folds, [0])[0].path).read_text()
    )


def test_ways_stand_on_the_lines_of_their_records(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        [record(0), "", record(1) | {"split": "validation"}, record(2), record(2)],
    )
    home = tmp_path / "judge"
    (home / "student").mkdir(parents=True)
    (home / "answers").mkdir()
    (home / "student/training.json").write_text('{"tokens_processed": 7}')
    cost = {"prompt_tokens": 3, "tokens_generated": 2}
    answers = [
        {"question": "Is 0 fine?", "gold": "no", "correct": False, **cost},
        {"question": "Is 2 fine?", "gold": "yes", "correct": True, **cost},
    ]
    write(home / "answers/answers.jsonl", answers)
    ways = write_ways([source], [home], tmp_path / "w", templates=("quick", "slow"), split="train")
    lines = (ways / "0.jsonl").read_text("utf-8").split("\n")
    # What is held out stays so, without a way.
    assert json.loads(lines[2]) == record(1) | {"split": "validation"}
    assert [json.loads(line).get("way") if line else None for line in lines] == [
        "slow", None, None, "quick", "quick", None,
    ]  # fmt: skip
    assert json.loads((ways / "route.json").read_text("utf-8")) == {
        "folds": 1, "questions": 2, "ways": {"quick": 1, "slow": 1},
        "tokens_processed": 7, "prompt_tokens": 6, "tokens_generated": 4,
    }  # fmt: skip
    assert one_sided(ways) is None
    answers[0]["correct"] = True
    write(home / "answers/answers.jsonl", answers)
    write_ways([source], [home], ways, templates=("quick", "slow"), split="train")
    assert "all 2 questions take the way quick" in str(one_sided(ways))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([record(0), record(1)], "3 folds of 2 questions"),
        ([record(0) | {"way": "quick"}], r"records.jsonl:1: way: given already"),
        (["{"], r"records.jsonl:1: column"),
        ([{"question": "q"}], r"records.jsonl:1: answer: missing"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(
    tmp_path: Path, lines: list[dict[str, Any] | str], message: str
) -> None:
    source = write(tmp_path / "records.jsonl", lines)
    with pytest.raises(InputError, match=message):
        deal([source], tmp_path / "folds", route=ROUTE, split="train", seed=0)


def test_a_route_needs_two_templates_and_a_term_to_train() -> None:
    data = {"paths": ["records.jsonl"]}
    one = {"template": "gate-think-first"}
    with pytest.raises(InputError, match=r"prepare.template: 1 for a route; give two"):
        judge_recipe(adaptive(student="s", data=data, prepare=one))
    only = {"objectives": [{"name": "semantic_alignment"}]}
    with pytest.raises(InputError, match=r"train.objectives: no cross_entropy for the judges"):
        judge_recipe(adaptive(student="s", data=data, train=only))
    taught = judge_recipe(adaptive(student="s", data=data))
    assert [term["name"] for term in taught.train.objectives] == ["cross_entropy"]
    assert not taught.needs_targets


def test_only_students_that_write_gates_need_a_route() -> None:
    common: dict[str, Any] = {"student": "s", "data": {"paths": ["records.jsonl"]}}
    assert needs_route(adaptive(**common))
    assert not needs_route(adaptive(**common, route={"labels": "records"}))
    # A run of several methods shares its keys, so the section alone says nothing.
    assert not needs_route(pst(**common, route={"folds": 3}))
    own = {"prompt": "{question}", "completion": "{think_first}{rationale}{end}"}
    quick = {"name": "quick", "prompt": "{question}", "completion": "{answer_first}{answer}{end}"}
    assert needs_route(pst(**common, prepare={"template": [quick, own]}))
