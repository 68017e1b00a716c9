"""A row for the eye: running text in the colours of its spans, or a table of its tokens.

Colour is never alone: the kind stands beside every stretch of text. Text comes from records, which
nobody vouches for, so it is never read as markup and its control characters are spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from limbeck.inspect.read import Example, Inspection, Token
from limbeck.spans import ROLES
from limbeck.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

STYLES = {
    "prompt": "bright_black",
    "question": "blue",
    "answer": "bold green",
    "rationale": "yellow",
    "semantic": "bold magenta",
    "soft_prompt": "cyan",
    "end": "bold red",
    "gate": "bold cyan",
}
BORDER = "·"  # between the tokens of a text
CONTINUED = "‥"  # a token that holds only the rest of a character


def render(shown: Inspection, *, table: bool = False) -> RenderableType:
    """The row as something that a rich console prints.

    Args:
        shown: What `inspect` read.
        table: One line for each token, with its id and position, instead of running text.
    """
    from rich.console import Group

    body = _token_table if table else _running_text
    parts: list[RenderableType] = [_heading(shown)]
    for example in shown.examples:
        parts += [_caption(example), body(example)]
    return Group(*parts)


def _heading(shown: Inspection) -> Text:
    from rich.text import Text

    fill = shown.length / shown.max_length
    heading = Text(f"row {shown.row}", style="bold")
    heading.append(
        f" (0 to {shown.rows - 1}), {shown.length} of {shown.max_length} tokens ({fill:.0%})",
        style="not bold",
    )
    if shown.separate_length > shown.length:
        heading.append(f", {shown.separate_length} as separate sequences", style="not bold")
    heading.append("\n")
    heading.append("weights ", style="not bold")
    for kind, style in STYLES.items():
        weight = shown.span_weights.get(kind, 0.0)
        if weight:
            heading.append(f"{kind} {weight:g}", style=f"not bold {style}")
            heading.append("  ")
    heading.append(f"({visible(shown.weights_from)}); all else 0", style="not bold dim")
    return heading


def _caption(example: Example) -> Text:
    from rich.text import Text

    trained = sum(token.weight != 0 for token in example.tokens)
    side = "" if example.role == ROLES[0] else f", {example.role}"
    side += "" if example.prompt_of is None else f", after the prompt of {example.prompt_of}"
    caption = Text(f"\nexample {example.id}{side}", style="bold")
    facts = [
        f"record {example.record}" if example.record else "",
        f"{example.source}:{example.line}",
        f"domain {example.domain}" if example.domain else "",
        f"{len(example.tokens)} tokens, {trained} trained",
    ]
    caption.append("  " + "  ".join(visible(fact) for fact in facts if fact), style="not bold")
    return caption


def _running_text(example: Example) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    for (kind, weight), run in groupby(example.tokens, lambda token: (token.kind, token.weight)):
        style = STYLES[kind]
        text = Text()
        for piece in pieces(list(run)):
            if text and not text.plain.endswith("\n"):
                text.append(BORDER, style="dim")
            text.append(visible(piece), style=style)
            if "\n" in piece:  # a line of the text is a line here, its newline spelled out
                text.append("\n")
        text.rstrip()
        grid.add_row(Text(kind, style=style), f"{weight:g}", text)
    return grid


def _token_table(example: Example) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("position", "id"):
        table.add_column(name, justify="right")
    table.add_column("token", overflow="fold")
    table.add_column("kind")
    table.add_column("weight", justify="right")
    for token in example.tokens:
        style = STYLES[token.kind]
        table.add_row(
            str(token.position),
            str(token.id),
            Text(visible(token.text), style=style),
            Text(token.kind, style=style),
            f"{token.weight:g}",
        )
    return table


def pieces(tokens: Sequence[Token]) -> Iterator[str]:
    r"""The text of each token; one that spells a character in part is read with its successors.

    The first of them shows the whole character and the others `‥`, so that text in any script can
    be read. What is no UTF-8 at all is shown as escaped bytes.
    """
    start = 0
    while start < len(tokens):
        count = _whole(tokens[start:])
        yield b"".join(token.raw for token in tokens[start : start + count]).decode(
            "utf-8", "backslashreplace"
        )
        for _ in range(count - 1):
            yield CONTINUED
        start += count


def _whole(tokens: Sequence[Token]) -> int:
    """How many tokens from the first on make whole characters; 1 where none do."""
    raw = b""
    for count, token in enumerate(tokens[:4], start=1):  # a character has at most four bytes
        raw += token.raw
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            continue
        return count
    return 1
