"""P7: a prepared directory is complete or absent, whatever happens to the process."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config import Prepare
from limbeck.config import check as checked
from limbeck.errors import InputError
from limbeck.prepare import native_config, prepare
from limbeck.sources import Source

#: Of each kind: runs that write anew and runs that replace, each with and without a choice.
KILLS = 13
RUN = "import sys; from limbeck import _native; _native.prepare(sys.stdin.read())"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crash") / "records.jsonl"
    lines = (
        json.dumps({"question": f"How many are {n}?", "answer": n, "rationale": "so many " * 40})
        for n in range(5_000)
    )
    path.write_text("\n".join(lines), "utf-8")
    return path


def start(config: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(json.dumps(config))
    process.stdin.close()
    return process


def begun(process: subprocess.Popen[str], output: Path) -> bool:
    """Waits until a run has begun to write; False if it has already ended."""
    while process.poll() is None:
        if output.with_name(f".{output.name}.partial").exists():
            return True
        time.sleep(0.001)
    return False


def check(output: Path, opened: Callable[[Path], Any], template: str, examples: int) -> None:
    """A directory that says it is complete is."""
    import datasets

    manifest = opened(output).manifest
    assert len(datasets.load_from_disk(str(output))) == manifest["rows"]
    assert len(opened(output).examples) == manifest["examples"] == examples
    assert not (output / "choice.spill").exists()
    assert manifest["template"] == template


@pytest.mark.parametrize("has_choice", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_p7_killed_runs_leave_nothing_half_done(
    records: Path,
    tokenizer: Path,
    tmp_path: Path,
    opened: Callable[[Path], Any],
    overwrite: bool,
    has_choice: bool,
) -> None:
    output = tmp_path / "out"
    # The cap drops the third copy of the records, and the weights half of the second.
    weights = (1.0, 0.5, None) if has_choice else (None,)
    filters = [{"name": "over_cap", "max_per_question": 2}] if has_choice else []
    examples = 7_500 if has_choice else 5_000

    def config(template: str) -> dict[str, Any]:
        section = {"template": template, "packing_window": 1000, "filters": filters}
        config = native_config(
            checked(Prepare, section),
            inputs=[Source(path=str(records), weight=weight) for weight in weights],
            tokenizer=tokenizer,
            output_dir=output,
            keep_rationale=False,
        )
        return config | {"overwrite": overwrite}

    template = "think-first"
    if overwrite:
        assert start(config(template)).wait() == 0
    process = start(config("answer-first"))
    assert begun(process, output)
    begin = time.perf_counter()
    assert process.wait() == 0
    seconds = time.perf_counter() - begin
    check(output, opened, "answer-first", examples)

    delays = random.Random(7)
    killed = 0
    for attempt in range(8 * KILLS):
        if killed == KILLS:
            break
        if not overwrite and output.exists():
            output.rename(tmp_path / f"done{attempt}")
        template = ("answer-only", "answer-first")[attempt % 2]
        before = json.loads((output / "manifest.json").read_text()) if output.exists() else None
        process = start(config(template))
        if begun(process, output):
            time.sleep(delays.uniform(0, seconds))
            process.kill()
        if process.wait() == -signal.SIGKILL:
            killed += 1
        if before and json.loads((output / "manifest.json").read_text()) == before:
            continue  # what was checked when it was written
        if output.exists():
            check(output, opened, template, examples)
    assert killed == KILLS

    # The next run is not hindered by what the killed ones left, and clears it away.
    process = start(config("answer-first") | {"overwrite": True})
    assert process.wait() == 0
    check(output, opened, "answer-first", examples)
    assert not list(tmp_path.glob(".out*"))


def test_p7_a_second_run_is_refused(records: Path, tokenizer: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    config = native_config(
        Prepare(),
        inputs=[Source(path="-")],
        tokenizer=tokenizer,
        output_dir=output,
        keep_rationale=False,
    )
    # A run that waits for its input holds the directory for as long as the test likes.
    code = f"from limbeck import _native; _native.prepare({json.dumps(json.dumps(config))})"
    first = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert first.stdin
    while not output.with_name(".out.partial").exists():
        assert first.poll() is None
        time.sleep(0.01)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="another run is writing it"):
            prepare(records, tokenizer=tokenizer, output_dir=output, overwrite=overwrite)
    first.stdin.write(b'{"question": "q", "answer": "1", "rationale": "r"}')
    first.stdin.close()
    assert first.wait() == 0
    assert json.loads((output / "manifest.json").read_text())["records"]["kept"] == 1


def test_p7_ctrl_c_leaves_nothing(tokenizer: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep/er/out"
    config = native_config(
        Prepare(),
        inputs=[Source(path="-")],
        tokenizer=tokenizer,
        output_dir=output,
        keep_rationale=False,
    )
    # A shell's background job, and so its children, ignore the signal unless told otherwise.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from limbeck import _native; _native.prepare({json.dumps(json.dumps(config))})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    while not output.with_name(".out.partial").exists():
        assert process.poll() is None
        time.sleep(0.01)
    for _ in range(100):  # more than once: the first may come before it waits for input
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        if process.poll() is not None:
            break
    else:
        process.kill()
    assert process.returncode == -signal.SIGINT
    assert list(tmp_path.iterdir()) == []


def test_p7_existing_output_is_kept_unless_it_is_to_be_replaced(
    tokenizer: Path, tmp_path: Path, write: Callable[..., Path], opened: Callable[[Path], Any]
) -> None:
    path = write([{"question": "q", "answer": "1", "rationale": "r"}])
    output = tmp_path / "out"
    prepare(path, tokenizer=tokenizer, output_dir=output)
    files = opened(output).files()
    with pytest.raises(InputError, match="exists; add --overwrite"):
        prepare(path, tokenizer=tokenizer, output_dir=output)
    broken = write(["{"], "broken.jsonl")
    with pytest.raises(InputError, match="every one of 1 candidates"):
        prepare(broken, tokenizer=tokenizer, output_dir=output, overwrite=True)
    assert opened(output).files() == files
    prepare(path, tokenizer=tokenizer, output_dir=output, overwrite=True, recipe="answer_only")
    assert opened(output).manifest["template"] == "answer-only"

    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("years of work")
    with pytest.raises(InputError, match="no prepared data to overwrite"):
        prepare(path, tokenizer=tokenizer, output_dir=precious, overwrite=True)
    assert (precious / "thesis").read_text() == "years of work"


def test_p7_a_link_to_a_directory_stays_one(
    tokenizer: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    path = write([{"question": "q", "answer": "1", "rationale": "r"}])
    prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/state.json").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="files are bounded by Linux's limits here")
@pytest.mark.parametrize("kib", [1, 1000])
def test_p7_a_full_disk_is_said_and_leaves_nothing(
    records: Path, tokenizer: Path, tmp_path: Path, kib: int
) -> None:
    """No file may grow beyond a limit, which writes fail at as they do on a full disk."""
    config = native_config(
        Prepare(),
        inputs=[Source(path=str(records))],
        tokenizer=tokenizer,
        output_dir=tmp_path / "out",
        keep_rationale=True,
    )
    limit = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({kib << 10}, {kib << 10}))"
    )
    process = subprocess.run(
        [sys.executable, "-c", f"{limit}\n{RUN}"],
        input=json.dumps(config),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert re.search(
        r"OSError: .*File too large.*/\.out\.partial/", process.stderr.splitlines()[-1]
    )
    assert list(tmp_path.iterdir()) == []
