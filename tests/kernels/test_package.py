"""The kernels stand alone: importing them must not need Triton, limbeck or transformers."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
for name in ("triton", "limbeck", "transformers"):
    sys.modules[name] = None  # importing it raises
import torch, limbeck_kernels
h = torch.randn(4, 8)
print(limbeck_kernels.semantic_alignment_loss(h, h).item() < 1e-6)
"""


def test_imports_without_triton_limbeck_or_transformers():
    root = Path(__file__).parents[2] / "kernels"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "True", done.stderr
