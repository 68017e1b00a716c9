"""The whole way: what it leaves, what it skips, and that it goes on where it was cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import limbeck
from limbeck.errors import InputError
from limbeck.recipes.load import load
from limbeck.run import plan
from limbeck.stages import Progress, Stage

SMALL = (
    "data.tasks=[coin_flip]",
    "data.examples=40",
    "data.validation=0.2",
    "train.max_steps=4",
    "train.save_steps=2",
    "train.validation_questions=3",
    "train.logging_steps=2",
    "evaluate.questions=4",
    "evaluate.max_new_tokens=8",
)


class Log:
    """A watcher that notes each stage's name and whether it was skipped."""

    def __init__(self) -> None:
        self.walked: list[str] = []
        self.skipped: list[str] = []
        self.progress: list[tuple[str, int, int]] = []

    @contextmanager
    def __call__(self, stage: Stage, done: bool) -> Iterator[Progress]:
        (self.skipped if done else self.walked).append(stage.name)
        yield lambda done, total, text: self.progress.append((stage.name, done, total))


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Log]:
    """The embedded default, much shortened, once."""
    root = tmp_path_factory.mktemp("run") / "out"
    log = Log()
    limbeck.run(overrides=[f"output_dir={root}", *SMALL], watch=log)
    return root, log


def test_a_run_leaves_what_the_design_says(walked: tuple[Path, Log]) -> None:
    root, log = walked
    for name in ("recipe.yaml", "teach/records.jsonl", "base/config.json", "report.html"):
        assert (root / name).is_file(), name
    for method in ("answer_only", "think_first", "pst"):
        for name in (
            *("prepared/manifest.json", "student/config.json", "student/limbeck.json"),
            *("student/training.json", "evaluate/results.jsonl", "evaluate/summary.json"),
        ):
            assert (root / method / name).is_file(), f"{method}/{name}"
    assert (root / "pst/targets/targets.safetensors").is_file()
    assert log.walked[:2] == ["teach", "base"]
    assert log.skipped == []
    assert ("pst/student", 4, 4) in log.progress


def test_what_stands_is_skipped_and_what_changed_is_not(walked: tuple[Path, Log]) -> None:
    root, first = walked
    again, changed = Log(), Log()
    limbeck.run(root / "recipe.yaml", watch=again)
    assert again.walked == []
    assert again.skipped == first.walked
    limbeck.run(root / "recipe.yaml", overrides=["evaluate.questions=3"], watch=changed)
    assert changed.walked == [f"{m}/evaluate" for m in ("answer_only", "think_first", "pst")]


def test_token_targets_are_of_the_prepared_tokens(walked: tuple[Path, Log], tmp_path: Path) -> None:
    """From the core's own spans, to a step of training on them."""
    root, _ = walked
    prepared = root / "pst/prepared"
    settings = load()[2].targets.model_copy(
        update={"encoder": str(root / "think_first/student"), "pooling": "token"}
    )
    cached = limbeck.targets(
        prepared, student=root / "base", output_dir=tmp_path / "targets", settings=settings
    )
    tokens = json.loads((prepared / "manifest.json").read_text("utf-8"))["tokens"]
    made = json.loads((cached / "targets.json").read_text("utf-8"))
    assert made["states"] == tokens["rationale"]
    assert made["tokens_encoded"] == sum(tokens[k] for k in ("prompt", "question", "rationale"))
    train = load(overrides=["train.max_steps=2", "train.logging_steps=1"])[2].train
    student = limbeck.train(
        prepared,
        student=root / "base",
        output_dir=tmp_path / "student",
        settings=train,
        targets=cached,
    )
    state = json.loads((student / "trainer_state.json").read_text("utf-8"))
    assert 0 < state["log_history"][0]["semantic_alignment"] < 2


def test_students_answer_with_plain_transformers(walked: tuple[Path, Log]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    root, _ = walked
    for method in ("answer_only", "think_first", "pst"):
        student = root / method / "student"
        model = AutoModelForCausalLM.from_pretrained(student)
        tokenizer = AutoTokenizer.from_pretrained(student)
        prompt = tokenizer("Question: 1 + 1?\nAnswer:", return_tensors="pt")
        prompt.pop("token_type_ids", None)
        assert model.generate(**prompt, max_new_tokens=3).shape[1] > prompt["input_ids"].shape[1]


def test_held_out_questions_choose_the_checkpoint_and_never_train(
    walked: tuple[Path, Log],
) -> None:
    from limbeck._reference.records import is_drawn

    root, _ = walked
    asked = []
    for method in ("answer_only", "think_first", "pst"):
        summary = json.loads((root / method / "evaluate/summary.json").read_text("utf-8"))
        assert summary["validation"]["coin_flip"]["questions"] == 3
        rows = (root / method / "evaluate/validation.jsonl").read_text("utf-8").splitlines()
        asked.append([json.loads(row)["question"] for row in rows])
        assert all(is_drawn(question, 0.2) for question in asked[-1])
        training = json.loads((root / method / "student/training.json").read_text("utf-8"))
        assert training["validation"]["step"] in (2, 4)
        manifest = json.loads((root / method / "prepared/manifest.json").read_text("utf-8"))
        records = manifest["records"]
        assert (records["read"] + records["held_out"], records["other_split"]) == (40, 0)
        assert records["held_out"] > 3
    assert asked[0] == asked[1] == asked[2], "the methods are judged by the same questions"


def test_methods_share_the_budget_of_steps(walked: tuple[Path, Log]) -> None:
    root, _ = walked
    steps = {
        method: json.loads((root / method / "student/training.json").read_text("utf-8"))["steps"]
        for method in ("answer_only", "think_first", "pst")
    }
    assert set(steps.values()) == {4}


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    class Interrupt(Log):
        @contextmanager
        def __call__(self, stage: Stage, done: bool) -> Iterator[Progress]:
            if stage.name == "student":
                raise KeyboardInterrupt
            with super().__call__(stage, done) as progress:
                yield progress

    overrides = ["method=answer_only", f"output_dir={tmp_path / 'out'}", *SMALL]
    with pytest.raises(KeyboardInterrupt):
        limbeck.run(overrides=overrides, watch=Interrupt())
    assert not (tmp_path / "out/report.html").exists()
    log = Log()
    limbeck.run(overrides=overrides, watch=log)
    assert log.skipped == ["teach", "base", "prepared"]
    assert log.walked == ["student", "evaluate"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.learning_rat=1"], "learning_rate"),
        (["train.objectives.0.name=nope"], "cross_entropy"),
        (["data.tasks=[coin_flop]"], "coin_flip"),
        (["method=[pst, think_first]"], "list it before"),
        (["method=pst"], "think_first is not trained before pst; list it before"),
        (["targets.encoder=student"], "the student was never trained"),
        (["method=[pst, pst]"], "named? once|given twice"),
        (["evaluate.tasks=[nope]"], "nope"),
    ],
)
def test_faults_are_found_before_anything_runs(
    tmp_path: Path, overrides: list[str], words: str
) -> None:
    log = Log()
    with pytest.raises(InputError, match=words):
        limbeck.run(overrides=[f"output_dir={tmp_path / 'out'}", *overrides], watch=log)
    assert log.walked == []


@pytest.mark.parametrize("task", ["{file}", "svamp:path={file}"])
def test_a_file_is_not_trained_and_tested_on_at_once(tmp_path: Path, task: str) -> None:
    file = tmp_path / "records.jsonl"
    record = {"question": "1 + 1?", "answer": "2", "rationale": "1 + 1 = 2"}
    recipe = limbeck.recipes.answer_only(
        student=str(tmp_path),
        output_dir=tmp_path / "out",
        data={"paths": [str(tmp_path / "*.jsonl")]},
        evaluate={"tasks": [task.format(file=file)]},
    )
    lines = [record | {"split": split} for split in ("train", "test")]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    assert plan([recipe])
    lines.insert(1, record | {"question": "2 + 2?"})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(InputError, match=r"records\.jsonl:2: split: missing, and the file is both"):
        plan([recipe])


def test_recipes_of_one_run_share_what_they_must(tmp_path: Path) -> None:
    first, second, _ = load(overrides=[f"output_dir={tmp_path}"])
    with pytest.raises(InputError, match="seed"):
        plan([first, second.model_copy(update={"seed": 5})])
    with pytest.raises(InputError, match="at least one"):
        plan([])


def test_real_records_train_a_student_saved_by_transformers(tmp_path: Path, shared: Path) -> None:
    """PST on real rationales with a real vocabulary, from a plain checkpoint to a report."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    start = tmp_path / "start"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(shared / "tokenizers/qwen.json"), eos_token="<|endoftext|>"
    )
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=151_936,  # padded, as Qwen's is
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
            **sizes,
        )
    ).save_pretrained(start)
    tokenizer.save_pretrained(start)
    recipe = limbeck.recipes.pst(
        student=str(start),
        output_dir=tmp_path / "out",
        data={"paths": [str(shared / "data/cot/addsub.jsonl")]},
        prepare={"max_length": 256},
        train={"max_steps": 4, "per_device_train_batch_size": 1, "logging_steps": 2},
        evaluate={
            "tasks": [str(shared / "data/cot/singleeq.jsonl")],
            "questions": 4,
            "max_new_tokens": 4,
        },
    )
    limbeck.run(recipe)
    manifest = json.loads((tmp_path / "out/prepared/manifest.json").read_text("utf-8"))
    records = manifest["records"]
    assert records["rejected"]["answer_mismatch"] == 395 - 282
    assert records["kept"] + sum(records["rejected"].values()) == records["read"] == 395
    summary = json.loads((tmp_path / "out/evaluate/summary.json").read_text("utf-8"))
    assert summary["tasks"]["singleeq"]["questions"] == 4
    model = Qwen2ForCausalLM.from_pretrained(tmp_path / "out/student")
    assert model.get_input_embeddings().weight.shape[0] == 151_936, "a padded vocabulary shrank"
