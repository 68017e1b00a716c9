"""A soft prompt's tokens stand once at the start of every example, and of every text that
transformers tokenizes with the saved tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.data.test_reference import compare
from transformers import AutoTokenizer

from limbeck.config import Prepare, check
from limbeck.errors import InputError
from limbeck.prepare import prepare
from limbeck.spans import KINDS

LINES = [
    {"question": "How many? <|prompt_0|>", "rationale": "So many: 4.", "answer": "4"},
    {"question": "And how few?", "rationale": "The answer is 5.", "answer": "5"},
]
PROMPT = [f"<|prompt_{number}|>" for number in range(3)]
STARTS = [None, "ByteLevel", "TemplateProcessing", "Sequence"]


def section(**values: object) -> Prepare:
    return check(Prepare, {"max_length": 64, "soft_prompt": 3, "filters": [], **values})


def kept(output: Path, tokenizer_dir: Path) -> list[tuple[list[str], list[str]]]:
    """Tokens and kinds of every example."""
    from datasets import load_from_disk

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    found = []
    for row in load_from_disk(str(output)):
        at = 0
        for length in row["example_lengths"]:
            span = slice(at, at + length)
            tokens = tokenizer.convert_ids_to_tokens(row["input_ids"][span])
            found.append((tokens, [KINDS[kind] for kind in row["span_kinds"][span]]))
            at += length
    return found


@pytest.fixture(params=STARTS)
def started(request: pytest.FixtureRequest, tokenizer: Path, tmp_path: Path) -> Path:
    """A tokenizer that writes nothing, or a token, before a text."""
    from tokenizers import Tokenizer, processors

    loaded = Tokenizer.from_file(str(tokenizer))
    level = processors.ByteLevel(trim_offsets=False)
    start = loaded.token_to_id("<|im_start|>")
    template = processors.TemplateProcessing(
        single="<|im_start|> $A", pair="<|im_start|> $A $B:1",
        special_tokens=[("<|im_start|>", start)],
    )  # fmt: skip
    if request.param is not None:
        loaded.post_processor = {
            "ByteLevel": level,
            "TemplateProcessing": template,
            "Sequence": processors.Sequence([level, template]),
        }[request.param]
    path = tmp_path / "started.json"
    loaded.save(str(path))
    return path


def test_plain_text_has_it_from_the_post_processor(
    started: Path, write: Callable[..., Path], opened: Callable[..., Any], tmp_path: Path
) -> None:
    records = write(LINES)
    out = tmp_path / "out"
    given = {"tokenizer": started, "output": out, "opened": opened, "section": section()}
    assert compare([records], **given) == {}
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    begin = ["<|im_start|>"] * (tokenizer("a").tokens()[0] == "<|im_start|>")
    for tokens, kinds in kept(out, out / "tokenizer"):
        assert tokens[: len(begin) + 3] == [*begin, *PROMPT]
        assert kinds[: len(begin) + 3] == ["prompt"] * len(begin) + ["soft_prompt"] * 3
        assert kinds.count("soft_prompt") == 3
    text = "Question: And how few?\nAnswer:"
    plain = tokenizer(text).tokens()
    assert plain[: len(begin) + 3] == [*begin, *PROMPT]
    assert any(tokens[: len(plain)] == plain for tokens, _ in kept(out, out / "tokenizer"))
    # Saved and loaded again, and prepared with once more, it stays what it is.
    tokenizer.save_pretrained(tmp_path / "again")
    assert AutoTokenizer.from_pretrained(tmp_path / "again")(text).tokens() == plain
    prepare(records, tokenizer=tmp_path / "again", output_dir=tmp_path / "twice", recipe=section())
    twice = tmp_path / "twice"
    assert kept(twice, twice / "tokenizer") == kept(out, out / "tokenizer")


def test_a_chat_has_it_from_the_chat_template(
    chat_tokenizer: Path, write: Callable[..., Path], opened: Callable[..., Any], tmp_path: Path
) -> None:
    records, out = write(LINES), tmp_path / "out"
    source = json.loads((chat_tokenizer / "tokenizer_config.json").read_text())["chat_template"]
    given = {"tokenizer": chat_tokenizer, "output": out, "opened": opened}
    chats = section(style="chat")
    assert compare([records], section=chats, chat_template=source, **given) == {}
    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    examples = kept(out, out / "tokenizer")
    for tokens, kinds in examples:
        assert tokens[:3] == PROMPT
        assert kinds[:3] == ["soft_prompt"] * 3
        assert kinds.count("soft_prompt") == 3
    messages = [{"role": "user", "content": "And how few?"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    for again in (ids, tokenizer(text)["input_ids"]):  # also rendered first and tokenized then
        tokens = tokenizer.convert_ids_to_tokens(again)
        assert tokens[:3] == PROMPT
        assert not set(tokens[3:]) & set(PROMPT)
        assert any(own[: len(tokens)] == tokens for own, _ in examples)
    twice = tmp_path / "twice"
    prepare(records, tokenizer=out / "tokenizer", output_dir=twice, recipe=section(style="chat"))
    assert kept(twice, twice / "tokenizer") == examples


@pytest.mark.parametrize("style", ["plain", "chat"])
def test_a_harness_that_scores_and_continues_texts_has_it_once_in_each(
    style: str, chat_tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    """What lm-eval's HFLM asks of a tokenizer: `_encode_pair`, and `tok_batch_encode`."""
    prepare(
        write(LINES), tokenizer=chat_tokenizer, output_dir=tmp_path / "out",
        recipe=section(style=style),
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out/tokenizer")
    messages = [{"role": "user", "content": "And how few?"}]
    text = "Question: And how few?\nAnswer:"
    if style == "chat":
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    context, continuation = text.rstrip(), text[len(text.rstrip()) :] + " few"
    ids = tokenizer.convert_tokens_to_ids(PROMPT)

    alone, whole = tokenizer.encode(context), tokenizer.encode(context + continuation)
    assert alone[:3] == ids
    assert whole[: len(alone)] == alone
    assert tokenizer.decode(whole[len(alone) :]) == continuation

    tokenizer.padding_side, tokenizer.pad_token = "left", tokenizer.eos_token
    texts = [text, text + " many" * 5]
    batch = tokenizer(texts, truncation=False, padding="longest", return_tensors="pt")
    for one, row, mask in zip(texts, batch["input_ids"], batch["attention_mask"], strict=True):
        assert row[mask.bool()].tolist() == tokenizer.encode(one)
        assert sum(id in ids for id in row.tolist()) == 3


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"style": "plain"}, "before a chat already; set prepare.style to chat"),
        ({"style": "chat", "soft_prompt": 4}, "has a soft prompt of 3 tokens already"),
    ],
)
def test_another_soft_prompt_than_the_tokenizers_is_refused(
    values: dict[str, object], fault: str, chat_tokenizer: Path, write: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    records, out = write(LINES), tmp_path / "out"
    prepare(records, tokenizer=chat_tokenizer, output_dir=out, recipe=section(style="chat"))
    with pytest.raises(InputError, match=fault):
        prepare(
            records, tokenizer=out / "tokenizer", output_dir=tmp_path / "no",
            recipe=section(**values),
        )  # fmt: skip
