"""`make bench-gpu` reports nothing when a test fails, and a table of what it measured otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benches" / "kernels"))
import run

ROOT = run.ROOT

ROW = {
    "op": "domain token", "shape": "0.5B 32k", "fraction": 1.0, "seconds": 5e-5, "p20": 4e-5,
    "p80": 6e-5, "peak_bytes": 6e7, "bytes_per_second": 3e12, "floor_share": 0.8,
}  # fmt: skip


def test_a_failing_step_ends_the_run():
    with pytest.raises(SystemExit, match="kernel tests: failed; nothing is reported"):
        run.step("kernel tests", sys.executable, "-c", "raise SystemExit(1)")


def test_the_table_puts_every_variant_beside_ours():
    compiled = ROW | {"variant": "compiled", "seconds": 1e-4, "floor_share": 0.4}
    liger = {key: ROW[key] for key in ("op", "shape", "fraction")} | {
        "variant": "liger", "skipped": "liger_kernel is not installed",
    }  # fmt: skip
    raw = {"benchmarks": [{"extra_info": {"rows": [ROW | {"variant": "ours"}, compiled, liger]}}]}
    lines = run.table(run.kept_results(raw, "A GPU")).splitlines()
    assert lines[0].startswith("**A GPU**")
    assert lines[-4].endswith("| ours | 50 (40–60) | 1.00 | 60 | 3000 | 80% |")
    assert lines[-3].endswith("| compiled | 100 (40–60) | 2.00 | 60 | 3000 | 40% |")
    assert lines[-1] == "Skipped: liger (liger_kernel is not installed)."


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to time")
def test_without_a_gpu_the_small_shapes_run_and_say_what_they_skipped():
    pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "benches/kernels", "-q", "--benchmark-only",
         "-k", "cross_entropy or last", "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        # A process of pytest-xdist, which this may be, does not let its children time anything.
        env={key: value for key, value in os.environ.items() if "XDIST" not in key},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "rows skipped: compiled: what Inductor makes for a CPU" in done.stdout
    assert "rows skipped: liger: needs a GPU" in done.stdout


def test_the_readme_shows_the_kept_results():
    readme = run.README.read_text()
    assert run.with_tables(readme, run.kept_files()) == readme, "run benches/kernels/run.py --table"
