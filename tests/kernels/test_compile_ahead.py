"""Every kernel compiles for every GPU without a spill and within its shared memory.

Compiling all of it takes minutes, so the whole is kept in `benches/results/compiled.json` beside a
digest of the kernels; here the digest is compared and the kernels that come nearest to the limits
are compiled again. `LIMBECK_COMPILE_ALL=1` compiles everything.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benches" / "kernels"))
import compile_ahead

AGAIN = "run `python benches/kernels/compile_ahead.py --write`"


def test_the_kept_table_is_of_these_kernels_and_without_a_fault():
    kept = json.loads(compile_ahead.RESULTS.read_text())
    assert kept["digest"] == compile_ahead.source_digest(), AGAIN
    assert {row["target"] for row in kept["rows"]} == set(compile_ahead.TARGETS)
    assert compile_ahead.faults(kept["rows"]) == []
    readme = compile_ahead.README.read_text()
    assert compile_ahead.with_table(readme, kept["rows"]) == readme, AGAIN


def test_a_fault_is_seen():
    row = {"kernel": "k", "configuration": "c", "target": "sm_89", "shared_limit": 99 * 1024}
    assert compile_ahead.faults([row | {"spills": 0, "shared": 99 * 1024}]) == []
    assert compile_ahead.faults([row | {"spills": 8, "shared": 0}])
    assert compile_ahead.faults([row | {"spills": 0, "shared": 99 * 1024 + 1}])


@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux")
def test_the_tightest_kernels_compile_on_this_triton():
    pytest.importorskip("triton", reason="triton is not installed")
    # In another process: the interpreter and the compiler cannot share one.
    everything = os.environ.get("LIMBECK_COMPILE_ALL") == "1"
    chosen = (
        [] if everything else ["--only", "rows_backward.*bf16", "--targets", "sm_80,sm_120,gfx942"]
    )
    done = subprocess.run(
        [sys.executable, compile_ahead.__file__, "--jobs", "2", *chosen],
        env=os.environ | {"TRITON_INTERPRET": "0", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"triton {importlib.metadata.version('triton')}: {done.stderr}"
    assert "| `rows_backward` | bf16 K=64 |" in done.stdout
