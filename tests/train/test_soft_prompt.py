"""A soft prompt's rows are trained, and the saved student needs nothing beside its own files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.data.conftest import CHAT_TEMPLATE
from tests.serving import serving
from tests.train.conftest import RECORDS, make_tokenizer, random_rows, tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from limbeck.config import Prepare, Train, check
from limbeck.errors import InputError
from limbeck.generate import Generator
from limbeck.prepare import prepare
from limbeck.soft_prompt import SoftPrompt
from limbeck.train import train
from limbeck.trainer import DistillTrainer

QUESTION = RECORDS[0][0]
TERMS = {"objectives": [{"name": "cross_entropy"}], "learning_rate": 0.05}
SHORT = {"max_steps": 3, "per_device_train_batch_size": 2, "use_cpu": True}
ROWS = {"use_peft": True, "lora_target_modules": []}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("soft")
    make_tokenizer(directory / "tokenizer", sem=False)
    return prepared_data(directory)


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same records as chats."""
    directory = tmp_path_factory.mktemp("chats")
    tokenizer = make_tokenizer(directory / "tokenizer", sem=False)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token, tokenizer.chat_template = "<|im_end|>", CHAT_TEMPLATE
    tokenizer.save_pretrained(directory / "tokenizer")
    return prepared_data(directory, style="chat")


def prepared_data(directory: Path, style: str = "plain") -> Path:
    """Records with a soft prompt, prepared with the tokenizer that stands in a directory."""
    records = directory / "records.jsonl"
    keys = ("question", "answer", "rationale")
    lines = [json.dumps(dict(zip(keys, record, strict=True))) for record in RECORDS]
    records.write_text("\n".join(lines))
    section = check(
        Prepare,
        {
            "template": "think-first", "style": style, "max_length": 64, "soft_prompt": 4,
            "filters": [],
        },
    )  # fmt: skip
    prepare(
        records, tokenizer=directory / "tokenizer", output_dir=directory / "out", recipe=section
    )
    return directory / "out"


def base(tmp_path: Path, kind: str, tied: bool, data: Path, **changes: object) -> Path:
    """A student with fewer rows than the prepared tokenizer, so that the prompt's are new."""
    rows = len(AutoTokenizer.from_pretrained(data / "tokenizer")) - 4
    model = tiny_model(kind, vocab_size=rows, tie_word_embeddings=tied, **changes)
    model.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def trained(data: Path, base: Path, output: Path, **settings: object) -> Path:
    section = check(Train, TERMS | SHORT | settings)
    return train(data, student=base, output_dir=output, settings=section)


@pytest.mark.parametrize(("kind", "tied"), [("llama", True), ("llama", False), ("gpt2", True)])
@pytest.mark.parametrize("width", [0, 8])
def test_only_the_rows_move(kind: str, tied: bool, width: int, data: Path, tmp_path: Path) -> None:
    start = base(tmp_path, kind, tied, data)
    student = trained(data, start, tmp_path / "student", soft_prompt_mlp=width, **ROWS)
    tokenizer = AutoTokenizer.from_pretrained(student)
    ids = tokenizer.convert_tokens_to_ids([f"<|prompt_{number}|>" for number in range(4)])
    before = AutoModelForCausalLM.from_pretrained(start).state_dict()
    model = AutoModelForCausalLM.from_pretrained(student)
    embedding = model.get_input_embeddings().weight
    moved = [name for name, value in model.state_dict().items() if not _same(value, before[name])]
    assert not moved  # old rows too
    assert embedding.shape[0] == ids[-1] + 1 == before_rows(before) + 4
    mean = embedding[: ids[0]].mean(0)
    assert (embedding[ids] - mean).norm(dim=1).min() > 0.01
    # Where the head has rows of its own, those of the prompt stay near the mean of all.
    head = model.get_output_embeddings().weight
    if not tied:
        middle = head[: ids[0]].mean(0).expand(4, -1)
        torch.testing.assert_close(head[ids], middle, atol=1e-2, rtol=0)


def _same(now: torch.Tensor, before: torch.Tensor) -> bool:
    return torch.equal(now[: len(before)], before)


def before_rows(state: dict[str, torch.Tensor]) -> int:
    return max(len(value) for value in state.values())


@pytest.mark.parametrize("settings", [{}, {"use_peft": True, "lora_r": 2}, {"soft_prompt_mlp": 8}])
def test_with_all_else_or_lora_the_rows_move_too(
    settings: dict[str, object], data: Path, tmp_path: Path
) -> None:
    start = base(tmp_path, "llama", True, data)
    student = trained(data, start, tmp_path / "student", **settings)
    old = AutoModelForCausalLM.from_pretrained(start)
    new = AutoModelForCausalLM.from_pretrained(student)
    layer = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(new.state_dict()[layer], old.state_dict()[layer])
    rows = new.get_input_embeddings().weight
    assert (rows[-4:] - rows[:-4].mean(0)).norm(dim=1).min() > 0.01
    assert not (student / "soft_prompt.safetensors").exists()


@pytest.mark.parametrize("merge", [True, False])
def test_the_saved_student_writes_what_limbeck_writes(
    merge: bool, data: Path, tmp_path: Path
) -> None:
    start = base(tmp_path, "llama", True, data)
    student = trained(
        data, start, tmp_path / "student", soft_prompt_mlp=8, merge_adapter=merge, **ROWS
    )
    generator = Generator(student, device="cpu")
    generator.max_new_tokens = 12
    answer = generator.generate([QUESTION])[0]
    tokenizer = AutoTokenizer.from_pretrained(student)
    if merge:  # by nothing but transformers
        model = AutoModelForCausalLM.from_pretrained(student)
        prompt = tokenizer(f"Question: {QUESTION}\nAnswer:", return_tensors="pt")
        assert prompt["input_ids"].shape[1] == answer.prompt_tokens
        out = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0]
        written = out[answer.prompt_tokens :].tolist()
        assert len(written) == answer.tokens_generated
        assert tokenizer.decode(written, skip_special_tokens=True) == answer.text
    else:  # an adapter says the same
        whole = trained(data, start, tmp_path / "whole", soft_prompt_mlp=8, **ROWS)
        other = Generator(whole, device="cpu")
        other.max_new_tokens = 12
        assert other.generate([QUESTION])[0].text == answer.text


def test_a_server_writes_what_limbeck_writes(
    chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was told of nothing but the directory, by a client that knows of no prompt."""
    from openai import OpenAI

    # Weights as large as these make a student whose texts depend on all that it reads.
    start = base(tmp_path, "llama", True, chats, initializer_range=0.5)
    student = trained(chats, start, tmp_path / "student", **ROWS)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    messages = [{"role": "user", "content": QUESTION}]
    with serving(student) as url, OpenAI(base_url=url, api_key="none") as client:
        reply = client.chat.completions.create(
            model=str(student), messages=messages, temperature=0, max_tokens=12
        )
    served = reply.choices[0].message.content
    generator = Generator(student, device="cpu")
    generator.max_new_tokens = 12
    (answer,) = generator.generate([QUESTION])
    assert answer.text == served
    assert reply.usage.prompt_tokens == answer.prompt_tokens

    tokenizer = AutoTokenizer.from_pretrained(student)
    model = AutoModelForCausalLM.from_pretrained(student)
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]

    def written(ids: torch.Tensor) -> str:
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
        return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)

    assert written(ids) == served
    prompt = tokenizer.convert_tokens_to_ids([f"<|prompt_{number}|>" for number in range(4)])
    assert ids[0, :4].tolist() == prompt
    assert written(ids[:, 4:]) != served


@pytest.mark.parametrize(("kind", "tied"), [("llama", True), ("llama", False), ("gemma2", True)])
@pytest.mark.parametrize("peft", [False, True])
def test_folding_changes_no_logit(kind: str, tied: bool, peft: bool) -> None:
    changes = {"head_dim": 8} if kind == "gemma2" else {}
    model = tiny_model(kind, tie_word_embeddings=tied, **changes)
    prompt = [296, 297, 298, 299]
    student = model
    if peft:
        from peft import get_peft_model

        from limbeck.adapter import adapter_config

        settings = check(Train, ROWS)
        student = get_peft_model(model, adapter_config(model, settings, prompt, unwritten=prompt))
    soft_prompt = SoftPrompt(student, prompt, 8)
    ids = torch.tensor(random_rows(1)[0]["input_ids"][None, :12])
    ids[0, :4] = torch.tensor(prompt)
    student.eval()
    with torch.no_grad():
        start = student(input_ids=ids).logits
        for parameter in soft_prompt.network.parameters():
            parameter.normal_(std=0.5)
        unfolded = student(input_ids=ids).logits
        soft_prompt.fold()
        folded = student(input_ids=ids).logits
        assert not any(name.startswith("soft_prompt") for name in student.state_dict())
        if peft:
            merged = student.merge_and_unload()(input_ids=ids).logits
            torch.testing.assert_close(merged, unfolded, atol=1e-5, rtol=1e-5)
    assert (start - unfolded).abs().max() > 1e-2
    torch.testing.assert_close(folded, unfolded, atol=1e-5, rtol=1e-5)


def test_a_resumed_training_takes_the_network_up(data: Path, tmp_path: Path) -> None:
    start = base(tmp_path, "llama", True, data)
    kept = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 2}
    original, calls = DistillTrainer.training_step, 0

    def step(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise InterruptedError
        return original(self, *args, **kwargs)

    settings = {"soft_prompt_mlp": 8, **ROWS, **kept, "max_steps": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DistillTrainer, "training_step", step)
        with pytest.raises(InterruptedError):
            trained(data, start, tmp_path / "cut", **settings)
    states = []
    for name in ("cut", "whole"):
        student = trained(data, start, tmp_path / name, **settings)
        states.append(AutoModelForCausalLM.from_pretrained(student).state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], msg=name)


def test_what_cannot_be_trained_is_refused(prepared: Path, student: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have no soft prompt"):
        trained(prepared, student, tmp_path / "no", soft_prompt_mlp=8)
