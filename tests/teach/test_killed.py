"""A job that is killed goes on where it was, and pays for nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LIMBECK = Path(sys.executable).with_name("limbeck")
QUESTIONS = 40
AT_ONCE = 4


def test_a_killed_job_goes_on(server: Any, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text(
        "".join(
            json.dumps({"question": f"number {n}", "answer": n}) + "\n" for n in range(QUESTIONS)
        )
    )
    server.answer = lambda prompt, count: server.say(
        f"The answer is {prompt.split()[1]}.", reasoning_content=f"{prompt.split()[1]} at {count}"
    )
    server.seconds = 0.05
    command = [
        *(LIMBECK, "teach", asked, "--output-dir", tmp_path / "out", "--model", "m"),
        *("--base-url", server.url, "--set", f"concurrency={AT_ONCE}"),
    ]
    out = tmp_path / "out"
    standing: dict[int, set[str]] = {}
    for kill, delivered in enumerate((8, 22)):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ))
        while sum(server.delivered.values()) < delivered:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (out / "records.jsonl").exists()
        rows = [json.loads(line) for line in _whole_lines(out / "answers.jsonl")]
        standing[kill] = {row["reply"]["thinking"] for row in rows}
        # Each kill loses what was under way.
        assert len(rows) >= delivered - (kill + 1) * AT_ONCE
    # A cut-off write is no answer.
    with (out / "answers.jsonl").open("a") as answers:
        answers.write('{"key": "00", "sam')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in records] == [str(n) for n in range(QUESTIONS)]
    # What stood when the job was killed is what stands in the end.
    assert standing[0] < standing[1] < {row["rationale"] for row in records}
    assert sum(server.delivered.values()) <= QUESTIONS + 2 * AT_ONCE
    assert "40 records of 40 questions" in done.stdout
    for file in [*out.iterdir(), asked]:
        assert server.key not in file.read_text()
    assert server.key not in done.stdout + done.stderr


def _whole_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
