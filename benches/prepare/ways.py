"""The commands that are timed, and what their outputs say they kept."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMBECK = Path(sys.executable).parent / "limbeck"


def filters(shared):
    """Filters of each kind of run; None is the default of a recipe."""
    against = [str(shared / "data" / "gsm8k" / "test.jsonl")]
    return {
        "none": [],
        "default": None,
        "all": [
            "answer_mismatch",
            "exact_duplicate",
            "near_duplicate",
            "repetition",
            {"name": "contaminated", "against": against},
            "answer_leak",
            "charset",
            {"name": "over_cap", "max_per_question": 4},
        ],
    }


def limbeck(corpus, tokenizer, out, *, threads, recipe):
    """The command that prepares `corpus`."""
    return [
        LIMBECK, "prepare", corpus, "--tokenizer", tokenizer, "--output-dir", out,
        "--template", "think-first", "--threads", str(threads), "--recipe", recipe,
    ]  # fmt: skip


def rival(script, tokenizer, threads, *more):
    """The command of a rival's script, for any corpus and output."""

    def command(corpus, out):
        path = HERE / "rivals" / f"{script}.py"
        return [sys.executable, path, corpus, tokenizer, out, "--threads", str(threads), *more]

    return command


def kept_by_limbeck(out, _output):
    manifest = json.loads((out / "manifest.json").read_text())
    return manifest["records"]["kept"], manifest["bytes_kept"]


def kept_by_rival(_out, output):
    result = json.loads(output.strip().splitlines()[-1])
    return result["records"], result["bytes"]
