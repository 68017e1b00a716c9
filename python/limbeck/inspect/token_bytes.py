"""The bytes that each token of a vocabulary stands for.

Decoding a token alone loses bytes: half a character becomes a replacement character, a leading
space disappears. What a vocabulary stores is read here instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class TokenBytes:
    """Bytes by token id.

    Byte-level vocabularies (GPT-2 and its kin) spell each byte as a printable character;
    SentencePiece writes a space as `▁` and, as a fallback, a byte as `<0xE2>`; WordPiece marks a
    word's continuation with `##`. Which of them holds is what the tokenizer's decoder says.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        import json

        self._tokenizer = tokenizer
        self._added = {
            number: added.content.encode("utf-8", "surrogatepass")
            for number, added in tokenizer.get_added_tokens_decoder().items()
        }
        decoders = {each["type"]: each for each in _decoders(json.loads(tokenizer.to_str()))}
        self._byte_level = "ByteLevel" in decoders
        self._byte_fallback = "ByteFallback" in decoders
        self._space = decoders.get("Metaspace", {}).get("replacement") or (
            "▁" if "Replace" in decoders else None
        )
        self._continuation = decoders.get("WordPiece", {}).get("prefix")

    @classmethod
    def load(cls, path: Path) -> TokenBytes:
        """Read a `tokenizer.json`.

        Raises:
            InputError: The file is missing or is no tokenizer.
        """
        from tokenizers import Tokenizer

        if not path.is_file():
            raise InputError(f"{path}: missing; prepare the data again")
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # tokenizers raises bare Exception for what it cannot read
            raise InputError(f"{path}: not a tokenizer ({error}); prepare the data again") from None

    def __getitem__(self, number: int) -> bytes:
        """The bytes of token `number`; those of a place holder where the vocabulary ends."""
        if number in self._added:
            return self._added[number]
        token = self._tokenizer.id_to_token(number)
        if token is None:
            return f"<{number}: not in the vocabulary>".encode()
        if self._byte_level and all(character in _BYTES for character in token):
            return bytes(_BYTES[character] for character in token)
        if self._byte_fallback and (byte := _BYTE_TOKEN.fullmatch(token)):
            return bytes([int(byte[1], 16)])
        if self._space:
            token = token.replace(self._space, " ")
        if self._continuation:
            token = token.removeprefix(self._continuation)
        return token.encode()


def _decoders(tokenizer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    found = [tokenizer.get("decoder") or {}]
    for each in found:
        found += each.get("decoders", [])
        if "type" in each:
            yield each


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 bytes are themselves, the others follow from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + n): byte for n, byte in enumerate(others)
    }


_BYTES = _byte_alphabet()
