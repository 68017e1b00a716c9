"""The command line: what it lists, what it refuses and how it says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIMBECK = Path(sys.executable).with_name("limbeck")
RECORD = {"question": "1 + 1 =", "rationale": "one and one make 2", "answer": "2"}


def call(*arguments: str | Path, cwd: Path, code: int = 0, stdin: str = "") -> str:
    """Run the installed command and return what it printed, both streams."""
    done = subprocess.run(
        [LIMBECK, *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory with records and a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[UNK]", "<eos>", "Question", ":", "Answer", "1", "+", "=", "2", "one", "and"]
    ids = {word: n for n, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<eos>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "records.jsonl").write_text(json.dumps(RECORD) + "\n", "utf-8")
    return tmp_path


PREPARE = ("prepare", "records.jsonl", "--tokenizer", "tokenizer.json", "--output-dir", "out")


def test_help_lists_each_command_and_each_has_help(tmp_path: Path) -> None:
    text = call("--help", cwd=tmp_path)
    for name in (
        *("run", "teach", "prepare", "inspect", "targets", "train"),
        *("generate", "evaluate", "compare", "report", "env"),
    ):
        assert f"\n  {name} " in text
        assert "--help" in call(name, "--help", cwd=tmp_path)


def test_what_needs_no_torch_imports_none(desk: Path) -> None:
    script = (
        "import sys, limbeck, limbeck.cli\n"
        "limbeck.prepare('records.jsonl', tokenizer='tokenizer.json', output_dir='out')\n"
        "heavy = {'torch', 'transformers', 'datasets', 'matplotlib', 'pandas'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=desk, check=True)


def test_prepare_inspect_and_their_refusals(desk: Path) -> None:
    assert "kept 1 of 1" in call(*PREPARE, cwd=desk)
    assert "out" in call(*PREPARE, cwd=desk, code=2)  # exists
    call(*PREPARE, "--overwrite", "--template", "think-first", "--max-length", "64", cwd=desk)
    manifest = json.loads((desk / "out/manifest.json").read_text("utf-8"))
    assert (manifest["template"], manifest["max_length"]) == ("think-first", 64)
    shown = call("inspect", "out", cwd=desk)
    assert "rationale" in shown
    assert "row 7" in call("inspect", "out", "--index", "7", cwd=desk, code=2)


def test_prepare_reads_standard_input_and_dry_runs(desk: Path) -> None:
    text = json.dumps(RECORD) + "\n"
    command = ("prepare", "-", "--tokenizer", "tokenizer.json", "--output-dir", "piped")
    assert "nothing written" in call(*command, "--dry-run", cwd=desk, stdin=text)
    assert not (desk / "piped").exists()
    call(*command, cwd=desk, stdin=text)
    assert (desk / "piped/manifest.json").exists()


def test_broken_records_are_rejected_or_with_strict_refused(desk: Path) -> None:
    lines = (desk / "records.jsonl").read_text("utf-8")
    (desk / "records.jsonl").write_text(lines + '{"question": 3}\n', "utf-8")
    assert "malformed 1" in call(*PREPARE, cwd=desk)
    rejected = json.loads((desk / "out/rejected.jsonl").read_text("utf-8"))
    assert (rejected["line"], rejected["reason"]) == (2, "malformed")
    message = call(*PREPARE, "--overwrite", "--strict", cwd=desk, code=2)
    assert "records.jsonl:2: question" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "absent.yaml"), "absent.yaml"),
        (("run", "prepare.nope=1"), "prepare.nope: unknown key"),
        (("run", "seed"), "seed"),
        (("prepare", "no*.jsonl", *PREPARE[2:]), "no file matches"),
        (("prepare", "absent.jsonl", *PREPARE[2:]), "absent.jsonl"),
        ((*PREPARE[:3], "absent.json", *PREPARE[4:]), "absent.json"),
        ((*PREPARE, "--template", "answer-frist"), "`answer-first`"),
        ((*PREPARE, "--eos-token", "<nope>"), "<nope>"),
        ((*PREPARE, "--max-length", "0"), "max_length"),
        (("inspect", "absent"), "absent"),
        (("train", "absent", "--student", "absent", "--output-dir", "out"), "absent"),
        (("generate", "absent", "1 + 1"), "absent"),
        (("evaluate", "absent", "--tasks", "coin_flip"), "absent"),
        (("compare", "absent.yaml"), "absent.yaml"),
        (("report", "absent"), "absent"),
    ],
)
def test_bad_input_exits_with_2_and_says_what(
    desk: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in call(*arguments, cwd=desk, code=2)
    assert not (desk / "out").exists(), "half-done output"


def test_dry_run_of_a_recipe_shows_its_stages(desk: Path) -> None:
    text = call("run", "--dry-run", "output_dir=planned", cwd=desk)
    for stage in ("teach", "base", "pst/prepared", "pst/targets", "pst/student", "pst/evaluate"):
        assert f"to do  {stage}" in text
    assert not (desk / "planned").exists()


def test_untrusted_text_reaches_the_terminal_as_text(desk: Path) -> None:
    record = RECORD | {"id": "[red]x\x1b[2J", "question": 3}
    (desk / "records.jsonl").write_text(json.dumps(record) + "\n", "utf-8")
    message = call(*PREPARE, "--strict", cwd=desk, code=2)
    assert "\x1b" not in message
