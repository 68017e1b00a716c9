"""A `transformers.Trainer` that minimizes weighted objectives over packed, span-labelled rows.

Only what the Trainer cannot know is here: the collator, the losses inside the wrapped forward, the
global normalizers and the logs. Optimizer, schedule, checkpoints, accelerate, FSDP, callbacks and
`report_to` are the Trainer's own.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments, set_seed

from limbeck.data import Collator, is_packed
from limbeck.domains import Domains
from limbeck.errors import InputError
from limbeck.forward import SUBMODULE, attach, causal_model
from limbeck.isolation import IsolationError, check_isolation, check_sharing
from limbeck.model import encoder_decoder
from limbeck.objectives import Objective, make_terms
from limbeck.soft_prompt import SoftPrompt
from limbeck.target_store import TargetStore
from limbeck.trie import is_trie
from limbeck.trie_masks import SharingError, windows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

OBJECTIVES_FILE = "objectives.safetensors"
SOFT_PROMPT_FILE = "soft_prompt.safetensors"
COUNTS_FILE = "distill_state.json"
COUNTS = ("tokens", "trained", "examples")


@dataclass
class DistillConfig(TrainingArguments):
    """`TrainingArguments` with objectives, and the defaults of fine-tuning a language model.

    On a GPU bf16 autocast and activation checkpointing are on, on a CPU everything is fp32.

    Attributes:
        objectives: The terms, `{"name": …, "weight": …, …options}`.
    """

    objectives: list[dict[str, Any]] = field(
        default_factory=lambda: [{"name": "cross_entropy"}],
        metadata={"help": "The weighted terms: name, weight and the term's options."},
    )
    learning_rate: float = field(
        default=2e-5, metadata={"help": "The initial learning rate for the optimizer."}
    )
    bf16: bool | None = field(  # type: ignore[assignment]
        default=None, metadata={"help": "Autocast to bf16; by default where a GPU has it."}
    )
    gradient_checkpointing: bool | None = field(
        default=None, metadata={"help": "Recompute activations; by default on a GPU."}
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Must stay False: the collator reads every column."}
    )
    report_to: str | list[str] | None = field(
        default="none", metadata={"help": "The integrations to report results to."}
    )

    def __post_init__(self) -> None:
        """Fill in what depends on the device."""
        gpu = torch.cuda.is_available() and not self.use_cpu
        if self.bf16 is None:
            self.bf16 = gpu and not self.fp16 and torch.cuda.is_bf16_supported()
        self.dataloader_pin_memory = self.dataloader_pin_memory and gpu  # else torch warns
        # transformers renamed the field; the old name warns where the new one exists.
        names = [f.name for f in fields(self) if f.name in _CHECKPOINTING]
        if all(getattr(self, name) is None for name in names):
            setattr(self, names[0], gpu)
        super().__post_init__()
        if self.remove_unused_columns:
            raise InputError("remove_unused_columns: the collator reads every column; leave False")


_CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")

# Settings of TrainingArguments that this trainer does not act on, and their idle values.
_IDLE = {"label_smoothing_factor": 0.0, "use_liger_kernel": False, "label_names": None}


class DistillTrainer(Trainer):
    """Trains a student on prepared rows.

    Args:
        model: A causal language model of transformers.
        args: Objectives and training arguments.
        train_dataset: Prepared rows (`limbeck.data.load_prepared`).
        processing_class: The prepared tokenizer; saved with checkpoints.
        peft_config: Wraps the model first, if given (needs `limbeck[peft]`).
        targets: Cached states for the terms that read them: a directory or an open store.
        soft_prompt: Ids of a soft prompt and the width of the network that it is trained through,
            until `soft_prompt.fold()`; without it the rows are trained like any other.
        domains: Those of the data, for the terms that tell them apart.
        eval_dataset: Prepared rows; `eval_loss` is the mean over batches of the batch's loss.
        **kwargs: Further arguments of `transformers.Trainer`.

    Raises:
        InputError: An objective is unknown, lacks its targets, or the student cannot pack.
    """

    # Set for every version that asks: our loss is divided by the whole step's Σ weights.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        args: DistillConfig,
        train_dataset: Dataset,
        processing_class: PreTrainedTokenizerBase | None = None,
        peft_config: Any = None,
        targets: str | Path | TargetStore | None = None,
        soft_prompt: tuple[Sequence[int], int] | None = None,
        domains: Domains | None = None,
        eval_dataset: Dataset | dict[str, Dataset] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(targets, str | Path):
            targets = TargetStore(targets)
        terms = make_terms(args.objectives, targets, domains, args.seed)
        _warn_idle(args)
        _refuse_split_sequences(args)
        if args.n_gpu > 1:
            args._n_gpu = 1
            warnings.warn(
                "one process uses one GPU; start with `accelerate launch` to use all", stacklevel=2
            )
        set_seed(args.seed)  # adapters and projections are initialized before Trainer seeds
        if peft_config is not None:
            model = _wrap(model, peft_config)
        config = causal_model(model).config
        if config.is_encoder_decoder:
            raise encoder_decoder("model", config.model_type)
        width = config.get_text_config().hidden_size
        self.soft_prompt = None if soft_prompt is None else SoftPrompt(model, *soft_prompt)
        self.head = attach(model, [term.build(width) for term in terms])
        pad_id = getattr(processing_class, "pad_token_id", None) or 0
        super().__init__(
            model=model,
            args=args,
            data_collator=Collator(terms, pad_id),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        self.model_accepts_loss_kwargs = True
        self.counts = dict.fromkeys(COUNTS, 0)
        self._window = _Window()
        self._seconds_before, self._started = 0.0, time.perf_counter()

    @property
    def objectives(self) -> nn.ModuleDict:
        """What the objectives train, beside the student."""
        module: nn.ModuleDict = getattr(self.accelerator.unwrap_model(self.model), SUBMODULE)
        return module

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; the arguments are those of `Trainer.train`."""
        self._check_rows()
        self._window = _Window()
        self._started = time.perf_counter()
        return super().train(*args, **kwargs)

    def _check_rows(self) -> None:
        """Give the student every example alone if it cannot read several in a row."""
        model = cast(nn.Module, self.model)
        # DeepSpeed may have parted the weights already.
        can_try = not self.is_deepspeed_enabled
        try:
            if not is_trie(self.train_dataset):
                if can_try and is_packed(self.train_dataset):
                    check_isolation(model)
            elif can_try:
                check_sharing(model)
            else:
                windows(causal_model(model).get_decoder())
        except (IsolationError, SharingError) as error:
            cast(Collator, self.data_collator).is_separate = True
            warnings.warn(f"{error}. Now each example gets a row of its own", stacklevel=3)

    def seconds(self) -> float:
        """Wall time spent training, before a resumed checkpoint and since."""
        return self._seconds_before + time.perf_counter() - self._started

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Make the optimizer; objectives with a rate or decay of their own are groups in it."""
        optimizer = super().create_optimizer(*args, **kwargs)
        for objective in cast("Iterable[Objective]", self.objectives.values()):
            rate, decay = objective.learning_rate, objective.weight_decay
            if rate is None and decay is None:
                continue
            own = [each for each in objective.parameters() if each.requires_grad]
            for group in optimizer.param_groups:
                group["params"] = [
                    each for each in group["params"] if not any(each is mine for mine in own)
                ]
            values = {
                "lr": self.args.learning_rate if rate is None else rate,
                "weight_decay": self.args.weight_decay if decay is None else decay,
            }
            optimizer.add_param_group({"params": own, **values})
        return optimizer

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, Any]], device: torch.device
    ) -> Tensor | None:
        """Return Σ weights of every term over the step's micro-batches of all ranks, `[terms]`."""
        if not batch_samples:
            return None
        self._window.steps += 1
        items = torch.stack([batch["items"].to(device) for batch in batch_samples]).sum(0)
        if self.args.world_size > 1:
            items = self.accelerator.reduce(items, reduction="sum")
        return items

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Run the wrapped forward; what it returns is this rank's share of the step's loss."""
        if model.training:
            for objective in cast("Iterable[Objective]", self.objectives.values()):
                objective.advance(self.state.global_step / max(1, self.state.max_steps))
        outputs = model(
            **{name: inputs[name] for name in ("input_ids", "position_ids", "selections")},
            **{name: inputs[name] for name in ("trie",) if name in inputs},
            normalizers=inputs["items"] if num_items_in_batch is None else num_items_in_batch,
        )
        if model.training:
            self._window.add(outputs["terms"], inputs["counts"])
            for name in COUNTS:
                self.counts[name] += inputs["counts"][name]
        # Distributed wrappers average gradients over ranks, whose shares are to be added up.
        loss = outputs["loss"] * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, None, None]:
        """Return the loss of one evaluation batch, divided by its own Σ weights."""
        del prediction_loss_only, ignore_keys
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            loss = self.compute_loss(model, inputs) / self.accelerator.num_processes
        return loss.detach(), None, None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each term's mean since the last log, the trained share and the speed."""
        if "loss" in logs:
            logs |= self._window.drain(self.accelerator)
        super().log(logs, start_time)

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            directory = Path(output_dir or str(self.args.output_dir))
            self.save_objectives(directory)
            if self.soft_prompt is not None:
                _save_module(self.soft_prompt.network, directory / SOFT_PROMPT_FILE)

    def save_objectives(self, directory: Path) -> None:
        """Write what the objectives trained to `objectives.safetensors`, if they train anything."""
        _save_module(self.objectives, directory / OBJECTIVES_FILE)

    def load_apart(self, checkpoint: Path) -> None:
        """Load from a checkpoint what is saved apart from the student."""
        from safetensors.torch import load_file

        parts: list[tuple[nn.Module, Path]] = [(self.objectives, checkpoint / OBJECTIVES_FILE)]
        if self.soft_prompt is not None:
            parts.append((self.soft_prompt.network, checkpoint / SOFT_PROMPT_FILE))
        for module, path in parts:
            if path.is_file():
                module.load_state_dict(load_file(path))

    def total_counts(self) -> dict[str, int]:
        """Tokens, trained tokens and examples seen so far, by all ranks."""
        local = torch.tensor([self.counts[name] for name in COUNTS], device=self.args.device)
        total = self.accelerator.reduce(local, reduction="sum")
        return dict(zip(COUNTS, total.tolist(), strict=True))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        counts = self.total_counts()
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}"
            state = json.dumps({**counts, "seconds": self.seconds()})
            (folder / COUNTS_FILE).write_text(state, "utf-8")

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        checkpoint = Path(resume_from_checkpoint)
        self.load_apart(checkpoint)
        if (checkpoint / COUNTS_FILE).is_file() and self.accelerator.is_main_process:
            state = json.loads((checkpoint / COUNTS_FILE).read_text("utf-8"))
            self._seconds_before = state["seconds"]
            self.counts = {name: state[name] for name in COUNTS}


class _Window:
    """What was seen since the last log; sums stay on the device until they are read."""

    def __init__(self) -> None:
        self._terms: dict[str, Tensor] = {}
        self._counts = dict.fromkeys(COUNTS, 0)
        self.steps = 0
        self._since = time.perf_counter()

    def add(self, terms: dict[str, Tensor], counts: dict[str, int]) -> None:
        for name, value in terms.items():
            self._terms[name] = self._terms.get(name, 0) + value.detach()
        for name in COUNTS:
            self._counts[name] += counts[name]

    def drain(self, accelerator: Any) -> dict[str, float]:
        """Return the means since the last call, over all ranks, and start again."""
        if not self._terms:
            return {}
        steps = self.steps
        values = torch.stack([value.float() for value in self._terms.values()])
        counts = torch.tensor([float(n) for n in self._counts.values()], device=values.device)
        local = torch.cat([values, counts])
        total = accelerator.reduce(local, reduction="sum").tolist()
        sums = dict(zip([*self._terms, *COUNTS], total, strict=True))
        seconds = time.perf_counter() - self._since
        logs = {name: sums[name] / steps for name in self._terms}
        logs["trained_share"] = sums["trained"] / sums["tokens"]
        logs["tokens_per_second"] = round(sums["tokens"] / seconds, 1)
        self.__init__()  # type: ignore[misc]
        return logs


def _save_module(module: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    if state:
        save_file(state, path)


def _wrap(model: Any, peft_config: Any) -> Any:
    try:
        from peft import get_peft_model
    except ImportError as error:
        raise InputError("peft_config: PEFT is missing; install `limbeck[peft]`") from error
    return get_peft_model(model, peft_config)


def _warn_idle(args: DistillConfig) -> None:
    for name, idle in _IDLE.items():
        if getattr(args, name) != idle:
            warnings.warn(f"{name} has no effect on the objectives of limbeck", stacklevel=3)


def _refuse_split_sequences(args: DistillConfig) -> None:
    parallel = args.parallelism_config
    split = (getattr(parallel, f"{kind}_size", 1) for kind in ("tp", "cp", "sp"))
    if any(size and size > 1 for size in split):
        raise InputError(
            "parallelism_config: tensor, context and sequence parallelism split what one objective "
            "sees; use data parallelism or FSDP"
        )
