"""What every op shares: the choice of implementation, dtypes and the checks of arguments.

Shape suffixes used in this package: N tokens, D student width, E (Dt) target width, V vocabulary,
R selected rows, S segments, I items (tokens or segments).
"""

from __future__ import annotations

import torch
from torch import Tensor

IMPLEMENTATIONS = ("auto", "triton", "torch")


def product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `a @ b` accumulated and returned in `dtype`.

    Operands of a lower precision keep it on the matrix units of a GPU. Where only `a` is already
    `dtype`, and small, it is split into a high and a low half of `b`'s dtype, so that its rounding
    costs nothing.
    """
    if a.dtype == b.dtype == dtype:
        return a @ b
    if a.device.type != "cuda":
        return a.to(dtype) @ b.to(dtype)
    if a.dtype == b.dtype:
        return torch.mm(a, b, out_dtype=dtype)
    largest = a.abs().amax().clamp(min=1e-30) if a.numel() else a.new_ones(())
    unit = a / largest
    high = unit.to(b.dtype)
    low = (unit - high.to(dtype)).to(b.dtype)
    if b.numel() <= a.numel():
        halves = torch.mm(torch.cat([high, low], 1), torch.cat([b, b]), out_dtype=dtype)
    else:  # b is the large one: it is read where it lies
        halves = torch.mm(torch.cat([high, low]), b, out_dtype=dtype)
        halves = halves[: a.shape[0]] + halves[a.shape[0] :]
    return halves * largest


def check_implementation(op: str, impl: str) -> None:
    """Refuse an implementation that this op does not have, instead of quietly taking another."""
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"{op}: impl is {impl!r}; give one of {', '.join(IMPLEMENTATIONS)}")
    if impl == "triton":
        raise ValueError(
            f"{op}: this version has no Triton path for this op; give impl='auto' or impl='torch'"
        )


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype that sums and losses are kept in: fp32, or fp64 for fp64 inputs."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def flatten_hidden(op: str, name: str, hidden: Tensor) -> Tensor:
    """View `[B, T, D]` as `[B·T, D]`, row-major; `[N, D]` passes through."""
    if hidden.dim() not in (2, 3):
        raise ValueError(f"{op}: {name} has shape {tuple(hidden.shape)}; give [N, D] or [B, T, D]")
    if not hidden.is_floating_point():
        raise ValueError(f"{op}: {name} is {hidden.dtype}; give a floating-point tensor")
    return hidden.reshape(-1, hidden.shape[-1])


def check_constant(op: str, name: str, value: Tensor | None) -> None:
    """Refuse an argument that asks for a gradient it will never get."""
    if value is not None and value.requires_grad:
        raise ValueError(f"{op}: {name} gets no gradient; pass {name}.detach()")


def check_plain(op: str, name: str, value: Tensor | None) -> None:
    """Refuse a sharded parameter: its local part would give the wrong loss without a word."""
    if value is not None and hasattr(value, "full_tensor"):
        raise ValueError(
            f"{op}: {name} is a sharded DTensor; call inside the module's forward, where FSDP has "
            f"gathered it, or pass {name}.full_tensor()"
        )


def check_items(op: str, name: str, value: Tensor | None, items: int) -> Tensor | None:
    """Flatten a per-item argument and compare its length with the number of items."""
    if value is None:
        return None
    if value.numel() != items:
        raise ValueError(
            f"{op}: {name} has shape {tuple(value.shape)} but there are {items} items; "
            "give one number an item"
        )
    return value.reshape(-1)


def reciprocal(normalizer: Tensor | float, like: Tensor) -> Tensor:
    """Return 1 / normalizer as a 0-d tensor, and 0 where the normalizer is 0.

    A batch without a single weighted item then has loss 0 and zero gradients, with its graph
    attached, so that every rank of a distributed run takes part in the same backward. Nothing is
    read back from the device.
    """
    if isinstance(normalizer, Tensor):
        z = normalizer.to(like.device, like.dtype)
    else:  # written on the device, not copied to it
        z = torch.full((), normalizer, dtype=like.dtype, device=like.device)
    empty = z == 0
    return torch.where(empty, 0.0, 1.0 / torch.where(empty, 1.0, z))


def refuse_double_backward(op: str) -> None:
    """Raise inside a backward that is itself recorded, instead of returning a constant."""
    if torch.is_grad_enabled():
        raise RuntimeError(f"{op}: double backward (create_graph=True) is not supported")
