"""Footprint: the memory that training a student takes on one GPU, counted without weights or GPU.

The student is built from its config alone: its parameters on the meta device, its forward on fake
tensors, whose shapes and dtypes say what is kept for backward.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    from limbeck.config import Recipe, StudentSpec

__all__ = ["Footprint", "footprint"]

# AdamW's two moments.
_MOMENT_BYTES = 8


@dataclass(frozen=True)
class Footprint:
    """Bytes on one device, each part at its largest.

    Attributes:
        parameters: How many the student has, adapter included.
        trainable: How many of them are trained.
        weights: Bytes of all parameters.
        gradients: Bytes of the gradients.
        optimizer: Bytes of AdamW's moments, in fp32.
        activations: What forward keeps for backward, and the layer that is computed again where
            checkpoints are kept instead.
        logits: Those of one chunk of rows, and their gradient.
    """

    parameters: int
    trainable: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """The sum: the allocator's waste, the CUDA context and targets come on top."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    def __str__(self) -> str:
        """Say it in one line.

        Example:
            >>> print(Footprint(10**9, 10**6, *[2**30] * 4, 2**20))
            1,000 M parameters, 1.00 M trained: 4.0 GiB
              (weights 1.0 GiB, gradients 1.0 GiB, AdamW 1.0 GiB, activations 1.0 GiB, logits 1 MiB)
        """
        parts = {
            "weights": self.weights,
            "gradients": self.gradients,
            "AdamW": self.optimizer,
            "activations": self.activations,
            "logits": self.logits,
        }
        listed = ", ".join(f"{name} {_size(size)}" for name, size in parts.items())
        return (
            f"{_millions(self.parameters)} parameters, {_millions(self.trainable)} trained: "
            f"{_size(self.total)}\n  ({listed})"
        )


def footprint(recipe: Recipe) -> Footprint:
    """Count what the train stage of a recipe takes on one GPU that has bf16.

    There autocast and activation checkpointing are on unless the recipe says otherwise. The batch
    is `train.per_device_train_batch_size` rows of `prepare.max_length` tokens. With LoRA what the
    adapter's own layers keep is not counted, nor is it saved that frozen weights need fewer inputs.

    Args:
        recipe: Its student is a config, a local directory, or a name whose config is in the hub's
            cache; nothing is downloaded.

    Raises:
        InputError: The student's config cannot be read, or no causal language model is made of it.

    Example:
        >>> from limbeck.recipes import answer_only
        >>> config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        ...     "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 100}
        >>> recipe = answer_only(student={"config": config}, data={"tasks": ["arithmetic"]})
        >>> footprint(recipe).gradients == footprint(recipe).weights
        True
    """
    import torch
    from transformers import AutoModelForCausalLM

    from limbeck.head import CHUNK_ROWS
    from limbeck.model import quiet
    from limbeck.train import weight_dtype

    values = recipe.train.arguments
    bf16 = values.get("bf16") is not False and not values.get("fp16")
    config = _config(recipe.student)
    dtype = weight_dtype(use_peft=recipe.train.use_peft, bf16=bf16)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
        except ValueError as error:
            raise InputError(f"student: {error}; take a causal language model") from error
        vocabulary = model.get_output_embeddings().weight.shape[0]
        if recipe.train.use_peft:
            from peft import get_peft_model

            from limbeck.adapter import adapter_config

            # Which rows are trained makes no difference to their number.
            rows = range(recipe.prepare.soft_prompt)
            adapter = adapter_config(model, recipe.train, rows, unwritten=rows)
            model = get_peft_model(model, adapter)
    trained = [each for each in model.parameters() if each.requires_grad]
    batch = int(values.get("per_device_train_batch_size", 8))  # transformers' default
    shape = (batch, recipe.prepare.max_length)
    checkpoints = values.get("gradient_checkpointing") is not False
    return Footprint(
        parameters=sum(each.numel() for each in model.parameters()),
        trainable=sum(each.numel() for each in trained),
        weights=sum(each.nbytes for each in model.parameters()),
        gradients=sum(each.nbytes for each in trained),
        optimizer=sum(each.numel() for each in trained) * _MOMENT_BYTES,
        activations=_activations(config, dtype, shape, bf16=bf16, checkpoints=checkpoints),
        logits=2 * 4 * vocabulary * min(CHUNK_ROWS, shape[0] * shape[1]),
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.{0 if count >= 10**7 else 2}f} M"


def _config(student: str | StudentSpec) -> Any:
    from transformers import AutoConfig

    try:
        if isinstance(student, str):
            return AutoConfig.from_pretrained(student, local_files_only=True)
        # The tokenizer is made later and may turn out smaller.
        values = {"vocab_size": student.tokenizer.vocab_size, **student.config}
        return AutoConfig.for_model(values.pop("model_type", ""), **values)
    except (OSError, ValueError) as error:
        name = student if isinstance(student, str) else student.config.get("model_type")
        raise InputError(
            f"student: {name}: no config of it is here; for a name on the hub, "
            f"`hf download {name} config.json`"
            if isinstance(student, str)
            else f"student.config: {name}: {str(error).splitlines()[0]}; mend it"
        ) from error


def _activations(
    config: Any, dtype: Any, shape: tuple[int, int], *, bf16: bool, checkpoints: bool
) -> int:
    """Bytes that the decoder keeps for backward, over rows of tokens of this shape."""
    whole = _kept(config, dtype, shape, bf16=bf16, checkpoints=False)
    if not checkpoints:
        return whole
    # In backward one layer at a time is computed again, with all that it keeps.
    layers: int = config.get_text_config().num_hidden_layers
    return _kept(config, dtype, shape, bf16=bf16, checkpoints=True) + whole // layers


def _kept(config: Any, dtype: Any, shape: tuple[int, int], *, bf16: bool, checkpoints: bool) -> int:
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoModelForCausalLM

    from limbeck.forward import hidden_states
    from limbeck.model import quiet

    # By storage: views of one tensor are kept once.
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage
        return tensor

    # Fake tensors of the CPU: its attention keeps what the GPU's kernels keep, no T × T matrix.
    with quiet(), warnings.catch_warnings(), FakeTensorMode(), torch.device("cpu"):
        warnings.simplefilter("ignore")
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype).train()
        if checkpoints:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        ids = torch.zeros(shape, dtype=torch.int64)
        positions = torch.arange(shape[1]).expand(shape)
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=bf16),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            hidden_states(model.get_decoder(), ids, positions)
        return sum(storage.nbytes() for storage in kept.values())
