"""The Trainer's arithmetic over micro-batches, processes and interruptions."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import tiny_model
from tests.train.ranks import in_two_processes

from limbeck.data import load_prepared
from limbeck.errors import InputError
from limbeck.trainer import DistillConfig, DistillTrainer

# transformers renamed it.
CHECKPOINTING = next(
    name for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in DistillConfig.__dataclass_fields__
)  # fmt: skip
BOTH = [{"name": "cross_entropy"}, {"name": "semantic_alignment", "weight": 0.5}]


def make_trainer(prepared, targets, output_dir, objectives=BOTH, peft_config=None, **changes):
    args = DistillConfig(
        output_dir=str(output_dir),
        objectives=objectives,
        **{
            "use_cpu": True, "disable_tqdm": True, "learning_rate": 1e-2, "max_steps": 4,
            "per_device_train_batch_size": 1, "logging_steps": 1, "save_strategy": "no",
            **changes,
        },
    )  # fmt: skip
    return DistillTrainer(
        tiny_model(vocab_size=284), args, load_prepared(prepared), targets=targets,
        peft_config=peft_config,
    )  # fmt: skip


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def assert_equal(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            value, other[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance
        )


def logged(trainer, key):
    return [entry[key] for entry in trainer.state.log_history if key in entry]


def test_one_batch_of_three_equals_three_of_one(prepared, targets, tmp_path):
    """SGD, so that the weights after a step are the gradients."""
    runs = {}
    for batch_size, accumulation in ((3, 1), (1, 3), (2, 2)):
        trainer = make_trainer(
            prepared, targets, tmp_path, per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation, **SGD,
        )  # fmt: skip
        trainer.train()
        runs[batch_size] = trainer
    for other in (1, 2):
        assert_equal(weights(runs[3]), weights(runs[other]), rtol=1e-4, atol=1e-6)
        for key in ("loss", "cross_entropy", "semantic_alignment", "cosine", "trained_share"):
            assert logged(runs[3], key) == pytest.approx(logged(runs[other], key), rel=1e-5), key


def test_each_term_is_logged_and_the_loss_is_their_weighted_sum(prepared, targets, tmp_path):
    trainer = make_trainer(prepared, targets, tmp_path, per_device_train_batch_size=3)
    trainer.train()
    for loss, entropy, distance, cosine in zip(
        *(logged(trainer, k) for k in ("loss", "cross_entropy", "semantic_alignment", "cosine")),
        strict=True,
    ):
        assert loss == pytest.approx(entropy + 0.5 * distance, rel=1e-5)
        assert cosine == pytest.approx(1 - distance, abs=1e-5)
    dataset = load_prepared(prepared)
    kinds = [k for row in dataset["span_kinds"] for k in row.tolist()]
    share = sum(k in (2, 3, 4, 6) for k in kinds) / len(kinds)
    assert logged(trainer, "trained_share") == pytest.approx([share] * 4)
    assert all(speed > 0 for speed in logged(trainer, "tokens_per_second"))
    assert trainer.total_counts() == {
        "tokens": 4 * len(kinds),
        "trained": pytest.approx(4 * share * len(kinds)),
        "examples": 4 * 6,
    }


@pytest.mark.parametrize("metric", ["mse", "smooth_l1"])
def test_cosine_is_logged_beside_other_distances(prepared, targets, tmp_path, metric):
    objectives = [BOTH[0], {**BOTH[1], "metric": metric}]
    trainer = make_trainer(prepared, targets, tmp_path, objectives, max_steps=1)
    trainer.train()
    (cosine,) = logged(trainer, "cosine")
    assert -1 <= cosine <= 1
    assert cosine != pytest.approx(1 - logged(trainer, "semantic_alignment")[0])


def test_two_alignments_log_their_own_cosines(prepared, targets, tmp_path):
    far = {**BOTH[1], "label": "far", "metric": "mse"}
    trainer = make_trainer(prepared, targets, tmp_path, [*BOTH, far], max_steps=3)
    trainer.train()
    one, two = logged(trainer, "cosine"), logged(trainer, "far_cosine")
    assert len(one) == len(two) == 3
    assert one != two, "each has a projection of its own"


@pytest.mark.parametrize("lora", [False, True])
def test_a_resumed_run_equals_an_uninterrupted_one(prepared, targets, tmp_path, lora):
    def make(directory, **changes):
        config = None
        if lora:
            peft = pytest.importorskip("peft")
            rows = {"model.embed_tokens": [283], "lm_head": [283]}
            config = peft.LoraConfig(
                task_type="CAUSAL_LM", r=2, lora_dropout=0.1, trainable_token_indices=rows
            )
        return make_trainer(
            prepared, targets, directory, per_device_train_batch_size=2, peft_config=config,
            **{"max_steps": 5, "save_strategy": "steps", "save_steps": 3, **changes},
        )  # fmt: skip

    whole = make(tmp_path / "whole")
    whole.train()

    class Interrupted(Exception):
        pass

    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 4:
                raise Interrupted

    cut = make(tmp_path / "cut")
    cut.add_callback(Stop())
    with pytest.raises(Interrupted):
        cut.train()
    resumed = make(tmp_path / "cut")
    resumed.train(resume_from_checkpoint=True)
    assert_equal(weights(whole), weights(resumed), rtol=0, atol=0)
    projection = "objectives.semantic_alignment.projection.weight"
    assert any(name.endswith(projection) for name in weights(whole))
    assert whole.total_counts() == resumed.total_counts()


def test_checkpoints_part_the_projection_from_the_student(prepared, targets, tmp_path):
    trainer = make_trainer(prepared, targets, tmp_path, max_steps=1, save_strategy="steps")
    trainer.train()
    checkpoint = tmp_path / "checkpoint-1"
    student = load_file(checkpoint / "model.safetensors")
    assert not [name for name in student if "objectives" in name]
    assert list(load_file(checkpoint / "objectives.safetensors")) == [
        "semantic_alignment.projection.weight"
    ]


def test_evaluation_gives_a_loss_and_counts_nothing(prepared, targets, tmp_path):
    trainer = make_trainer(prepared, targets, tmp_path, per_device_eval_batch_size=2)
    metrics = trainer.evaluate(load_prepared(prepared))
    assert metrics["eval_loss"] > 0
    assert trainer.total_counts()["tokens"] == 0


SGD = {
    "optim": "sgd", "learning_rate": 0.1, "max_steps": 2, "max_grad_norm": 0.0,
    "train_sampling_strategy": "sequential",
}  # fmt: skip


def run_rank(rank, prepared, targets, output_dir):
    trainer = make_trainer(
        prepared, targets, output_dir, **SGD, per_device_train_batch_size=2, ddp_backend="gloo",
        accelerator_config={"even_batches": False},
    )  # fmt: skip
    assert trainer.accelerator.num_processes == 2
    trainer.train()
    if rank == 0:
        torch.save([weights(trainer), trainer.state.log_history], output_dir / "rank0.pt")


def test_two_processes_equal_one(prepared, targets, tmp_path):
    """Rank 0 sees two rows, rank 1 the third: unequal shares of one global normalizer."""
    one = make_trainer(prepared, targets, tmp_path, **SGD, per_device_train_batch_size=3)
    one.train()
    in_two_processes(run_rank, prepared, targets, tmp_path)
    state, history = torch.load(tmp_path / "rank0.pt", weights_only=True)
    assert_equal(weights(one), state, rtol=1e-4, atol=1e-6)
    for key in ("loss", "cross_entropy", "semantic_alignment", "cosine", "trained_share"):
        assert logged(one, key) == pytest.approx([e[key] for e in history if key in e], rel=1e-5)


def test_settings_without_effect_are_told(prepared, targets, tmp_path):
    with pytest.warns(UserWarning, match="label_smoothing_factor has no effect"):
        make_trainer(prepared, targets, tmp_path, label_smoothing_factor=0.1)


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ([{"name": "cross_entropi"}], "no objective 'cross_entropi'; did you mean `cross_entropy`"),
        ([{"name": "cross_entropy", "wieght": 1}], "no option 'wieght'; did you mean `weight`"),
        ([{"name": "cross_entropy", "weight": 0}], "weight is 0; give a positive number"),
        ([{"name": "cross_entropy", "weight": "1"}], "weight: '1'; give a number"),
        ([BOTH[0], BOTH[0]], "cross_entropy stands twice"),
        ([{"name": "cross_entropy", "span_weights": {"reply": 1}}], "no span kind 'reply'"),
        ([{"name": "cross_entropy", "span_weights": {"end": -1}}], "not negative"),
        ([{"name": "cross_entropy", "span_weights": {"end": 0}}], "every weight is 0"),
        ([{"name": "semantic_alignment", "metric": "dot"}], "metric: 'dot'; use one of cosine"),
        ([], "none; give at least one"),
    ],
)
def test_bad_objectives_are_named(prepared, targets, tmp_path, objectives, message):
    with pytest.raises(InputError, match=message):
        make_trainer(prepared, targets, tmp_path, objectives)


def test_alignment_without_targets_says_what_to_run(prepared, tmp_path):
    with pytest.raises(InputError, match="run `targets` first"):
        make_trainer(prepared, None, tmp_path)


def test_defaults_fit_the_device(tmp_path):
    config = DistillConfig(output_dir=str(tmp_path), use_cpu=True)
    assert config.learning_rate == 2e-5
    assert config.bf16 is False
    assert config.gradient_checkpointing is False
    assert config.report_to == []
    assert json.loads(config.to_json_string())["objectives"] == [{"name": "cross_entropy"}]
    on = DistillConfig(output_dir=str(tmp_path), use_cpu=True, **{CHECKPOINTING: True})
    assert on.gradient_checkpointing is True


def test_activation_checkpointing_changes_no_weight(prepared, targets, tmp_path):
    runs = [
        make_trainer(prepared, targets, tmp_path, **{CHECKPOINTING: on}, max_steps=2)
        for on in (False, True)
    ]
    for run in runs:
        run.train()
    assert_equal(weights(runs[0]), weights(runs[1]), rtol=1e-6, atol=1e-7)
