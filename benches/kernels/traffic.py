"""Count the bytes that kernels and eager PyTorch read and write, on a machine without a GPU.

`Traffic` wraps the masked loads and stores of Triton's interpreter; `EagerTraffic` adds up the
operands and results of every operator that is not a view. A kernel that fetches one address in
many programs is counted once a launch in `unique` (what must come from memory) and every time in
`requested` (what the caches must serve).

    TRITON_INTERPRET=1 python benches/kernels/traffic.py    # the table: ours, eager, the floor
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Patched(ABC):
    """Replaces methods of the interpreter's classes for the length of a `with` block."""

    def __enter__(self) -> Any:
        """Wrap what `wrappers` names."""
        self._saved = []
        for owner, name, function in self.wrappers():
            self._saved.append((owner, name, getattr(owner, name)))
            setattr(owner, name, function)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the interpreter as it was."""
        for owner, name, function in self._saved:
            setattr(owner, name, function)

    @abstractmethod
    def wrappers(self) -> list[tuple[Any, str, Any]]:
        """Return (class, method name, replacement)."""


class Shuffled(Patched):
    """Runs the programs of every launch in a random order; with seed None in their own."""

    def __init__(self, seed: int | None) -> None:
        self._generator = None if seed is None else np.random.default_rng(seed)

    def order(self, n: int) -> list[int]:
        """Return the order of the next n programs."""
        if self._generator is None:
            return list(range(n))
        return [int(i) for i in self._generator.permutation(n)]

    def wrappers(self) -> list[tuple[Any, str, Any]]:
        """Shuffle each dimension of the grid apart."""
        from triton.runtime.interpreter import InterpreterBuilder as Builder

        set_dim, set_index = Builder.set_grid_dim, Builder.set_grid_idx

        def dim(builder: Any, *dims: int) -> None:
            set_dim(builder, *dims)
            self._orders = [self.order(n) for n in dims]

        def index(builder: Any, *at: int) -> None:
            set_index(builder, *(o[i] for o, i in zip(self._orders, at, strict=True)))

        return [(Builder, "set_grid_dim", dim), (Builder, "set_grid_idx", index)]


class Traffic(Patched):
    """A context in which every byte of every interpreted launch is counted."""

    def __init__(self) -> None:
        self.requested = 0
        self.launches: list[str] = []
        self.rewritten = 0  # addresses stored more than once within a launch
        self._touched: dict[str, dict[int, list[np.ndarray]]] = {}
        self._unique: list[dict[str, dict[int, np.ndarray]]] = []

    def wrappers(self) -> list[tuple[Any, str, Any]]:
        """Note the addresses of loads and stores, launch by launch."""
        from triton.runtime.interpreter import GridExecutor
        from triton.runtime.interpreter import InterpreterBuilder as Builder

        load, store = Builder.create_masked_load, Builder.create_masked_store
        call = GridExecutor.__call__

        def watched_load(builder: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
            self._note("read", pointers, mask)
            return load(builder, pointers, mask, *rest)

        def watched_store(builder: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
            self._note("written", pointers, mask)
            return store(builder, pointers, value, mask, *rest)

        def watched_call(executor: Any, *args: Any, **kwargs: Any) -> Any:
            self.launches.append(executor.fn.__name__)
            self._touched = {"read": defaultdict(list), "written": defaultdict(list)}
            result = call(executor, *args, **kwargs)
            self._close()
            return result

        return [
            (Builder, "create_masked_load", watched_load),
            (Builder, "create_masked_store", watched_store),
            (GridExecutor, "__call__", watched_call),
        ]

    def _note(self, kind: str, pointers: Any, mask: Any) -> None:
        size = max(pointers.get_element_ty().primitive_bitwidth // 8, 1)
        shape = np.broadcast_shapes(np.shape(pointers.data), np.shape(mask.data))
        addresses = np.broadcast_to(pointers.data, shape)[np.broadcast_to(mask.data, shape) != 0]
        self.requested += addresses.size * size
        self._touched[kind][size].append(addresses.ravel())

    def _close(self) -> None:
        unique: dict[str, dict[int, np.ndarray]] = {"read": {}, "written": {}}
        for kind, by_size in self._touched.items():
            for size, parts in by_size.items():
                every = np.concatenate(parts)
                unique[kind][size] = np.unique(every)
                if kind == "written":
                    self.rewritten += every.size - unique[kind][size].size
        self._unique.append(unique)

    def unique(self, kind: str, tensor: Tensor | None = None) -> int:
        """Return bytes `read` or `written`, each address once a launch, of one tensor or of all."""
        total = 0
        for launch in self._unique:
            for size, addresses in launch[kind].items():
                if tensor is None:
                    total += addresses.size * size
                    continue
                start = tensor.untyped_storage().data_ptr()
                end = start + tensor.untyped_storage().nbytes()
                total += int(((addresses >= start) & (addresses < end)).sum()) * size
        return total


class EagerTraffic(TorchDispatchMode):
    """Adds up the bytes of operands and results of every operator that is not a view."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.operators = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        """Run the operator and count it."""
        result = function(*args, **(kwargs or {}))
        if function.is_view or function.__name__.startswith(("detach", "empty", "_unsafe_view")):
            return result
        self.operators += 1
        leaves, _ = torch.utils._pytree.tree_flatten((args, kwargs, result))
        tensors = {id(t): t for t in leaves if isinstance(t, Tensor)}
        self.total += sum(t.numel() * t.element_size() for t in tensors.values())
        return result


def measure(call: Any, *inputs: Tensor) -> tuple[Traffic, list[Tensor]]:
    """Run a loss forward and backward under the interpreter, watched."""
    with Traffic() as traffic:
        gradients = torch.autograd.grad(call(), inputs)
    return traffic, list(gradients)


def measure_eager(call: Any, *inputs: Tensor) -> EagerTraffic:
    """Run a loss forward and backward eagerly, every operator counted."""
    with EagerTraffic() as traffic:
        torch.autograd.grad(call(), inputs)
    return traffic


def cases(n: int = 512, d: int = 896, k: int = 12, fraction: float = 1.0) -> dict[str, Any]:
    """Return, by name: our loss, the eager definition, their inputs and the floor in N·D bytes."""
    from limbeck_kernels import (
        distillation_head,
        domain_adversarial_loss,
        semantic_alignment_loss,
    )
    from limbeck_kernels.alignment.naive import semantic_alignment_naive
    from limbeck_kernels.domain import domain_adversarial_naive

    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, d, generator=g).half().requires_grad_()
    target = torch.randn(n, d, generator=g).half()
    weight = (torch.randn(k, d, generator=g) / d**0.5).requires_grad_()
    bias = torch.zeros(k, requires_grad=True)
    select = torch.arange(n) < round(n * fraction)
    segments = max(n // 128, 1)
    cu_seqlens = torch.arange(segments + 1, dtype=torch.int32) * (n // segments)
    strength = torch.tensor(0.1)
    found: dict[str, Any] = {}
    for pooling in ("token", "mean", "last"):
        items = n if pooling == "token" else segments
        starts = None if pooling == "token" else cu_seqlens
        domains = torch.randint(0, k, (items,), generator=g)
        read = {"token": 4 * fraction, "mean": 2 * fraction, "last": 0.0}[pooling]
        found[f"domain {pooling}"] = (
            lambda domains=domains, starts=starts, pooling=pooling: domain_adversarial_loss(
                hidden, weight, bias, domains, strength=strength, select=select,
                cu_seqlens=starts, pooling=pooling, impl="triton",
            ),
            lambda domains=domains, starts=starts, pooling=pooling: domain_adversarial_naive(
                hidden, weight, bias, domains, strength=strength, select_N=select,
                cu_seqlens=starts, pooling=pooling,
            ),
            (hidden, weight, bias), read + 2,
        )  # fmt: skip
    for metric in ("cosine", "mse", "smooth_l1"):
        found[f"alignment {metric} token"] = (
            lambda metric=metric: semantic_alignment_loss(
                hidden, target, metric=metric, select=select, impl="triton"
            ),
            lambda metric=metric: semantic_alignment_naive(
                hidden, None, target, metric=metric, weights_I=None, select_N=select,
                cu_seqlens=None, pooling="token", normalizer=None,
            ),
            (hidden,), 8 * fraction + 2,
        )  # fmt: skip

    domain = {
        "weight": weight, "bias": bias, "strength": strength, "select": select, "impl": "triton",
        "domains": torch.randint(0, k, (n,), generator=g),
    }  # fmt: skip
    alignment = {"target": target, "select": select, "impl": "triton"}
    apart = found["alignment cosine token"][1], found["domain token"][1]

    def head() -> Tensor:
        losses = distillation_head(hidden, alignment=alignment, domain=domain)
        return losses.alignment + losses.domain

    found["head: cosine + domain token"] = (
        head, lambda: apart[0]() + apart[1](), (hidden, weight, bias), 12 * fraction + 2,
    )  # fmt: skip
    return found


def usual(n: int, d: int, k: int = 12) -> dict[str, Any]:
    """Return, by name, each loss as it is usually written, every row counted, and its inputs."""
    import torch.nn.functional as F

    from limbeck_kernels.domain.naive import Reverse

    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, d, generator=g).half().requires_grad_()
    target = torch.randn(n, d, generator=g).half()
    weight = torch.randn(k, d, generator=g).half().requires_grad_()
    bias = torch.zeros(k).half().requires_grad_()
    domains = torch.randint(0, k, (n,), generator=g)
    strength = torch.tensor(0.1)

    def domain() -> Tensor:
        logits = F.linear(Reverse.apply(hidden, strength), weight, bias)
        return F.cross_entropy(logits.float(), domains)

    def cosine() -> Tensor:
        return (1 - F.cosine_similarity(hidden.float(), target.float())).mean()

    def mse() -> Tensor:
        return F.mse_loss(hidden.float(), target.float())

    return {
        "domain token, products in fp16": (domain, (hidden, weight, bias)),
        "cosine token, fp32": (cosine, (hidden,)),
        "mse token, fp32": (mse, (hidden,)),
    }


def main() -> None:
    """Print bytes an element of the states, forward and backward: ours, eager and the floor."""
    n, d = 2048, 896
    print("| loss | f | ours, N·D bytes | floor | launches | eager definition | its operators |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for fraction in (1.0, 0.3):
        for name, (ours, eager, inputs, floor) in cases(n, d, fraction=fraction).items():
            traffic, _ = measure(ours, *inputs)
            rival = measure_eager(eager, *inputs)
            moved = (traffic.unique("read") + traffic.unique("written")) / (n * d)
            print(
                f"| {name} | {fraction} | {moved:.2f} | {floor:.1f} | {len(traffic.launches)} | "
                f"{rival.total / (n * d):.1f} | {rival.operators} |"
            )
    print()
    for name, (call, inputs) in usual(n, d).items():
        rival = measure_eager(call, *inputs)
        print(
            f"as usually written, {name}: {rival.total / (n * d):.1f} ({rival.operators} operators)"
        )


if __name__ == "__main__":
    main()
