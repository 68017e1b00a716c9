"""Train: prepared rows become a student that any tool of the ecosystem opens.

limbeck train PREPARED …, the `student` stage of `limbeck run`, or `train(prepared, student=…, …)`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from limbeck.config import Train
    from limbeck.data import Survey
    from limbeck.tasks import Question
    from limbeck.trainer import DistillTrainer

Progress = Callable[[int, int, str], None]


def train(
    prepared: str | Path,
    *,
    student: str | Path,
    output_dir: str | Path,
    settings: Train,
    targets: str | Path | None = None,
    method: str = "",
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Train a student on prepared data and save it as an ordinary checkpoint.

    Checkpoints stand in a hidden directory beside `output_dir` until the student is complete; a
    call with the same inputs takes up the last of them, so that an interrupted run goes on.

    Args:
        prepared: What `limbeck prepare` wrote.
        student: The starting student, a local directory or a hub name.
        output_dir: The student's directory; replaced when the new student is complete.
        settings: Objectives, LoRA and training arguments.
        targets: Cached rationale states, for the objectives that read them.
        method: The method's name, written down with the student.
        seed: Of initialization and data order.
        progress: Told steps done, steps in all, and the loss.

    Returns:
        `output_dir`.

    Raises:
        InputError: A setting is unknown, the student or the data cannot be read, or an example
            would train nothing.
    """
    from limbeck.model import check_student, load_student, quiet

    prepared, output_dir = Path(prepared), Path(output_dir)
    check_student(student)
    manifest = _manifest(prepared)  # refused before PyTorch is imported, which takes seconds

    from transformers import AutoTokenizer, PrinterCallback, set_seed

    from limbeck.adapter import adapter_config
    from limbeck.arguments import arguments
    from limbeck.data import load_prepared, survey
    from limbeck.domains import read_domains
    from limbeck.objectives import make_terms
    from limbeck.target_store import TargetStore
    from limbeck.tasks import held_out_questions

    work_dir = output_dir.with_name(f".{output_dir.name}.partial")
    held_out = held_out_questions(prepared, settings.validation_questions)
    args = arguments(settings, work_dir / "checkpoints", seed, validated=bool(held_out))
    if args.eval_strategy != "no" and not held_out:
        raise InputError(
            f"train.eval_strategy: {prepared} holds no questions out to evaluate on; set "
            "`data.validation`, or leave the key out"
        )
    dataset = load_prepared(prepared)
    store = None if targets is None else TargetStore(targets)
    if store is not None:
        store.check(prepared)
    gates = _gates(manifest["render"])
    domains = read_domains(dataset, manifest.get("domains", ()), question_only(manifest["render"]))
    terms = make_terms(args.objectives, store, domains, args.seed)
    # Of several templates the first answers, unless the student chooses its way itself.
    found = survey(dataset, terms, templates=None if gates else (0,))
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(prepared / "tokenizer")

    info = _info(manifest, method, found, gates)
    inputs = [manifest, str(student), settings.model_dump(mode="json"), str(targets), seed]
    with args.main_process_first(local=False):  # one process clears up, the others find it done
        checkpoint = _resume(work_dir, hashlib.sha256(json.dumps(inputs).encode()).hexdigest())
    set_seed(args.seed)  # the rows of added tokens are drawn
    model = load_student(
        student,
        tokenizer_length=len(tokenizer),
        dtype=weight_dtype(use_peft=settings.use_peft, bf16=args.bf16),
    )
    added = _ids(tokenizer, manifest["render"]["added_tokens"])
    prompt = _soft_prompt_ids(tokenizer, manifest["render"], settings)
    adapter = (
        adapter_config(model, settings, added, unwritten=prompt) if settings.use_peft else None
    )
    with quiet():
        trainer = _trainer(
            held_out,
            work_dir / "answering",
            info,
            model=model,
            args=args,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=adapter,
            targets=store,
            domains=domains,
            soft_prompt=(prompt, settings.soft_prompt_mlp) if settings.soft_prompt_mlp else None,
            callbacks=[_progress_callback(progress)] if progress else None,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=checkpoint)
    seen = trainer.total_counts()
    if trainer.is_world_process_zero():
        fresh = work_dir / "student"
        shutil.rmtree(fresh, ignore_errors=True)
        _save(trainer, tokenizer, fresh, settings, info)
        _write_record(trainer, fresh, seen)
        _replace(output_dir, fresh)
        shutil.rmtree(work_dir)
    trainer.accelerator.wait_for_everyone()
    return output_dir


def _trainer(
    held_out: Sequence[Question], answering: Path, info: Mapping[str, Any], **options: Any
) -> DistillTrainer:
    """Return a trainer that judges its checkpoints, where questions are held out for that.

    Args:
        held_out: These questions.
        answering: Where to write how the student answers.
        info: What `limbeck.json` will say.
        **options: Of the trainer.
    """
    from limbeck.model import save_answering
    from limbeck.trainer import DistillTrainer
    from limbeck.validation import ValidatedTrainer

    if not held_out:
        return DistillTrainer(**options)
    args, tokenizer = options["args"], options["processing_class"]
    with args.main_process_first(local=False):
        if args.process_index == 0:
            stop_ids = _ids(tokenizer, _stops(info))
            save_answering(tokenizer, answering, info=info, stop_ids=stop_ids)
    return ValidatedTrainer(questions=held_out, student=answering, **options)


def check_settings(settings: Train) -> None:
    """Refuse settings that no training could use, before anything runs.

    Args:
        settings: A recipe's `train` section.

    Raises:
        InputError: A key, an objective or one of its options is unknown or out of range.
    """
    from limbeck.arguments import arguments
    from limbeck.objectives import make_terms

    make_terms(settings.objectives)
    arguments(settings, Path("checkpoints"), 0, validated=True)


def weight_dtype(*, use_peft: bool, bf16: bool | None) -> Any:
    """Return the dtype of the student's weights; `bf16` says whether arithmetic is.

    Weights that are trained stay fp32, autocast lowers the arithmetic: at a learning rate of 2e-5
    an update is smaller than the spacing of bf16 and would be rounded away. The frozen base of an
    adapter has no updates to lose.
    """
    import torch

    return torch.bfloat16 if use_peft and bf16 else torch.float32


def _manifest(prepared: Path) -> dict[str, Any]:
    path = prepared / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not prepared data ({error}); write it with `limbeck prepare`"
        ) from error
    return manifest


def _resume(work_dir: Path, key: str) -> str | None:
    """Return the last checkpoint of the same inputs; clear away those of others."""
    from transformers.trainer_utils import get_last_checkpoint

    stamp = work_dir / "inputs.sha256"
    if not stamp.is_file() or stamp.read_text("utf-8") != key:
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        stamp.write_text(key, "utf-8")
    checkpoints = work_dir / "checkpoints"
    return get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None


def _info(
    manifest: Mapping[str, Any], method: str, found: Survey, gates: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what `limbeck.json` says: how the student was taught, and so how it answers."""
    render = manifest["render"]
    order = "adaptive" if gates else _order(render["template"]["completion"])
    longest = found.longest_answer if order == "answer-first" else found.longest_completion
    inference = {
        "order": order,
        # A quarter more than any example needed: room for what is new, an end for what never ends.
        "max_new_tokens": longest + longest // 4 + 8,
        **({"gates": dict(gates)} if gates else {}),
    }
    return {"method": method, "render": render, "inference": inference}


def _order(completion: str) -> str:
    """Return what a completion writes first."""
    answer, rationale = completion.find("{answer}"), completion.find("{rationale}")
    if "{semantic}" in completion or 0 <= answer < rationale:
        if "{answer}{rationale}" in completion:
            raise InputError(
                "prepare.template: nothing stands between answer and rationale, so an answer has "
                "no end; put {semantic} or some text there"
            )
        return "answer-first"
    return "think-first" if rationale >= 0 else "answer-only"


def question_only(render: Mapping[str, Any]) -> list[int]:
    """Return the numbers of the templates for questions without an answer.

    Args:
        render: Of a manifest.
    """
    templates = (render["template"], *render.get("more_templates", ()))
    return [number for number, each in enumerate(templates) if not each["completion"]]


def _gates(render: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return order and completion of each way by the token that opens it; empty without gates."""
    from limbeck.prepare import CONTROLS

    gates = {}
    for template in (render["template"], *render.get("more_templates", ())):
        completion = template["completion"]
        control = completion[: completion.find("}") + 1]
        if control not in ("{answer_first}", "{think_first}"):
            continue
        order = "think-first" if _order(completion) == "think-first" else "answer-first"
        gates[CONTROLS[control]] = {"order": order, "completion": completion}
    return gates


def _save(
    trainer: DistillTrainer,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    settings: Train,
    info: Mapping[str, Any],
) -> None:
    from limbeck.model import save_student

    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    parameters = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    directory.mkdir(parents=True)
    trainer.save_objectives(directory)
    if trainer.soft_prompt is not None:
        trainer.soft_prompt.fold()
    if settings.use_peft and settings.merge_adapter:
        model = model.merge_and_unload()
    save_student(model, tokenizer, directory, info=info, stop_ids=_ids(tokenizer, _stops(info)))
    (directory / "training.json").write_text(json.dumps(parameters), "utf-8")


def _soft_prompt_ids(
    tokenizer: PreTrainedTokenizerBase, render: Mapping[str, Any], settings: Train
) -> list[int]:
    """Return the ids of the soft prompt, which the tokenizer must write before a text once.

    Raises:
        InputError: It does not, or there is none and a network is to train it.
    """
    count = render.get("soft_prompt", 0)
    if not count and settings.soft_prompt_mlp:
        raise InputError(
            "train.soft_prompt_mlp: the prepared data have no soft prompt; set prepare.soft_prompt"
        )
    ids = _ids(tokenizer, [f"<|prompt_{number}|>" for number in range(count)])
    if render["style"] == "plain":
        written = [each for each in tokenizer("a")["input_ids"] if each in ids]
    else:
        chat = [{"role": "user", "content": "a"}]
        # transformers has the day from the clock; here it makes no difference.
        variables = {k: v for k, v in render["chat_variables"].items() if k != "strftime_now"}
        text = tokenizer.apply_chat_template(chat, tokenize=False, **variables)
        written = [each for each in tokenizer(text)["input_ids"] if each in ids]
    if written != ids:
        raise InputError(
            f"prepare.soft_prompt: loaded by transformers, the prepared tokenizer writes "
            f"{len(written)} of its tokens, not {count}; the tokenizer's class does not keep what "
            "its files say"
        )
    return ids


def _stops(info: Mapping[str, Any]) -> list[str]:
    """Return the tokens that end an answer: of an answer-first one also `<|sem|>`, if written."""
    from limbeck.prepare import CONTROLS

    render, inference = info["render"], info["inference"]
    ways = inference.get("gates", {"": {**inference, **render["template"]}}).values()
    early = any(
        way["order"] == "answer-first" and "{semantic}" in way["completion"] for way in ways
    )
    return [render["end_token"], *([CONTROLS["{semantic}"]] if early else [])]


def _ids(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[int]:
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[token] for token in tokens]


def _write_record(trainer: DistillTrainer, directory: Path, counts: Mapping[str, int]) -> None:
    path = directory / "training.json"
    record = {
        "steps": trainer.state.global_step,
        "examples_seen": counts["examples"],
        "tokens_processed": counts["tokens"],
        "tokens_trained": counts["trained"],
        "seconds": round(trainer.seconds(), 3),
        **json.loads(path.read_text("utf-8")),
        "epochs": trainer.state.epoch,
        "validation": _chosen(trainer),
    }
    path.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    trainer.state.save_to_json(str(directory / "trainer_state.json"))


def _chosen(trainer: DistillTrainer) -> dict[str, Any] | None:
    """Return which checkpoint was chosen by its accuracy on the held-out questions."""
    if not trainer.args.load_best_model_at_end or trainer.state.best_metric is None:
        return None
    return {"step": trainer.state.best_global_step, "metric": trainer.state.best_metric}


def _replace(output_dir: Path, fresh: Path) -> None:
    """Put the finished directory where the old one stood; the old one goes last."""
    old = output_dir.with_name(f".{output_dir.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output_dir.exists():
        output_dir.rename(old)
    fresh.rename(output_dir)
    shutil.rmtree(old, ignore_errors=True)


def _progress_callback(progress: Progress) -> Any:
    from transformers import TrainerCallback

    class Report(TrainerCallback):
        """Tells a stage's progress callback about every step."""

        loss = ""

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            del args, state, control
            logs = kwargs["logs"]
            if "loss" in logs:
                self.loss = f"loss {logs['loss']:.3f}, {logs['tokens_per_second']:.0f} tokens/s"

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            del args, control, kwargs
            if state.is_world_process_zero:
                progress(state.global_step, state.max_steps, self.loss)

    return Report()
