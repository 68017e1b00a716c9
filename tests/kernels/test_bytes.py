"""What the kernels read and write, counted: each byte of the states as often as the floor says."""

import sys
from pathlib import Path

import pytest
import torch

from limbeck_kernels.launch import interpreted

sys.path.insert(0, str(Path(__file__).parents[2] / "benches" / "kernels"))
import traffic

pytest.importorskip("triton", reason="triton is not installed")
pytestmark = pytest.mark.skipif(not interpreted(), reason="bytes are counted in the interpreter")
N, D = 256, 384
# The third metric reads and writes as the second does.
NAMES = [name for name in traffic.cases(N, D) if "smooth_l1" not in name]


@pytest.mark.parametrize("fraction", [1.0, 0.25])
@pytest.mark.parametrize("name", NAMES)
def test_states_are_read_and_written_as_the_floor_says(name, fraction):
    ours, eager, inputs, floor = traffic.cases(N, D, fraction=fraction)[name]
    hidden = inputs[0]
    watched, gradients = traffic.measure(ours, *inputs)
    live = round(N * fraction)
    rows = {"token": live, "mean": live, "last": None}[name.split()[-1]]
    if rows is None:  # the last selected token of each segment that has one
        rows = max(1, live // 128)
    passes = 4 if name.startswith("head") else 1 if name.endswith(("mean", "last")) else 2
    assert watched.unique("read", hidden) == passes * rows * D * 2
    assert watched.unique("written", gradients[0]) == N * D * 2
    assert watched.rewritten == 0  # no address is stored twice, in any launch

    moved = watched.unique("read") + watched.unique("written")
    # What is not states: gradients of 16 logits and their reads, labels, W, slabs, slots.
    assert moved <= (floor + 1.6) * N * D
    rival = traffic.measure_eager(eager, *inputs).total
    assert moved < rival / 2.5


@pytest.mark.parametrize("name", NAMES)
def test_programs_may_run_in_any_order(name):
    """Interpreted programs run one after the other, so a repeat alone would prove nothing."""
    ours, _, inputs, _ = traffic.cases(290, 130, fraction=0.6)[name]

    def run(seed):
        with traffic.Shuffled(seed):
            loss = ours()
            return [loss.detach(), *torch.autograd.grad(loss, inputs)]

    natural = run(None)
    for seed in (1, 2):
        for a, b in zip(run(seed), natural, strict=True):
            assert torch.equal(a, b)
    assert traffic.Shuffled(1).order(7) != list(range(7))
