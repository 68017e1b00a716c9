"""Tiny students: random ones, and one that writes a script whatever it is asked."""

import json

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from limbeck.model import save_student
from limbeck.word_tokenizer import train_tokenizer

WORDS = "one two three four five six"
TEXT = f"Question: {WORDS}\nAnswer: one.\nThe answer is {WORDS}."
TEMPLATES = {
    "answer-only": " {answer}{end}",
    "think-first": " {rationale}\nThe answer is {answer}.{end}",
    "answer-first": " {answer}{semantic}\n{rationale}{end}",
}
POSITIONS = 128


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizer():
    tokenizer = train_tokenizer([TEXT] * 5, 320)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|sem|>"]})
    return tokenizer


def save(model, tokenizer, path, order):
    """Save a student as `limbeck train` does."""
    added = ["<|sem|>"] if order == "answer-first" else []
    info = {
        "method": "test",
        "render": {
            "template": {
                "name": order,
                "prompt": "Question: {question}\nAnswer:",
                "completion": TEMPLATES[order],
            },
            "style": "plain",
            "chat_variables": {},
            "end_token": "<|endoftext|>",
            "added_tokens": added,
        },
        "inference": {"order": order, "max_new_tokens": 12},
    }
    stops = tokenizer.convert_tokens_to_ids(["<|endoftext|>", *added])
    save_student(model, tokenizer, path, info=info, stop_ids=stops)
    return path


@pytest.fixture(scope="session", params=["llama", "gpt2"])
def random_student(request, tokenizer, tmp_path_factory):
    """A random student: one with rotary positions, one with absolute ones."""
    torch.manual_seed(0)
    if request.param == "llama":
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=POSITIONS,
            initializer_range=0.3,  # far from uniform, so that rounding decides nothing
        )
        model = LlamaForCausalLM(config)
    else:
        config = GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=32,
            n_layer=2,
            n_head=2,
            n_positions=POSITIONS,
            initializer_range=0.3,
        )
        model = GPT2LMHeadModel(config)
    path = tmp_path_factory.mktemp(request.param) / "student"
    return save(model, tokenizer, path, "answer-only")


@pytest.fixture
def scripted_student(tokenizer, tmp_path):
    """Make a student that writes, after position p, token p of a script, whatever came before.

    It is a GPT-2 without layers: the state is the (one-hot) embedding of the position, and the
    head maps each position to its token. A wrong position id writes a wrong token.
    """

    def make(script, order):
        config = GPT2Config(
            vocab_size=len(tokenizer),
            n_embd=POSITIONS,
            n_layer=0,
            n_head=1,
            n_positions=POSITIONS,
            tie_word_embeddings=False,
        )
        model = GPT2LMHeadModel(config)
        with torch.no_grad():
            model.transformer.wte.weight.zero_()
            model.transformer.wpe.weight.copy_(torch.eye(POSITIONS))
            model.lm_head.weight.zero_()
            for position, token in enumerate(script):
                token_id = tokenizer.convert_tokens_to_ids(token)
                assert token_id is not None, token
                model.lm_head.weight[token_id, position] = 1
        return save(model, tokenizer, tmp_path / order, order)

    return make


@pytest.fixture
def edit_card():
    """Change `limbeck.json`."""

    def edit(student, **changes):
        path = student / "limbeck.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


@pytest.fixture
def edit_template(edit_card):
    """Change the completion of the template in `limbeck.json`."""

    def edit(student, completion):
        render = json.loads((student / "limbeck.json").read_text())["render"]
        render["template"]["completion"] = completion
        edit_card(student, render=render)

    return edit
