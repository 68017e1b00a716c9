"""Selected-row cross-entropy beside PyTorch's, Liger's and CCE's, where they are installed.

Every rival runs on the same gathered rows, and (`all rows`) on unselected input with the labels of
the other rows ignored. CCE is called with its exact preset: its default drops small gradients.
"""

import importlib.util

import pytest
import torch
import torch.nn.functional as F
from shapes import cells

from limbeck_kernels import selected_cross_entropy


def fused_rivals(device):
    """Return mean losses `(hidden, head, labels) -> 0-d` by name, or the reason for none."""
    found = {}
    if hasattr(F, "linear_cross_entropy"):
        found["F.linear_cross_entropy"] = F.linear_cross_entropy
    else:
        found["F.linear_cross_entropy"] = "torch has it from 2.13 on"
    for name, package in (("liger", "liger_kernel"), ("cce_exact", "cut_cross_entropy")):
        if device == "cpu":
            found[name] = "needs a GPU"
        elif importlib.util.find_spec(package) is None:
            found[name] = f"{package} is not installed"
    if "liger" not in found:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

        liger = LigerFusedLinearCrossEntropyLoss()
        found["liger"] = lambda hidden, head, labels: liger(head, hidden, labels)
    if "cce_exact" not in found:
        from cut_cross_entropy import linear_cross_entropy

        found["cce_exact"] = lambda *inputs: linear_cross_entropy(*inputs, impl="cce_exact")
    return found


@pytest.mark.parametrize(("shape_name", "fraction"), cells("0.5B 8k", "1B 8k", "8B 8k"))
def test_cross_entropy(shape, fraction, device, dtype, generator, compiled, compare):
    n, d, v = shape.tokens, shape.width, shape.vocabulary
    of = {"generator": generator, "device": device}
    hidden = torch.randn(n, d, **of).to(dtype).requires_grad_()
    head = (torch.randn(v, d, **of) / d**0.5).to(dtype).requires_grad_()
    labels = torch.randint(0, v, (n,), **of)
    select = torch.rand(n, **of) < fraction
    weights, rows = select.float(), select.nonzero().squeeze(1)
    ignoring = torch.where(select, labels, -100)

    def ours():
        return selected_cross_entropy(hidden, head, labels, weights=weights, rows=rows)

    def eager():
        return F.cross_entropy((hidden[rows] @ head.T).float(), labels[rows])

    variants = {"ours": ours, "eager": eager, "compiled": compiled(eager)}
    for name, rival in fused_rivals(device).items():
        if isinstance(rival, str):
            variants[name] = rival
            continue
        variants[name] = lambda rival=rival: rival(hidden[rows], head, labels[rows])
        if fraction < 1:
            variants[f"{name}, all rows"] = lambda rival=rival: rival(hidden, head, ignoring)
    compare(
        "cross-entropy",
        variants,
        (hidden, head),
        # Bound by arithmetic: these bytes are the head, read twice, and its gradient, written.
        floor_bytes=3 * v * d * head.element_size(),
        tolerance=3e-2 if dtype == torch.bfloat16 else 1e-4,
    )
