"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the examples and, under the hub name they use, a small random student."""
    import json

    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    desk = tmp_path_factory.mktemp("desk")
    (desk / "examples").symlink_to(ROOT / "examples")
    lines = (ROOT / "examples/records.jsonl").read_text("utf-8").splitlines()
    texts = [str(text) for line in lines for text in json.loads(line).values()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=512,  # padded, as real vocabularies are
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            eos_token_id=0,
        )
    )
    home = desk / "Qwen/Qwen2.5-0.5B"
    model.save_pretrained(home)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(
        home
    )
    return desk


def test_shell_and_python_blocks_run_as_they_stand(desk: Path) -> None:
    bin = Path(sys.executable).parent
    for script in blocks("bash"):
        command = ["bash", "-euo", "pipefail", "-c", f'PATH="{bin}:$PATH"\n{script}']
        done = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False)
        assert done.returncode == 0, script + done.stdout + done.stderr
    for script in blocks("python"):
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False)
        assert done.returncode == 0, script + done.stdout + done.stderr
    assert (desk / "out/pst/report.html").exists()


def test_two_commands_are_what_ci_runs() -> None:
    commands = re.findall(r"^make \w+", blocks("console")[0], re.MULTILINE)
    assert commands == ["make demo", "make test"]
    ci = (ROOT / ".ci/run").read_text("utf-8")
    calls = re.findall(r"^make (?:--\S+ (?:\d+ )?)*(.+)$", ci, re.MULTILINE)
    assert set(commands) <= {f"make {target}" for call in calls for target in call.split()}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
