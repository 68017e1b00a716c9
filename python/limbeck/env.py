"""What limbeck runs on: versions, processor, memory and accelerators, for bug reports.

    limbeck env

Nothing personal is gathered: no environment variables, no paths.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

PACKAGES = (
    "torch",
    "triton",
    "transformers",
    "datasets",
    "accelerate",
    "peft",
    "tokenizers",
    "safetensors",
    "pyarrow",
    "numpy",
)


def env() -> dict[str, Any]:
    """Gather what a bug report should say about this machine.

    Returns:
        JSON values: `limbeck`, `python`, `platform`, `cpu` (model, usable and present processors),
        `memory` (bytes, of the machine and of this container), `packages` (name to version, None
        where absent), `torch` (version of CUDA, threads, accelerators with their memory and
        capability) or None where torch cannot be imported, and `problems`, what could not be found
        out and why.

    Example:
        >>> sorted(env())
        ['cpu', 'limbeck', 'memory', 'packages', 'platform', 'problems', 'python', 'torch']
    """
    problems: list[str] = []
    return {
        "limbeck": _version("limbeck"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cpu": _cpu(),
        "memory": _memory(),
        "packages": {name: _version(name) for name in PACKAGES},
        "torch": _torch(problems),
        "problems": problems,
    }


def render(facts: Mapping[str, Any]) -> RenderableType:
    """The facts of `env` as two columns for a terminal."""
    from rich.table import Table
    from rich.text import Text

    from limbeck.visible import visible

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(facts):
        missing = value in ("not installed", "none")
        table.add_row(name, Text(visible(value), style="dim" if missing else ""))
    for problem in facts["problems"]:
        table.add_row("problem", Text(visible(problem), style="yellow"))
    return table


def _lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    cpu, memory, torch = facts["cpu"], facts["memory"], facts["torch"]
    usable = f"{cpu['usable']} usable"
    if cpu["present"] != cpu["usable"]:
        usable += f" of {cpu['present']}"
    lines = [
        ("limbeck", facts["limbeck"] or "not installed"),
        ("python", facts["python"]),
        ("platform", facts["platform"]),
        ("cpu", ", ".join(part for part in (cpu["model"], usable) if part)),
        ("memory", _memory_line(memory)),
        *((name, found or "not installed") for name, found in facts["packages"].items()),
    ]
    if torch is None:
        return lines
    lines.append(("torch threads", f"{torch['threads']}, between ops {torch['interop_threads']}"))
    lines.append(("torch's cuda", torch["cuda"] or "none"))
    lines += [(f"gpu {n}", _gpu_line(gpu)) for n, gpu in enumerate(torch["gpus"])]
    if not torch["gpus"]:
        lines.append(("gpu", "Apple MPS" if torch["mps"] else "none"))
    return lines


def _memory_line(memory: Mapping[str, int | None]) -> str:
    total, limit = memory["total"], memory["limit"]
    parts = [_gib(total)] if total else []
    if limit:
        parts.append(f"limited to {_gib(limit)}")
    return ", ".join(parts) or "unknown"


def _gpu_line(gpu: Mapping[str, Any]) -> str:
    bf16 = "bf16" if gpu["bf16"] else "no bf16"
    return f"{gpu['name']}, capability {gpu['capability']}, {_gib(gpu['memory'])}, {bf16}"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def usable_cores() -> int:
    """Return how many processors this process may use.

    Example:
        >>> 1 <= usable_cores() <= os.cpu_count()
        True
    """
    affinity = getattr(os, "sched_getaffinity", None)  # where the system lets it say (Linux)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _cpu() -> dict[str, Any]:
    return {"model": _cpu_model(), "usable": usable_cores(), "present": os.cpu_count() or 1}


def _cpu_model() -> str:
    for line in _first_lines(Path("/proc/cpuinfo"), 64):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _memory() -> dict[str, int | None]:
    names = getattr(os, "sysconf_names", {})
    total = None
    if {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _container_limit()
    # Without a limit cgroup v1 gives the largest number it knows.
    return {"total": total, "limit": limit if limit and limit < (total or limit + 1) else None}


def _container_limit() -> int | None:
    # cgroup v2, then v1; a machine without either, or without a limit ("max"), has none.
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        for line in _first_lines(Path("/sys/fs/cgroup") / name, 1):
            if line.strip().isdecimal():
                return int(line)
    return None


def _first_lines(path: Path, count: int) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return [line for _, line in zip(range(count), stream, strict=False)]
    except OSError:  # not Linux: there is no such file, and nothing to say
        return []


def _torch(problems: list[str]) -> dict[str, Any] | None:
    try:
        import torch
    except (ImportError, OSError, RuntimeError) as error:
        if _version("torch"):  # installed but broken, such as a missing shared library
            problems.append(f"torch cannot be imported: {_without_paths(error)}")
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
        gpus: list[dict[str, Any]] = []
        if available:
            try:
                gpus = [_gpu(torch, n) for n in range(torch.cuda.device_count())]
            except RuntimeError as error:  # a driver that fails when it is used
                problems.append(f"CUDA: {_without_paths(error)}")
    problems += [f"CUDA: {_without_paths(warning.message)}" for warning in caught]
    return {
        "cuda": torch.version.cuda or torch.version.hip,
        "mps": torch.backends.mps.is_available(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "gpus": gpus,
    }


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory": properties.total_memory,
        "bf16": properties.major >= 8 or torch.version.hip is not None,
    }


def _without_paths(error: object) -> str:
    """The first line of an error, whose paths may hold a user's name, with file names alone."""
    line = (str(error).splitlines() or [""])[0]
    return " ".join(
        word.rsplit("/", 1)[-1] if word.lstrip("\"'(").startswith(("/", "~")) else word
        for word in line.split()
    )
