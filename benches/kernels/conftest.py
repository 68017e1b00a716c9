"""Timing for `benches/kernels`: equal first, then timed, with memory and bytes beside the time.

    PYTHONPATH=kernels pytest benches/kernels    # on a GPU through run.py, which tests first

A variant that cannot run here is a row with the reason, told at the end of the run.
"""

import statistics
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parents[2] / "kernels"), str(Path(__file__).parent)]
import shapes  # noqa: E402 — found on the path set above

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
DTYPE = torch.bfloat16 if GPU else torch.float32
WARMUP, ROUNDS = (3, 30) if GPU else (1, 3)
SLEEP_CYCLES = 4_000_000  # about 2 ms: the launches of a step are queued before its clock starts
_skipped: dict[str, str] = {}


class UnavailableError(Exception):
    """A variant cannot run here; says why."""


def pytest_terminal_summary(terminalreporter):
    """Say which rows are missing, and why."""
    if not GPU:
        terminalreporter.write_line("no GPU: small shapes on the CPU, nothing to compare GPUs by")
    for variant, reason in sorted(_skipped.items()):
        terminalreporter.write_line(f"rows skipped: {variant}: {reason}")


@pytest.fixture
def shape(shape_name):
    return shapes.SHAPES[shape_name]


@pytest.fixture
def device():
    return DEVICE


@pytest.fixture
def dtype():
    return DTYPE


@pytest.fixture
def generator():
    return torch.Generator(device=DEVICE).manual_seed(0)


@pytest.fixture
def compiled():
    """Turn a function into what `torch.compile` makes of it at these shapes, or say why not."""

    def make(function):
        if not GPU:
            return "what Inductor makes for a CPU says nothing about a GPU"
        torch._dynamo.reset()  # it gives up after eight shapes of one function
        return torch.compile(function, dynamic=False)

    return make


@pytest.fixture(scope="session")
def copy_bandwidth():
    """Bytes a second that a plain copy reaches here: the ceiling that shares are given of."""
    if not GPU:
        return None
    source = torch.empty(2**30, dtype=torch.uint8, device=DEVICE).random_()
    target = torch.empty_like(source)
    return (
        2
        * source.numel()
        / statistics.median(_gpu_seconds(lambda: target.copy_(source)) for _ in range(20))
    )


def _gpu_seconds(step, evict=None):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    if evict is not None:
        evict.zero_()
    torch.cuda._sleep(SLEEP_CYCLES)
    start.record()
    step()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def _cpu_seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _results(call, inputs):
    loss = call()
    return [loss.detach(), *torch.autograd.grad(loss, inputs)]


def _equal(got, want, tolerance):
    for a, b in zip(got, want, strict=True):
        error = (a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-30)
        assert error <= tolerance, f"relative error {error:.1e}: not timed"


def _peak_bytes(step):
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


@pytest.fixture
def compare(benchmark, shape_name, fraction, copy_bandwidth):
    """Time forward and backward of the variants of one op, in turns.

    Each variant is a function, or the reason why it cannot run. All are first compared with
    `eager`. On a GPU a turn is timed by events, after a write that evicts the L2 and a pause in
    which its launches are queued. Kept of each: median, 20th and 80th percentile, peak memory, the
    bytes that must move a second, and the share of the floor: the time that a plain copy takes
    for those bytes, over the median. pytest-benchmark's own clock runs around whole turns.
    """

    def run(op, variants, inputs, *, floor_bytes, tolerance):
        cell = {"op": op, "shape": shape_name, "fraction": fraction}
        rows = {name: cell | {"variant": name} for name in variants}
        steps, peaks = {}, {}
        try:
            want = _results(variants["eager"], inputs)
        except torch.OutOfMemoryError:
            _skipped[f"{op}, {shape_name}"] = "the definition does not fit into this GPU"
            pytest.skip("out of memory")
        for name, call in variants.items():
            try:
                if isinstance(call, str):
                    raise UnavailableError(call)
                _equal(_results(call, inputs), want, tolerance)
                step = lambda call=call: torch.autograd.grad(call(), inputs)  # noqa: E731
                peaks[name] = _peak_bytes(step) if GPU else None
                steps[name] = step
            except (UnavailableError, torch.OutOfMemoryError) as reason:
                _skipped[name] = rows[name]["skipped"] = str(reason).split("\n")[0]
        del want
        seconds = {name: [] for name in steps}
        evict = torch.empty(256 * 2**20, dtype=torch.uint8, device=DEVICE) if GPU else None

        def turn():
            for name, step in steps.items():
                taken = _gpu_seconds(step, evict) if GPU else _cpu_seconds(step)
                seconds[name].append(taken)

        benchmark.pedantic(turn, warmup_rounds=WARMUP, rounds=ROUNDS, iterations=1)
        for name, taken in seconds.items():
            kept = taken[WARMUP:]
            median, cuts = statistics.median(kept), statistics.quantiles(kept, n=5)
            rows[name] |= {
                "seconds": median, "p20": cuts[0], "p80": cuts[3], "peak_bytes": peaks[name],
                "floor_bytes": floor_bytes, "bytes_per_second": floor_bytes / median,
                "floor_share": GPU and floor_bytes / copy_bandwidth / median,
            }  # fmt: skip
        benchmark.extra_info["rows"] = list(rows.values())

    return run
