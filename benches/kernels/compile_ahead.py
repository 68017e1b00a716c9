"""Compile every shipped kernel for every supported GPU, on a machine that has none.

Calls the launchers with tensors of real shapes and catches the launches, so that each kernel is
compiled with the specialisations a launch would give it (without them it is another kernel).
Prints registers, spilled bytes and shared memory; exits 1 on a spill or on shared memory over the
limit of the target.

    python benches/kernels/compile_ahead.py [--jobs N] [--targets sm_90,gfx942] [--only REGEX]
    python benches/kernels/compile_ahead.py --write   # kept rows, table in kernels/README.md

Must not share a process with Triton's interpreter.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "kernels"))

RESULTS = ROOT / "benches" / "results" / "compiled.json"
README = ROOT / "kernels" / "README.md"
MARKS = ("<!-- compiled: begin -->", "<!-- compiled: end -->")
KIB = 1024
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


class Target(NamedTuple):
    """A GPU architecture and the shared memory one program of it may take."""

    backend: str
    arch: int | str
    warp_size: int
    shared_limit: int


TARGETS = {
    "sm_80": Target("cuda", 80, 32, 163 * KIB),
    "sm_89": Target("cuda", 89, 32, 99 * KIB),
    "sm_90": Target("cuda", 90, 32, 227 * KIB),
    "sm_100": Target("cuda", 100, 32, 227 * KIB),
    "sm_120": Target("cuda", 120, 32, 99 * KIB),
    "gfx942": Target("hip", "gfx942", 64, 64 * KIB),
}


class Launch(NamedTuple):
    """A kernel caught at its launch: what Triton would compile."""

    label: str
    kernel: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def caught(label: str, launcher: Any, *arguments: Any) -> list[Launch]:
    """Run a launcher with every launch caught instead of made."""
    from triton.runtime.jit import JITFunction

    launches: list[Launch] = []

    def catch(self, *args, grid, warmup, **kwargs):  # noqa: ARG001
        launches.append(Launch(label, self, args, kwargs))

    run, JITFunction.run = JITFunction.run, catch
    try:
        launcher(*arguments)
    finally:
        JITFunction.run = run
    return launches


def shipped_launches() -> list[Launch]:
    """Return one launch of each configuration that the ops can make."""
    import torch

    from limbeck_kernels.alignment import backward as distance_backward
    from limbeck_kernels.alignment import forward as distance_forward
    from limbeck_kernels.domain import backward as domain_backward
    from limbeck_kernels.domain import forward as domain_forward
    from limbeck_kernels.domain.tiles import padded_domains
    from limbeck_kernels.head import backward as head_backward
    from limbeck_kernels.head.parts import Distance, Gathered, Logits, Parts
    from limbeck_kernels.pooling import backward as pool_backward
    from limbeck_kernels.pooling import forward as pool_forward

    n, d, segments = 256, 896, 5
    cu_seqlens = torch.arange(segments + 1, dtype=torch.int32) * 50
    select = torch.ones(n, dtype=torch.bool)
    weights = torch.empty(n)
    scalar = torch.ones(())
    index = torch.zeros(n, dtype=torch.int64)
    pooled, where = torch.empty(segments, d), torch.zeros(segments, dtype=torch.int64)
    launches = []
    for name, dtype_name in DTYPES.items():
        dtype = getattr(torch, dtype_name)
        hidden = torch.empty(n, d, dtype=dtype)
        for k in (12, 64):
            weight, bias = torch.empty(k, d), torch.empty(k)
            for labels, starts in ((n, None), (segments, cu_seqlens)):
                launches += caught(
                    f"{name} K={k}" + (" segments" if starts is not None else ""),
                    domain_forward.rows_forward,
                    hidden, weight, bias, torch.zeros(labels, dtype=torch.int64), weights, select,
                    starts, None,
                )  # fmt: skip
            launches += caught(
                f"{name} K={k}", domain_backward.rows_backward,
                scalar, hidden, weight, bias, torch.empty(n, padded_domains(k)), weights, scalar,
                scalar,
            )  # fmt: skip
            launches += caught(
                f"{name} K={k} weight only", domain_backward.rows_backward,
                scalar, hidden, weight, bias, torch.empty(n, padded_domains(k)), weights, scalar,
                scalar, False,
            )[:1]  # fmt: skip
            logits = Logits(
                scalar, scalar, scalar, weight, torch.empty(n, padded_domains(k)), weights
            )
            for metric in ("cosine", "mse", "smooth_l1") if k == 12 else ("cosine",):
                factors = torch.empty(n, 2 if metric == "cosine" else 1)
                distance = Distance(scalar, scalar, hidden, factors, metric)
                parts = Parts((Gathered(hidden, index, None),), distance, logits)
                launches += caught(
                    f"{name} rows + {metric} + K={k}", head_backward.states_backward, hidden, parts
                )
        segment = Gathered(torch.empty(segments, d), index, weights)
        parts = Parts((Gathered(hidden, index, None), segment, segment), None, None)
        launches += caught(
            f"{name} rows + 2 segments", head_backward.states_backward, hidden, parts
        )
        for pooling in ("mean", "last"):
            launches += caught(name, pool_forward.pool_forward, hidden, select, cu_seqlens, pooling)
            launches += caught(
                f"{name} {pooling}", pool_backward.pool_backward,
                pooled, where, select, cu_seqlens, n, dtype, pooling,
            )  # fmt: skip
        for metric in ("cosine", "mse", "smooth_l1"):
            launches += caught(
                f"{name} {metric}", distance_forward.distance_forward,
                hidden, hidden, weights, select, scalar, metric,
            )  # fmt: skip
            factors = torch.empty(n, 2 if metric == "cosine" else 1)
            launches += caught(
                f"{name} {metric}", distance_backward.distance_backward,
                scalar, hidden, hidden, factors, scalar, metric,
            )  # fmt: skip
    return launches


def source_of(launch: Launch, target: Target) -> tuple[Any, Any, Any, str]:
    """Return what `triton.compile` needs, specialised as the launch would be, and its identity."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, make_backend
    from triton.runtime.jit import create_function_from_signature

    gpu = GPUTarget(target.backend, target.arch, target.warp_size)
    backend = make_backend(gpu)
    kernel = launch.kernel
    binder = create_function_from_signature(kernel.signature, kernel.params, backend)
    kwargs = {"debug": False, **launch.kwargs}
    bound, specialization, options = binder(*launch.args, **kwargs)
    packed, signature, constexprs, attrs = kernel._pack_args(
        backend, kwargs, bound, specialization, options
    )
    source = ASTSource(kernel, signature, constexprs, attrs)
    return source, gpu, packed.__dict__, str((kernel.__name__, specialization, packed.__dict__))


def resources(label: str, target_name: str, launch: Launch) -> dict[str, Any]:
    """Compile one launch for one target and read what it takes."""
    import triton

    target = TARGETS[target_name]
    source, gpu, options, _ = source_of(launch, target)
    name = launch.kernel.__name__
    try:
        compiled = triton.compile(source, target=gpu, options=options)
    except Exception as error:
        raise RuntimeError(f"{name} {label} {target_name}: does not compile: {error}") from error
    assert "atomic" not in compiled.asm["ttir"], f"{name}: an atomic in its TTIR"
    row: dict[str, Any] = {
        "kernel": name,
        "configuration": label,
        "target": target_name,
        "shared": compiled.metadata.shared,
        "shared_limit": target.shared_limit,
    }
    if target.backend == "hip":
        text = compiled.asm["amdgcn"]
        row["registers"] = int(re.search(r"\.vgpr_count:\s+(\d+)", text)[1])
        row["spills"] = int(re.search(r"\.vgpr_spill_count:\s+(\d+)", text)[1])
        return row
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(compiled.asm["cubin"])
        cubin.flush()
        tool = triton.knobs.nvidia.cuobjdump.path
        text = subprocess.run(
            [tool, "-res-usage", cubin.name], capture_output=True, text=True, check=True
        )
    usage = re.search(r"REG:(\d+) STACK:(\d+)", text.stdout + text.stderr)
    row["registers"], row["spills"] = int(usage[1]), int(usage[2])
    return row


def source_digest() -> str:
    """Return a digest of what is compiled: the code of the kernels, without comments and layout."""
    digest = hashlib.sha256()
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    package = ROOT / "kernels" / "limbeck_kernels"
    for path in sorted(package.rglob("*.py")):
        if path.name not in ("forward.py", "backward.py", "device.py", "tiles.py"):
            continue
        digest.update(path.relative_to(package).as_posix().encode())
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type not in skipped:
                    digest.update(token.string.encode() + b"\0")
    return digest.hexdigest()


def _compile_share(task: tuple[list[str], str, int, int]) -> list[dict[str, Any]]:
    """Compile every `step`-th distinct (launch, target) from `first` on."""
    targets, only, first, step = task
    rows, seen, index = [], set(), 0
    for launch in shipped_launches():
        if not re.search(only, f"{launch.kernel.__name__} {launch.label}"):
            continue
        for name in targets:
            *_, identity = source_of(launch, TARGETS[name])
            if (identity, name) in seen:
                continue
            seen.add((identity, name))
            if index % step == first:
                rows.append(resources(launch.label, name, launch))
            index += 1
    return rows


def compile_all(targets: list[str], only: str, jobs: int) -> list[dict[str, Any]]:
    """Compile every distinct shipped launch for the targets."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = os.environ.get("TRITON_CACHE_DIR", cache)
        with ProcessPoolExecutor(jobs) as pool:
            shares = pool.map(_compile_share, [(targets, only, i, jobs) for i in range(jobs)])
            return sorted(
                (row for share in shares for row in share),
                key=lambda r: (r["kernel"], r["configuration"], list(TARGETS).index(r["target"])),
            )


def faults(rows: list[dict[str, Any]]) -> list[str]:
    """Return what must not ship: spills, and shared memory over the target's limit."""
    return [
        f"{r['kernel']} {r['configuration']} {r['target']}: {r['spills']} bytes spilled, "
        f"{r['shared']} of {r['shared_limit']} bytes of shared memory"
        for r in rows
        if r["spills"] or r["shared"] > r["shared_limit"]
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: registers / spilled bytes / shared KiB a target."""
    targets = [name for name in TARGETS if any(r["target"] == name for r in rows)]
    lines = [
        "| kernel | configuration | " + " | ".join(targets) + " |",
        "| --- | --- |" + " --: |" * len(targets),
    ]
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for r in rows:
        key = (r["kernel"].removesuffix("_kernel"), r["configuration"])
        text = f"{r['registers']} / {r['spills']} / {r['shared'] / KIB:.1f}"
        cells.setdefault(key, {})[r["target"]] = text
    for (kernel, configuration), by_target in cells.items():
        row = " | ".join(by_target.get(name, "") for name in targets)
        lines.append(f"| `{kernel}` | {configuration} | {row} |")
    return "\n".join(lines)


def with_table(readme: str, rows: list[dict[str, Any]]) -> str:
    """Return the README with the table between its marks."""
    before, _, rest = readme.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n{table(rows)}\n{MARKS[1]}{after}"


def main() -> int:
    """Compile, print the table, return 1 where something must not ship."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--only", default="", help="regex on 'kernel configuration'")
    parser.add_argument("--write", action="store_true", help="keep the rows and the README's table")
    arguments = parser.parse_args()
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        parser.error("TRITON_INTERPRET is 1: the interpreter compiles nothing; unset it")
    if arguments.write and (arguments.only or arguments.targets != ",".join(TARGETS)):
        parser.error("--write keeps all rows: give neither --only nor --targets")
    digest = source_digest()
    rows = compile_all(arguments.targets.split(","), arguments.only, arguments.jobs)
    import triton

    print(f"Triton {triton.__version__}: {len(rows)} kernels\n\n{table(rows)}")
    bad = faults(rows)
    if bad:
        print(*bad, sep="\n", file=sys.stderr)
        return 1
    if arguments.write:
        lines = ",\n".join(json.dumps(row) for row in rows)  # one a line, for the eye and for diffs
        head = f'"digest": "{digest}",\n"triton": "{triton.__version__}"'
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(f'{{{head},\n"rows": [\n{lines}\n]}}\n')
        README.write_text(with_table(README.read_text(), rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
