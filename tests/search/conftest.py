"""Tasks with known rules, a student that writes one whatever it is asked, and a served one."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.teach.conftest import server  # noqa: F401 (a fixture)
from transformers import GPT2Config, GPT2LMHeadModel

from limbeck.induction import InductionTask, Pair
from limbeck.model import save_student
from limbeck.search import Written
from limbeck.word_tokenizer import train_tokenizer

POSITIONS = 1024
CHAT = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def tasks() -> list[InductionTask]:
    """Drop the first number; turn the list round."""
    lists = ([3, 9, 4], [7], [2, 5])
    shown = [str(each) for each in lists]
    return [
        InductionTask(
            "list_functions",
            "drop",
            tuple(Pair(given, str(each[1:])) for given, each in zip(shown, lists, strict=True)),
            (Pair("[5, 1]", "[1]"), Pair("[8, 8, 2]", "[8, 2]")),
        ),
        InductionTask(
            "list_functions",
            "turn",
            tuple(Pair(given, str(each[::-1])) for given, each in zip(shown, lists, strict=True)),
            (Pair("[5, 1]", "[1, 5]"),),
        ),
    ]


class Script:
    """A backend that writes what a function says, and notes what it was asked."""

    def __init__(self, say: Callable[[str, int], Sequence[str | None]]) -> None:
        self.say = say
        self.asked: list[tuple[int, int, float]] = []

    def write(self, prompts: Sequence[str], *, samples: int, temperature: float) -> list[Written]:
        self.asked.append((len(prompts), samples, temperature))
        return [
            Written(tuple(self.say(prompt, samples)), prompt_tokens=10, completion_tokens=samples)
            for prompt in prompts
        ]


@pytest.fixture
def script() -> type[Script]:
    return Script


def save_gpt2(directory: Path, texts: Sequence[str], info: dict[str, Any], chat: bool) -> Path:
    """Save a student without layers, whose head maps each position to a token."""
    tokenizer = train_tokenizer(list(texts) * 5, 600)
    if chat:
        tokenizer.chat_template = CHAT
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), n_embd=POSITIONS, n_layer=0, n_head=1, n_positions=POSITIONS,
            tie_word_embeddings=False, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    with torch.no_grad():
        model.transformer.wte.weight.zero_()
        model.transformer.wpe.weight.copy_(torch.eye(POSITIONS))
        model.lm_head.weight.zero_()
    save_student(model, tokenizer, directory, info=info, stop_ids=[tokenizer.eos_token_id])
    return directory


def card(style: str, **inference: Any) -> dict[str, Any]:
    """`limbeck.json` of a student that answers at once."""
    plain = style == "plain"
    return {
        "method": "test",
        "render": {
            "template": {
                "name": "answer-only",
                "prompt": "Question: {question}\nAnswer:" if plain else "{question}",
                "completion": " {answer}{end}" if plain else "{answer}",
            },
            "style": style,
            "chat_template": None if plain else CHAT,
            "chat_variables": {},
            "end_token": "<|endoftext|>",
            "added_tokens": [],
        },
        "inference": {"order": "answer-only", "max_new_tokens": 40, **inference},
    }


@pytest.fixture
def scripted_student(tmp_path: Path) -> Callable[..., Path]:
    """Make a student that writes `text` to `question`, surely, at any temperature."""

    def make(question: str, text: str, **inference: Any) -> Path:
        from limbeck.generate import Generator

        path = save_gpt2(
            tmp_path / "scripted", [question, text], card("plain", **inference), chat=False
        )
        generator = Generator(path, device="cpu")
        [prompt] = generator._renderer.prompt_ids([question])
        ids = [*generator._tokenizer(f" {text}")["input_ids"], generator._tokenizer.eos_token_id]
        model = generator._model
        with torch.no_grad():
            for place, token in enumerate(ids, start=len(prompt) - 1):
                model.lm_head.weight[token, place] = 1000
        model.save_pretrained(path)
        return path

    return make


@pytest.fixture(scope="session")
def chat_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random student that was taught in a chat."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(["Find the rule that turns each input into its output."] * 5, 600)
    tokenizer.chat_template = CHAT
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=2048, initializer_range=0.3,
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    # An untrained student ends nothing by itself: let a third of what it writes be an end.
    path = tmp_path_factory.mktemp("chat") / "student"
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] *= 2.5
    save_student(model, tokenizer, path, info=card("chat"), stop_ids=[tokenizer.eos_token_id])
    values = json.loads((path / "generation_config.json").read_text())
    # `transformers serve` draws only where the model's own settings say so.
    (path / "generation_config.json").write_text(json.dumps({**values, "do_sample": True}))
    return path


@pytest.fixture(scope="session")
def served_student(chat_student: Path) -> Iterator[str]:
    """The same student behind `transformers serve`; the address of its API."""
    from transformers.cli.serve import Serve

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = Serve(
        str(chat_student), host="127.0.0.1", port=port, device="cpu", dtype="float32",
        non_blocking=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not served.server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}/v1"
    served.kill_server()
