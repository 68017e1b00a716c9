"""Untrusted text made safe to look at: what steers a terminal or hides from the eye is spelled out.

Records and generations may hold escape sequences, carriage returns, text that reverses its
direction, or characters without any width. Shown as they are, they could repaint a terminal or make
a reader see what is not there.
"""

from __future__ import annotations

import re

# Controls (C0, C1), soft hyphen, zero-width and direction marks, line separators, annotations, lone
# surrogates, non-characters and tags. Joiners (U+200C, U+200D) stay: emoji and many scripts
# need them.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, *, keep: str = "") -> str:
    r"""`text` with every unseen character spelled as an escape.

    Args:
        text: Any text, also with lone surrogates.
        keep: Characters to leave alone, such as `"\n"` where lines may stand.

    Example:
        >>> visible("red \x1b[31m alert\n")
        'red \\x1b[31m alert\\n'
    """
    return _UNSEEN.sub(lambda found: _spell(found[0], keep), text)


def _spell(character: str, keep: str) -> str:
    if character in keep:
        return character
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
