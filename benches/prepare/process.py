"""One command as a process of its own: its wall time, CPU time and peak memory."""

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

#: Threads that a library would start beside those that were asked for.
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Run:
    """What one process took.

    Attributes:
        wall_s: Seconds from start to exit.
        cpu_s: Seconds of user and system time, children included.
        peak_rss_mb: Peak resident memory of the process and its children together, in 10⁶ bytes.
        peak_anonymous_mb: Of that, what is not backed by files.
        output: Standard output.
    """

    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    peak_anonymous_mb: float
    output: str


def run(command: list[str | Path], *, cwd: Path | None = None, watch: bool = False) -> Run:
    """Run `command` to its end.

    Args:
        command: Program and arguments.
        cwd: Where to run it.
        watch: Sample the memory of the whole process tree every 10 ms; costs a little time.

    Raises:
        RuntimeError: It failed; the message carries what it wrote.
    """
    usage_before = os.times()
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env=os.environ | QUIET,
    )  # fmt: skip
    memory = _Memory(process.pid) if watch else None
    output, faults = process.communicate()
    wall_s = time.perf_counter() - start
    usage = os.times()
    resident, anonymous = memory.stop() if memory else (0, 0)
    if process.returncode:
        raise RuntimeError(f"{command[0]}: exit code {process.returncode}\n{output}\n{faults}")
    return Run(
        wall_s=wall_s,
        cpu_s=sum(usage[2:4]) - sum(usage_before[2:4]),
        peak_rss_mb=resident / 1e6,
        peak_anonymous_mb=anonymous / 1e6,
        output=output,
    )


class _Memory:
    """Samples the memory of a process and its descendants until told to stop."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peaks = (0, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> tuple[int, int]:
        """Peak resident and peak anonymous bytes."""
        self._ended.set()
        self._thread.join()
        return self._peaks

    def _sample(self) -> None:
        while not self._ended.wait(0.01):
            sizes = [_sizes(pid) for pid in _tree(self._pid)]
            now = tuple(map(sum, zip(*sizes, strict=True))) if sizes else (0, 0)
            self._peaks = (max(self._peaks[0], now[0]), max(self._peaks[1], now[1]))


def _tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        found += map(int, children.split())
    return found


def _sizes(pid: int) -> tuple[int, int]:
    """Resident and anonymous bytes of one process; nothing of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    kib = {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
    return kib.get("VmRSS:", 0) * 1024, kib.get("RssAnon:", 0) * 1024
