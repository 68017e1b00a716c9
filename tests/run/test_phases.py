"""Phases: each starts from the adapter of the one before, is skipped when done, and goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import limbeck
from limbeck.config import Recipe, RecipeError
from limbeck.errors import InputError
from limbeck.prepare import Manifest
from limbeck.recipes import answer_only, redis
from limbeck.recipes.load import load
from limbeck.recipes.phases import phase_recipes
from limbeck.run import plan
from limbeck.stages import Progress, Stage

STUDENT = {
    "config": {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 1024, "tie_word_embeddings": True,
    }
}  # fmt: skip
TASK = "acre:demonstrations=4:objects=5"
STAGES = [
    *("rules", "teach", "base", "sft/prepared", "sft/student", "orpo/prepared", "orpo/student"),
    "evaluate",
]


def tiny(out: Path, **more: Any) -> Recipe:
    """ReDis of a few steps."""
    sections: dict[str, Any] = {
        "data": {"tasks": [TASK], "examples": 40},
        "prepare": {"max_length": 1024},
        "train": {"max_steps": 4, "logging_steps": 1, "save_steps": 2, "lora_r": 4},
        "inference": {"hypotheses": 2},
        "evaluate": {"questions": 4, "max_new_tokens": 6},
    }
    for key, value in more.items():
        sections[key] = {**sections.get(key, {}), **value}
    return redis(student=STUDENT, output_dir=str(out), **sections)


class Log:
    """A watcher that notes what is walked, and cuts a stage off at one of its steps."""

    def __init__(self, cut: tuple[str, int] | None = None) -> None:
        self.walked: list[str] = []
        self.cut = cut

    @contextmanager
    def __call__(self, stage: Stage, done: bool) -> Iterator[Progress]:
        if not done:
            self.walked.append(stage.name)

        def progress(step: int, total: int, text: str) -> None:
            del total, text
            if (stage.name, step) == self.cut:
                raise KeyboardInterrupt

        yield progress


def adapter(student: Path) -> dict[str, torch.Tensor]:
    return load_file(student / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, once, whose last student is an adapter too."""
    out = tmp_path_factory.mktemp("phases") / "out"
    limbeck.run(tiny(out, train={"merge_adapter": False}))
    return out


def test_the_plan_has_every_phase(tmp_path: Path) -> None:
    assert [stage.name for stage in plan([tiny(tmp_path)])] == STAGES
    alone = tiny(tmp_path, phases={"orpo": None})
    assert [stage.name for stage in plan([alone])] == [
        *("rules", "teach", "base", "sft/prepared", "sft/student", "evaluate")
    ]
    both = [tiny(tmp_path), answer_only(student=STUDENT, output_dir=str(tmp_path),
            data={"tasks": [TASK], "examples": 40})]  # fmt: skip
    names = [stage.name for stage in plan(both)]
    assert names[3:8] == [
        *("redis/sft/prepared", "redis/sft/student", "redis/orpo/prepared", "redis/orpo/student"),
        "redis/evaluate",
    ]


def test_a_dry_run_shows_them(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from limbeck.cli import app
    from limbeck.recipes.load import dump

    file = tmp_path / "redis.yaml"
    file.write_text(dump([tiny(tmp_path / "out")]))
    done = CliRunner().invoke(app, ["run", str(file), "--dry-run"])
    assert done.exit_code == 0, done.output
    shown = [line.split()[2] for line in done.output.splitlines() if line.startswith("to do")]
    assert shown == STAGES


def test_the_papers_settings_are_the_defaults() -> None:
    recipe = redis(student="s", data={"tasks": ["miniscan"]})
    sft, orpo = phase_recipes(recipe).values()
    assert (sft.train.lora_r, sft.train.lora_target_modules, sft.train.use_peft) == (
        8, "all-linear", True,
    )  # fmt: skip
    shared = {
        "lr_scheduler_type": "cosine", "warmup_steps": 0.1, "gradient_accumulation_steps": 8,
        "per_device_train_batch_size": 1,
    }  # fmt: skip
    assert sft.train.arguments == {**shared, "learning_rate": 1e-4, "num_train_epochs": 4}
    assert orpo.train.arguments == {**shared, "learning_rate": 5e-6, "num_train_epochs": 5}
    assert orpo.train.objectives == ({"name": "orpo", "strength": 0.1},)
    assert (sft.data.rules, orpo.data.rules) == (("generation", "application"), ("pairs",))
    assert (sft.prepare.pairs, orpo.prepare.pairs, orpo.prepare.max_length) == (False, True, 2048)
    assert (recipe.inference.hypotheses, recipe.inference.temperature) == (10, 0.9)


def test_each_phase_trains_on_what_is_its_own(root: Path) -> None:
    sft, orpo = Manifest.load(root / "phases/sft/prepared"), Manifest.load(root / "prepared")
    counts = json.loads((root / "rules/counts.json").read_text())["acre"]
    assert sft.records.kept == counts["generation"] + counts["application"]
    assert orpo.records.kept == counts["pairs"] > 0
    assert orpo.rows == orpo.records.kept, "a pair a row, and no other beside it"
    for place in ("phases/sft/student", "student"):
        training = json.loads((root / place / "training.json").read_text())
        assert training["steps"] == 4
        logs = json.loads((root / place / "trainer_state.json").read_text())["log_history"]
        assert ("orpo" in logs[0]) == (place == "student")


def test_the_second_phase_trains_the_first_ones_adapter_on(root: Path, tmp_path: Path) -> None:
    first, second = adapter(root / "phases/sft/student"), adapter(root / "student")
    assert first.keys() == second.keys()
    assert len(first) == 2 * 7, "LoRA on all linear layers"
    assert any(tensor.abs().max() > 0 for name, tensor in first.items() if "lora_B" in name)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    # A phase that does not move shows where it starts.
    still = tmp_path / "out"
    shutil.copytree(root, still)
    limbeck.run(
        tiny(
            still,
            train={"merge_adapter": False},
            phases={"orpo": {"train": {"learning_rate": 0.0}}},
        )
    )
    started = adapter(still / "student")
    kept = adapter(still / "phases/sft/student")
    assert all(torch.equal(started[name], kept[name]) for name in kept)
    base = json.loads((still / "student/adapter_config.json").read_text())
    assert base["base_model_name_or_path"].endswith("out/base"), "and no merged student between"


def test_the_student_keeps_its_search_and_the_room_for_applications(root: Path) -> None:
    sft, last = (
        json.loads((root / place / "limbeck.json").read_text())["inference"]
        for place in ("phases/sft/student", "student")
    )
    assert last["search"] == {
        "hypotheses": 2, "temperature": 0.9, "scoring": "auto", "apply_temperature": 0.7,
    }  # fmt: skip
    assert last["max_new_tokens"] >= sft["max_new_tokens"]
    summary = json.loads((root / "evaluate/summary.json").read_text())
    assert summary["decoding"]["order"] == "search"
    assert summary["searches"][TASK]["rule_calls"] == 2
    assert summary["controls"][TASK]["solver"] == {"correct": 4, "questions": 4}


def test_the_report_counts_all_phases_and_has_the_controls(root: Path) -> None:
    from rich.console import Console

    from limbeck.report import results_table
    from limbeck.report.collect import collect

    [method] = collect(root).methods
    parts = [
        json.loads((root / place / "training.json").read_text())
        for place in ("phases/sft/student", "student")
    ]
    assert method.training is not None
    assert method.training.steps == 8
    assert method.training.tokens_processed == sum(part["tokens_processed"] for part in parts)
    steps, _ = method.curve("loss")
    assert steps == list(range(1, 9))
    assert method.curve("orpo")[0] == [5, 6, 7, 8]
    page = (root / "report.html").read_text("utf-8")
    assert page.count("no student</th>") == 3
    console = Console(width=120)
    with console.capture() as shown:
        console.print(results_table(root))
    assert "slot memoriser" in shown.get()
    assert "100.0 %" in shown.get(), "the solver's"


def test_what_stands_is_skipped_phase_by_phase(tmp_path: Path) -> None:
    out = tmp_path / "out"
    again, other = Log(), Log()
    recipe = tiny(out)
    limbeck.run(recipe)
    limbeck.run(recipe, watch=again)
    assert again.walked == []
    limbeck.run(tiny(out, phases={"orpo": {"train": {"learning_rate": 1e-3}}}), watch=other)
    assert other.walked == ["orpo/student", "evaluate"]


def test_a_phase_that_was_cut_off_goes_on_to_the_same_student(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # The base and the data are those of the finished run, and so is all that random numbers decide.
    recipe = tiny(out, train={"merge_adapter": False})
    with pytest.raises(KeyboardInterrupt):
        limbeck.run(recipe, watch=Log(cut=("orpo/student", 3)))
    assert not (out / "student").exists()
    log = Log()
    limbeck.run(recipe, watch=log)
    assert log.walked == ["orpo/student", "evaluate"]
    whole, resumed = adapter(root / "student"), adapter(out / "student")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_an_earlier_phase_that_changed_is_not_gone_on_from(tmp_path: Path) -> None:
    """Checkpoints of a second phase belong to the adapter that it began with."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        limbeck.run(tiny(out), watch=Log(cut=("orpo/student", 3)))
    changed = tiny(out, phases={"sft": {"train": {"learning_rate": 1e-2}}})
    log = Log()
    limbeck.run(changed, watch=log)
    assert log.walked == ["sft/student", "orpo/student", "evaluate"]
    whole = tmp_path / "whole"
    limbeck.run(tiny(whole, phases={"sft": {"train": {"learning_rate": 1e-2}}}))
    ours, theirs = (load_file(each / "student/model.safetensors") for each in (out, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_phases_are_no_matter_of_one_method(tmp_path: Path) -> None:
    """Answers first from all weights, then more of them through an adapter."""
    phases = {
        "whole": {"train": {"max_steps": 2}},
        "adapter": {"train": {"max_steps": 1, "use_peft": True, "lora_r": 2}},
    }
    recipe = answer_only(
        student=STUDENT, output_dir=str(tmp_path), data={"tasks": ["coin_flip"], "examples": 20},
        phases=phases, evaluate={"questions": 2, "max_new_tokens": 3},
    )  # fmt: skip
    limbeck.run(recipe)
    first = load_file(tmp_path / "phases/whole/student/model.safetensors")
    base = load_file(tmp_path / "base/model.safetensors")
    assert any(not torch.equal(first[name], base[name]) for name in base)
    card = json.loads((tmp_path / "student/limbeck.json").read_text())
    assert "search" not in card["inference"]


def test_added_tokens_and_a_soft_prompt_go_on_with_the_adapter(tmp_path: Path) -> None:
    """Rows that a phase trains are rows of the adapter, and the next finds them under their ids."""
    train = {"use_peft": True, "lora_r": 2, "merge_adapter": False, "max_steps": 2}
    recipe = answer_only(
        student=STUDENT, output_dir=str(tmp_path), data={"tasks": ["coin_flip"], "examples": 20},
        prepare={"template": "answer-first-pure", "soft_prompt": 2},
        train={**train, "objectives": [{"name": "cross_entropy"}], "learning_rate": 1e-2},
        phases={"first": {}, "still": {"train": {"learning_rate": 0.0}}},
        evaluate={"questions": 2, "max_new_tokens": 3},
    )  # fmt: skip
    limbeck.run(recipe)
    first, last = adapter(tmp_path / "phases/first/student"), adapter(tmp_path / "student")
    rows = [name for name in first if "token" in name]
    assert rows
    assert all(torch.equal(first[name], last[name]) for name in first)
    tokens = [
        json.loads((tmp_path / place / "tokenizer.json").read_text())["added_tokens"]
        for place in ("phases/first/prepared/tokenizer", "prepared/tokenizer", "student")
    ]
    assert tokens[0] == tokens[1] == tokens[2]


def test_an_untrained_arm_trains_nothing_and_can_be_asked(tmp_path: Path) -> None:
    recipe = tiny(
        tmp_path, train={"max_steps": -1}, phases={
            "sft": {"train": {"num_train_epochs": 0}}, "orpo": None,
        },
    )  # fmt: skip
    limbeck.run(recipe)
    base, student = (
        load_file(tmp_path / place / "model.safetensors") for place in ("base", "student")
    )
    assert all(torch.equal(base[name], student[name]) for name in base)
    assert json.loads((tmp_path / "student/training.json").read_text())["steps"] == 0
    assert json.loads((tmp_path / "evaluate/summary.json").read_text())["searches"]


@pytest.mark.parametrize(
    ("phases", "fault"),
    [
        ({"sft": {"train": {"lora_q": 8}}}, r"train\.lora_q: unknown key"),
        ({"sft": {"prepare": {"max_lenght": 8}}}, r"phases\.sft\.prepare\.max_lenght: unknown key"),
        ({"sft": {"data": {"tasks": ["acre"]}}}, r"phases\.sft\.data\.tasks: the same for all"),
        ({"sft": {"teacher": {}}}, r"phases\.sft\.teacher: unknown key"),
        ({"sft": None, "orpo": None}, r"every phase is taken out"),
        ({"a b": {}}, r"'a b' makes no directory"),
    ],
)
def test_faults_of_a_phase_are_found_before_anything_runs(
    tmp_path: Path, phases: dict[str, Any], fault: str
) -> None:
    with pytest.raises(InputError, match=fault):
        plan([redis(student=STUDENT, output_dir=str(tmp_path), data={"tasks": [TASK]},
              phases=phases)])  # fmt: skip


def test_a_fault_in_a_file_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "method: redis\nstudent: s\ndata: {tasks: [acre]}\n"
        "phases:\n  orpo:\n    train:\n      learning_rate: 1.0e-6\n    prepare:\n      pears: 1\n"
    )
    with pytest.raises(InputError, match=r"recipe\.yaml:9: phases\.orpo\.prepare\.pears"):
        load(file)
    file.write_text(file.read_text().replace("pears: 1", "pairs: true"))
    (recipe,) = load(file, ["phases.sft=null", "phases.orpo.train.max_steps=3"])
    (orpo,) = phase_recipes(recipe).values()
    assert (orpo.train.arguments["max_steps"], orpo.train.arguments["learning_rate"]) == (3, 1e-6)


def test_single_stages_refuse_a_recipe_with_phases(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from limbeck.cli import app

    file = tmp_path / "redis.yaml"
    file.write_text("method: redis\n")
    for command in (
        ["prepare", "r.jsonl", "--tokenizer", "t"],
        ["train", "prepared", "--student", "s"],
    ):
        asked = [*command, "--output-dir", str(tmp_path / "out"), "--recipe", str(file)]
        fault = CliRunner().invoke(app, asked).exception
        assert isinstance(fault, InputError)
        assert "phases: sft, orpo: a stage of its own is of one training" in str(fault)


def test_another_rank_is_no_continuation(tmp_path: Path) -> None:
    recipe = tiny(tmp_path, phases={"orpo": {"train": {"lora_r": 2}}})
    with pytest.raises(InputError, match=r"train\.lora_r: 2, but the adapter .* has 4"):
        limbeck.run(recipe)


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        ({"data": {"tasks": ["coin_flip"]}}, r"data\.rules: coin_flip has no rules"),
        ({"data": {"paths": ["{dir}"]}}, r"data\.tasks: missing"),
        (
            {"data": {"tasks": ["acre"]}, "rules": {"hypotheses": "h.jsonl"}},
            r"rules\.hypotheses: they are of tasks in files",
        ),
        (
            {"data": {"tasks": ["acre_public:path={dir}/acre.jsonl"]}},
            r"rules\.hypotheses: missing, and nobody knows the rules of acre_public",
        ),
        (
            {"data": {"tasks": ["acre"]}, "rules": {"scoring": "model"}},
            r"rules\.scoring: model has the teacher apply rules",
        ),
    ],
)
def test_rules_that_nobody_has_are_refused(
    tmp_path: Path, sections: dict[str, Any], fault: str
) -> None:
    from limbeck.induction import write_tasks
    from limbeck.tasks import get

    write_tasks(get("acre").tasks(10, seed=0, split="train"), tmp_path / "acre.jsonl")
    text = json.dumps(sections).replace("{dir}", str(tmp_path))
    with pytest.raises((InputError, RecipeError), match=fault):
        plan([redis(student=STUDENT, output_dir=str(tmp_path / "out"), **json.loads(text))])


def test_the_example_runs_with_a_tiny_student(tmp_path: Path) -> None:
    small = [
        f"output_dir={tmp_path / 'out'}", f"student={json.dumps(STUDENT)}", "data.examples=24",
        "data.tasks=[acre, 'miniscan:demonstrations=8:names=3:functions=2']", "train.max_steps=1",
        "evaluate.questions=2", "evaluate.max_new_tokens=4", "inference.hypotheses=2",
    ]  # fmt: skip
    page = limbeck.run(Path(__file__).parents[2] / "examples/redis.yaml", overrides=small)
    assert page.exists()
    counts = json.loads((tmp_path / "out/rules/counts.json").read_text())
    assert counts.keys() == {"acre", "miniscan"}
