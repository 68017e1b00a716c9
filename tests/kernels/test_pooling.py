"""Pooling of segments against plain Python, over layouts that break two-level sums."""

import itertools
import math

import pytest
import torch

from limbeck_kernels.pooling import pool, pooled_states

LAYOUTS = {
    "one token": (1, [0, 1]),
    "one segment over many chunks": (700, [0, 700]),
    "many short segments": (300, list(range(0, 301, 3))),
    "borders on chunks": (384, [0, 128, 256, 384]),
    "empty at both ends and in the middle": (200, [0, 0, 60, 60, 60, 130, 130]),
    "head and tail outside": (300, [140, 141, 250]),
    "all empty": (20, [5, 5, 5]),
    "no tokens": (0, [0, 0]),
    "no segments": (10, [0]),
}


def make(layout, dtype, device, d=37):
    n, starts = LAYOUTS[layout]
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, d, generator=g).to(device, dtype).requires_grad_()
    select = (torch.rand(n, generator=g) < 0.6).to(device)
    return hidden, select, torch.tensor(starts, dtype=torch.int32, device=device)


def by_hand(hidden, select, starts, pooling):
    """Pooled rows as lists; None where a segment has no selected token."""
    rows, chosen = hidden.detach().cpu().double(), select.tolist()
    pooled = []
    for a, b in itertools.pairwise(starts):
        picked = [i for i in range(a, b) if chosen[i]]
        picked = picked[-1:] if pooling == "last" else picked
        pooled.append(rows[picked].mean(0) if picked else None)
    return pooled


@pytest.mark.parametrize("impl", ["triton", "torch", "naive"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_states_and_gradients(layout, pooling, impl, device):
    hidden, select, cu_seqlens = make(layout, torch.float32, device)
    arguments = {"select_N": select, "cu_seqlens": cu_seqlens, "pooling": pooling}
    if impl == "naive":
        states, valid = pool(hidden, **arguments)
    else:
        states, valid = pooled_states(hidden, impl=impl, **arguments)
    want = by_hand(hidden, select, LAYOUTS[layout][1], pooling)
    assert valid.tolist() == [w is not None for w in want]
    for got, row in zip(states.cpu(), want, strict=True):
        expected = torch.zeros(37) if row is None else row.float()
        torch.testing.assert_close(got.detach(), expected, rtol=1e-5, atol=1e-6)

    upstream = torch.randn(states.shape, generator=torch.Generator().manual_seed(1)).to(device)
    (got,) = torch.autograd.grad(states, hidden, upstream)
    exact = hidden.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(pool(exact, **arguments)[0], exact, upstream.double())
    torch.testing.assert_close(got, expected.float(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_half_precision_is_summed_in_fp32_and_nan_stays_outside(pooling, impl, device):
    hidden, select, cu_seqlens = make("head and tail outside", torch.float16, device)
    dead = ~select
    dead[:140] = True
    dead[250:] = True
    poisoned = torch.where(dead[:, None], math.nan, hidden.detach()).requires_grad_()
    arguments = {"select_N": select, "cu_seqlens": cu_seqlens, "pooling": pooling}
    states, _ = pooled_states(poisoned, impl=impl, **arguments)
    exact, _ = pool(hidden.detach().double(), **arguments)
    assert states.dtype == torch.float32
    torch.testing.assert_close(states.double(), exact, rtol=1e-6, atol=1e-6)
    (grad,) = torch.autograd.grad(states.sum(), poisoned)
    assert grad.dtype == torch.float16
    assert not grad[dead].any()


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_without_a_selection_every_token_counts(pooling, impl, device):
    layout = "empty at both ends and in the middle"
    hidden, select, cu_seqlens = make(layout, torch.float32, device)
    arguments = {"cu_seqlens": cu_seqlens, "pooling": pooling, "impl": impl}
    got = pooled_states(hidden, select_N=None, **arguments)
    want = pooled_states(hidden, select_N=torch.ones_like(select), **arguments)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)
