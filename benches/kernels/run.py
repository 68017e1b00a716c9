"""`make bench-gpu`: test the kernels on this GPU, then time them, then write the results.

Refuses to time anything when a test fails. In this order: the kernel tests (on a GPU they run
compiled, in bf16 too), a few of them under compute-sanitizer's memcheck and racecheck where it is
installed, then `benches/kernels` under pytest-benchmark. Results go to
`benches/results/<gpu>.json` with date, commit and versions, and their table to `kernels/README.md`.
Without a GPU the benchmarks' small CPU shapes run, and nothing is kept.

    python benches/kernels/run.py
    python benches/kernels/run.py --table     # only rewrite the table from the kept results
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benches" / "results"
README = ROOT / "kernels" / "README.md"
MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")
PACKAGES = ("torch", "triton", "liger-kernel", "cut-cross-entropy")


def step(title: str, *command: str) -> None:
    """Run one command and stop everything where it fails."""
    print(f"== {title}", flush=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "kernels")}
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise SystemExit(f"{title}: failed; nothing is reported")


def version(package: str) -> str | None:
    """Return the installed version, None where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return what git calls this tree, None where it is no repository."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def kept_results(raw: dict[str, Any], gpu: str) -> dict[str, Any]:
    """Return what is kept of a pytest-benchmark report."""
    return {
        "gpu": gpu,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit(),
        "versions": {package: version(package) for package in PACKAGES},
        "rows": [row for entry in raw["benchmarks"] for row in entry["extra_info"]["rows"]],
    }


def table(results: dict[str, Any]) -> str:
    """Return the Markdown table of one GPU: every variant beside ours, and what is missing."""
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items() if v)
    lines = [
        f"**{results['gpu']}**, {results['date']}, commit {results['commit']}, {versions}",
        "",
        "| op | shape | f | variant | median (p20–p80) µs | × ours | peak MB | GB/s | floor |",
        "| --- | --- | --: | --- | --: | --: | --: | --: | --: |",
    ]
    timed = [row for row in results["rows"] if "skipped" not in row]
    ours = {
        (r["op"], r["shape"], r["fraction"]): r["seconds"] for r in timed if r["variant"] == "ours"
    }
    for r in timed:
        base = ours[r["op"], r["shape"], r["fraction"]]
        lines.append(
            f"| {r['op']} | {r['shape']} | {r['fraction']} | {r['variant']} | "
            f"{r['seconds'] * 1e6:.0f} ({r['p20'] * 1e6:.0f}–{r['p80'] * 1e6:.0f}) | "
            f"{r['seconds'] / base:.2f} | {r['peak_bytes'] / 1e6:.0f} | "
            f"{r['bytes_per_second'] / 1e9:.0f} | {r['floor_share']:.0%} |"
        )
    skipped = {(r["variant"], r["skipped"]) for r in results["rows"] if "skipped" in r}
    for variant, reason in sorted(skipped):
        lines += ["", f"Skipped: {variant} ({reason})."]
    return "\n".join(lines)


def with_tables(readme: str, kept: list[dict[str, Any]]) -> str:
    """Return the README with one table a GPU between its marks."""
    before, _, rest = readme.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    text = "\n\n".join(table(results) for results in kept)
    text = text or "No results of any GPU are kept yet: `make bench-gpu` on one makes them."
    return f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}"


def kept_files() -> list[dict[str, Any]]:
    """Return the kept results of every GPU."""
    every = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    return [results for results in every if "gpu" in results]


def check_on_this_gpu(*pytest: str) -> None:
    """Run the kernel tests, and a few of them under the sanitizer; leave where one fails."""
    # What compiles ahead of time and what trains shows nothing about this GPU.
    aside = ("test_compile_ahead.py", "test_examples.py", "test_bench_report.py")
    step("kernel tests", *pytest, "tests/kernels", *(f"--ignore=tests/kernels/{a}" for a in aside))
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        print("== compute-sanitizer is not installed: skipped")
        return
    os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"  # so that it sees where each tensor ends
    # torch asks the driver what it may not answer; only what kernels do is looked at.
    for tool, *options in (("memcheck", "--report-api-errors", "no"), ("racecheck",)):
        step(
            f"compute-sanitizer {tool}", sanitizer, "--tool", tool, *options,
            "--error-exitcode", "1", *pytest, "tests/kernels/test_gpu.py", "-k", "small",
        )  # fmt: skip
    del os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"]


def main() -> None:
    """Test, time, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="only rewrite the table")
    if not parser.parse_args().table:
        import torch

        pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
        if not torch.cuda.is_available():
            print("== no GPU here: small shapes on the CPU, and no results are kept")
            step("benchmarks", *pytest, "benches/kernels", "--benchmark-only")
            return
        began = time.monotonic()
        check_on_this_gpu(*pytest)
        gpu = torch.cuda.get_device_name()
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            step(
                "benchmarks", *pytest, "benches/kernels", "--benchmark-only",
                f"--benchmark-json={report}",
            )  # fmt: skip
            results = kept_results(json.loads(report.read_text()), gpu)
        name = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
        print(f"== {RESULTS / name}.json, {time.monotonic() - began:.0f} s")
    README.write_text(with_tables(README.read_text(), kept_files()))


if __name__ == "__main__":
    main()
