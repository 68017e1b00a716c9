"""The examples of the losses run as they stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "needs"), [("loop", "torch"), ("trainer", "accelerate"), ("sft", "trl")]
)
def test_example(name, needs):
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "losses" / f"{name}.py")],
        env=os.environ | {"PYTHONPATH": str(ROOT / "kernels"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("loss ")[-1].split()[-1]) > 0
