"""Which implementation an op takes, and what a Triton launch needs to know of its surroundings.

Nothing here imports Triton: the package must import where Triton does not exist.
"""

from __future__ import annotations

import importlib.util
import os

import torch
from torch import Tensor

from limbeck_kernels.common import IMPLEMENTATIONS, accumulation_dtype

TRITON_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
HAS_TRITON = importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU (`TRITON_INTERPRET=1`)."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def upcast_dot(dtype: torch.dtype) -> bool:
    """Whether operands of `tl.dot` must be fp32: the interpreter multiplies the bits of bf16."""
    return interpreted() and dtype == torch.bfloat16


def choose_implementation(op: str, impl: str, hidden: Tensor, unsupported: str | None) -> str:
    """Return `triton` or `torch`.

    Args:
        op: The public function, for messages.
        impl: What the caller asked for.
        hidden: The tensor whose device and dtype decide.
        unsupported: Why the Triton kernels cannot take these arguments, or None.

    Raises:
        ValueError: If `impl` is unknown, or is `triton` and the kernels cannot run here.
    """
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"{op}: impl is {impl!r}; give one of {', '.join(IMPLEMENTATIONS)}")
    if impl == "torch":
        return impl
    unsupported = unsupported or _unsupported(hidden)
    if impl == "triton":
        if unsupported is not None:
            raise ValueError(f"{op}: impl='triton' does not support {unsupported}; use 'auto'")
        return impl
    # Under the interpreter `auto` keeps its meaning, the fast path of this device.
    fast = unsupported is None and hidden.device.type == "cuda"
    return "triton" if fast else "torch"


def _unsupported(hidden: Tensor) -> str | None:
    if hidden.dtype not in TRITON_DTYPES:
        return f"{hidden.dtype} states"
    if hidden.device.type != "cuda" and not (hidden.device.type == "cpu" and interpreted()):
        return f"{hidden.device.type} tensors (on CPU, set TRITON_INTERPRET=1)"
    return None if HAS_TRITON else "this machine: triton is not installed"


def cdiv(a: int, b: int) -> int:
    """Return ⌈a / b⌉."""
    return -(-a // b)


def rows_contiguous(hidden_ND: Tensor) -> Tensor:
    """Return the tensor with its last dimension contiguous; rows may be any distance apart."""
    if hidden_ND.stride(-1) == 1 or hidden_ND.shape[-1] <= 1:
        return hidden_ND
    return hidden_ND.contiguous()


def device_scalar(value: Tensor | float, like: Tensor) -> Tensor:
    """Return a 0-d tensor beside `like`; a float is written on the device, not waited for.

    As an argument of an operator every new float would be a new compilation.
    """
    if isinstance(value, Tensor):
        return value.detach().reshape(()).to(like.device)
    return torch.full((), value, dtype=accumulation_dtype(like.dtype), device=like.device)
