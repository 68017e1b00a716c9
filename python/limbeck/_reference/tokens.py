"""Pieces of text to token ids, each with its span kind; twin of `tokenize/`.

Text is encoded by the `tokenizers` wheel. A control token in a literal is looked up by name and the
text on either side of it encoded as content is: with special tokens left as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, processors

from limbeck._reference.render import KINDS, Piece


class Encoder:
    """A tokenizer whose content never becomes a control token.

    Args:
        tokenizer: A `tokenizer.json`, or a directory with one.
        added_tokens: Tokens of the method.
        end_token: The token that ends a text.
    """

    def __init__(self, tokenizer: Path, added_tokens: Sequence[str], end_token: str) -> None:
        file = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.add_special_tokens(list(added_tokens))
        start = self.tokenizer.encode("a")
        specials = start.special_tokens_mask
        self.prefix = start.ids[: (*specials, 0).index(0)]
        # Offsets as they are, not trimmed of the space before a word.
        self.tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        self.tokenizer.encode_special_tokens = True
        added = self.tokenizer.get_added_tokens_decoder().values()
        names = {token.content for token in added if token.special} | {end_token, *added_tokens}
        self.control_ids = {name: self._id(name) for name in names}
        longest_first = sorted(names, key=len, reverse=True)
        self.controls = re.compile("|".join(map(re.escape, longest_first)))

    def encode(self, pieces: Sequence[Piece]) -> tuple[list[int], list[int]]:
        """The ids of a text and the code of each one's kind: that of its first character."""
        text = "".join(piece.text for piece in pieces)
        kinds = [KINDS.index(piece.kind) for piece in pieces for _ in piece.text]
        ids: list[int] = []
        codes: list[int] = []
        start = 0
        for control_start, control_end in [*self._controls(pieces), (len(text), len(text))]:
            encoding = self.tokenizer.encode(text[start:control_start], add_special_tokens=False)
            ids += encoding.ids
            codes += [kinds[start + offset] for offset, _ in encoding.offsets]
            if control_start < control_end:
                ids.append(self.control_ids[text[control_start:control_end]])
                codes.append(kinds[control_start])
            start = control_end
        return ids, codes

    def _id(self, name: str) -> int:
        token_id = self.tokenizer.token_to_id(name)
        if token_id is None:
            raise ValueError(f"the tokenizer has no token {name!r}")
        return token_id

    def _controls(self, pieces: Sequence[Piece]) -> list[tuple[int, int]]:
        """Where control tokens stand, in literals alone; neighbouring literals are one."""
        # What is no literal becomes something that no control token holds.
        masked = "".join(
            piece.text if piece.is_literal else "\0" * len(piece.text) for piece in pieces
        )
        return [match.span() for match in self.controls.finditer(masked)]
