"""A small tokenizer for a student made from nothing: frequent words whole, the rest byte by byte.

A tiny model learns facts about tokens, so a word, a number or a letter should be one. It is a
byte-level BPE without merges: a word in the vocabulary is taken whole (`ignore_merges`), any other
text falls apart into bytes, and decoding gives back every byte that went in.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.errors import InputError
from limbeck.recipes.templates import COMPLETIONS, PLAIN_PROMPT, PREFIXES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END, PAD = "<|endoftext|>", "<|pad|>"
SMALLEST_COUNT = 5
"""A word seen less often could not be learnt; it is spelt instead."""
OFTEN = 100
"""A text that stands in every prompt counts as so many."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerBase:
    """Take the most frequent words of `texts` as tokens.

    Args:
        texts: What the student will read and write.
        vocab_size: Tokens at most: 256 bytes, two special ones and the words.

    Raises:
        InputError: `vocab_size` has no room for the bytes.

    Example:
        >>> tokenizer = train_tokenizer(["one and one"] * 9, 512)
        >>> tokenizer.tokenize("one and two")
        ['one', 'Ġand', 'Ġ', 't', 'w', 'o']
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    room = vocab_size - len(letters) - 2
    if room < 0:
        raise InputError(
            f"student.tokenizer.vocab_size: {vocab_size} has no room for 256 bytes and two special "
            "tokens; give 258 or more"
        )
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(text) if len(word) > 1)
    frequent = sorted(
        (word for word, count in counts.items() if count >= SMALLEST_COUNT),
        key=lambda word: (-counts[word], word),
    )
    vocabulary = {token: id for id, token in enumerate([END, PAD, *letters, *frequent[:room]])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    inner.pre_tokenizer = splitter
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([END, PAD])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )


def record_texts(paths: Sequence[Path]) -> Iterator[str]:
    """Every record of some files as the built-in templates with a rationale would have it.

    Lines that are no record are left to `prepare`, which counts them and says why.

    Args:
        paths: JSON lines.

    Raises:
        InputError: A file is not JSON lines by its name or cannot be read.
    """
    for path in paths:
        if path.suffix == ".parquet":
            raise InputError(
                f"{path}: a tokenizer is trained on JSON lines; convert the records, or start from "
                "a student that has a tokenizer"
            )
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); give JSON lines") from error
        found = False
        for line in lines:
            for text in _renderings(line):
                found = True
                yield text
        if not found:
            raise InputError(
                f"{path}: a tokenizer is trained on the record schema, of which it has no record; "
                "convert the records, or start from a student that has a tokenizer"
            )


def _renderings(line: str) -> Iterator[str]:
    try:
        record = json.loads(line)
        rationales = record.get("rationale") or ""
        question, answer = str(record["question"]), record.get("answer")
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for prefix in PREFIXES.values():
        yield prefix + PLAIN_PROMPT.partition("{")[0]
    if answer is None:  # of an unlabelled source
        yield PLAIN_PROMPT.format(question=question)
        return
    values = {"question": question, "answer": str(answer)}
    controls = dict.fromkeys(("semantic", "end"), "")
    for rationale in rationales if isinstance(rationales, list) else [rationales]:
        # What the other templates say stands in one of these.
        for name in ("think-first", "answer-first"):
            text = PLAIN_PROMPT + COMPLETIONS[name][0]
            yield text.format(**values, **controls, rationale=rationale)
