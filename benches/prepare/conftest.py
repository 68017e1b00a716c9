"""Preparation beside its rivals: equal first, then timed, each way a process of its own.

    make bench-prepare                                     # all of it, results kept
    pytest benches/prepare --records 5000 --rounds 1       # a quick look

A way's time is the wall of its process with a warm page cache, less the wall of the same command on
one record; that start-up is reported apart. MB are 10⁶ UTF-8 bytes of the question, rationale and
answer of the records that were kept: to drop records is not to be fast.
"""

import json
import lzma
import os
import shutil
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import process
from ways import ROOT, limbeck
from ways import filters as filters_of


def pytest_addoption(parser):
    group = parser.getgroup("benches")
    group.addoption("--records", type=int, default=0, help="records of the corpus; 0 takes all")
    group.addoption("--rounds", type=int, default=5, help="rounds of what takes seconds")


@pytest.fixture(scope="session")
def shared():
    path = Path(os.environ.get("LIMBECK_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no data at {path}; set LIMBECK_SHARED")
    return path


@pytest.fixture(scope="session")
def rounds(request):
    return request.config.getoption("--rounds")


@dataclass(frozen=True)
class Inputs:
    """The same records for every way.

    Attributes:
        corpus: All of them, JSONL.
        one: The first of them alone.
        tokenizer: The vocabulary.
        folder: Room for outputs.
    """

    corpus: Path
    one: Path
    tokenizer: Path
    folder: Path


@pytest.fixture(scope="session")
def recipes(shared, tmp_path_factory):
    """A recipe file for each choice of filters."""
    folder = tmp_path_factory.mktemp("recipes")
    files = {}
    for name, filters in filters_of(shared).items():
        files[name] = folder / f"{name}.yaml"
        section = "{}" if filters is None else f"{{filters: {json.dumps(filters)}}}"
        files[name].write_text(f"method: think_first\nstudent: none\nprepare: {section}\n")
    return files


@pytest.fixture(scope="session")
def inputs(request, shared, recipes, tmp_path_factory):
    """The corpus without the records that no way can use: blank rationales, and over-long ones.

    Over-long ones are cut by one way, dropped by another and rejected by a third.
    """
    folder = tmp_path_factory.mktemp("prepare")
    wanted = request.config.getoption("--records") or None
    whole = folder / "whole.jsonl"
    with lzma.open(shared / "data" / "corpus.jsonl.xz", "rb") as source, whole.open("wb") as file:
        for number, line in enumerate(source):
            if number == wanted:
                break
            file.write(line)
    tokenizer = shared / "tokenizers" / "qwen.json"

    def rejected(filters):
        out = folder / filters
        process.run(limbeck(whole, tokenizer, out, threads=0, recipe=recipes[filters]))
        with (out / "rejected.jsonl").open() as file:
            lines = {json.loads(line)["line"] for line in file}
        shutil.rmtree(out)
        return lines

    unusable, dropped = rejected("none"), rejected("all")
    corpus, one = folder / "corpus.jsonl", folder / "one.jsonl"
    with whole.open("rb") as source, corpus.open("wb") as file:
        for number, line in enumerate(source, 1):
            if number in unusable:
                continue
            file.write(line)
            # The start-up is timed on a record that every filter keeps.
            if number not in dropped and not one.exists():
                one.write_bytes(line)
    whole.unlink()
    return Inputs(corpus, one, tokenizer, folder)


@pytest.fixture
def timed(benchmark, inputs):
    """Time one way; its command is `command(corpus, out)`, what it kept `kept(out, output)`."""

    def run(way, command, kept, *, threads, filters, rounds):
        out = inputs.folder / "out"

        def clear():
            shutil.rmtree(out, ignore_errors=True)

        def once(corpus, watch=False):
            clear()
            return process.run(command(corpus, out), watch=watch)

        once(inputs.one)  # what the first run alone does: byte code, compiled functions
        start_up_s = statistics.median(once(inputs.one).wall_s for _ in range(max(rounds, 3)))
        runs = []
        benchmark.pedantic(
            lambda: runs.append(process.run(command(inputs.corpus, out))),
            setup=clear, rounds=rounds,
        )  # fmt: skip
        # Memory is watched in a run of its own, for watching costs time.
        watched = once(inputs.corpus, watch=True) if rounds > 1 else None
        records, text_bytes = kept(out, runs[-1].output)
        wall_s = statistics.median(one.wall_s for one in runs)
        benchmark.extra_info.update(
            way=way,
            threads=threads,
            filters=filters,
            rounds=rounds,
            records_kept=records,
            mb_kept=text_bytes / 1e6,
            wall_s=wall_s,
            start_up_s=start_up_s,
            cpu_s=statistics.median(one.cpu_s for one in runs),
            mb_per_s=text_bytes / 1e6 / (wall_s - start_up_s),
            peak_rss_mb=watched and watched.peak_rss_mb,
        )
        return out

    return run
