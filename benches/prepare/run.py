"""`make bench-prepare`: time preparation beside its rivals on this machine and keep the results.

Results go to `benches/results/prepare-<processor>.json` with date, commit and versions, and their
tables to `benches/README.md`.

    python benches/prepare/run.py [--records 5000 --rounds 1]   # fewer: printed, not kept
    python benches/prepare/run.py --table                       # only rewrite the tables
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benches" / "results"
README = ROOT / "benches" / "README.md"
MARKS = ("<!-- prepare: begin -->", "<!-- prepare: end -->")
PACKAGES = (
    "limbeck", "trl", "transformers", "datasets", "tokenizers", "gigatoken", "fastokens", "tokie",
    "tiktoken", "orjson", "numba", "rensa", "datasketch", "pyarrow",
)  # fmt: skip


def processor():
    """The processor's name as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def kept_results(raw):
    """What is kept of a pytest-benchmark report."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "rows": [one["extra_info"] for one in raw["benchmarks"] if one["extra_info"]],
    }


def tables(results):
    """The Markdown of one machine's results."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = [
        f"**{results['processor']}**, {results['cores']} cores, {results['date']}, commit "
        f"{results['commit']}, Python {results['python']}; {versions}",
    ]
    whole = [row for row in results["rows"] if "mb_kept" in row]
    for title, filters in WHOLE:
        rows = [row for row in whole if row["filters"] in filters]
        lines += ["", title, "", *whole_table(rows)]
    encoded = [row for row in results["rows"] if row.get("encode")]
    if encoded:
        lines += ["", "Encoding alone", "", "| library | threads | MB/s |", "| --- | --: | --: |"]
    for row in encoded:
        lines.append(f"| {row['way']} | {row['threads']} | {row['mb_per_s']:.1f} |")
    lines += [
        "", "Peak anonymous memory (property P6), two threads", "",
        "| filters | records | input MB | MB at one sixteenth | MB | seconds |",
        "| --- | --: | --: | --: | --: | --: |",
    ]  # fmt: skip
    for row in results["rows"]:
        if row.get("memory"):
            lines.append(
                f"| {row['filters']} | {row['records']:,} | {row['input_mb']:,.0f} | "
                f"{row['peak_anonymous_small_mb']:.0f} | {row['peak_anonymous_mb']:.0f} | "
                f"{row['wall_s']:.1f} |"
            )
    return "\n".join(lines)


WHOLE = (
    ("The whole way, no filters; all made the same examples", ("none",)),
    ("The whole way with the default filters", ("default",)),
    ("The whole way with every filter, and the others' chains", ("all", "chain")),
)


def whole_table(rows):
    """One row a way; `×` is how many times as fast limbeck is on as many threads."""
    ours = {row["threads"]: row["mb_per_s"] for row in rows if row["way"] == "limbeck"}
    yield (
        "| way | threads | MB/s | × | start-up s | wall s | CPU s | peak RSS MB | records kept |"
        " rounds |"
    )
    yield "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |"
    for row in rows:
        memory = f"{row['peak_rss_mb']:,.0f}" if row["peak_rss_mb"] else "–"
        yield (
            f"| {row['way']} | {row['threads']} | {row['mb_per_s']:.1f} | "
            f"{ours[row['threads']] / row['mb_per_s']:.1f} | {row['start_up_s']:.2f} | "
            f"{row['wall_s']:.2f} | {row['cpu_s']:.2f} | {memory} | {row['records_kept']:,} | "
            f"{row['rounds']} |"
        )


def with_tables(readme):
    """The README with the tables of every machine between its marks."""
    before, _, rest = readme.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    files = sorted(RESULTS.glob("prepare-*.json"))
    text = "\n\n".join(tables(json.loads(path.read_text())) for path in files)
    return f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="only rewrite the tables")
    parser.add_argument("--records", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not arguments.table:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            command = [
                sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
                "benches/prepare", "--benchmark-only", f"--benchmark-json={report}",
                f"--records={arguments.records}", f"--rounds={arguments.rounds}",
            ]  # fmt: skip
            if subprocess.run(command, cwd=ROOT, check=False).returncode:
                raise SystemExit("bench-prepare: a way failed or made other examples; not kept")
            results = kept_results(json.loads(report.read_text()))
        if arguments.records:
            print(tables(results))
            return
        name = re.sub(r"[^a-z0-9]+", "-", results["processor"].lower()).strip("-")
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"prepare-{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    README.write_text(with_tables(README.read_text()))


if __name__ == "__main__":
    main()
