"""A matplotlib figure as inline SVG that takes its colours and its typeface from the page.

Figures are drawn in stand-in colours, which become CSS variables, so that one drawing serves light,
dark and print; text stays text. What matplotlib writes for a file of its own (a style sheet that
would reach the whole page, ids that would meet those of the next figure, a date) is taken out.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from limbeck.spans import KINDS
from limbeck.visible import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stand-in colours. Any six digits do that are not drawn otherwise.
INK = "#010001"
MUTED = "#020001"
RULE = "#030001"
PAPER = "#040001"
_NAMED = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAPER: "var(--paper)"}

SERIES = 8  # colours of methods in the page's style sheet; then they repeat

DASHES = ("", "5 2", "1.5 1.5", "6 2 1.5 2", "9 3", "3 1 1 1", "2 3", "8 2 2 2")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")

_HEX = re.compile(r"#[0-9a-f]{6}")
_LONG = re.compile(r"-?[0-9]+\.[0-9]{3,}")  # a hundredth of a pixel is fine enough
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"


@dataclass(frozen=True)
class Plot:
    """A drawing for the page.

    Attributes:
        name: Unique in the page; an id.
        title: What it shows.
        description: The same in words and numbers, for those who cannot see it.
        svg: The `<svg>` element.
    """

    name: str
    title: str
    description: str
    svg: str


def series(number: int) -> str:
    """The stand-in colour of method `number`."""
    return f"#05{number % SERIES:02x}01"


def dashes(number: int) -> tuple[float, tuple[float, ...]] | str:
    """The line style of method `number`, so that colour is not alone in telling lines apart."""
    pattern = DASHES[number % len(DASHES)]
    return (0, tuple(float(part) for part in pattern.split())) if pattern else "solid"


def kind_colour(kind: str) -> str:
    """The stand-in colour of a span kind."""
    return f"#06{KINDS.index(kind):02x}01"


def label(text: str) -> str:
    """Text from a file as a plot can carry it: XML knows no control characters."""
    return visible(text)


@contextmanager
def figure(width: float, height: float, name: str) -> Iterator[Figure]:
    """An empty figure in the house style; draw in it and call `finish` before leaving.

    Args:
        width: In CSS pixels, before the page scales it.
        height: Likewise.
        name: Unique in the page; keeps the ids of two figures apart.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure as Empty

    with mpl.rc_context(), warnings.catch_warnings():
        # The reader's own matplotlibrc must not reach the report (usetex would fail without TeX).
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE | {"svg.hashsalt": f"limbeck {name}"})
        # Text is drawn by the browser, which has glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawing = Empty(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
        drawing.patch.set_visible(False)
        yield drawing


def finish(drawing: Figure, name: str, title: str, description: str) -> Plot:
    """The drawing as an inline `<svg>` with a title and a description."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg")
    # matplotlib has just written this XML, with every text in it escaped.
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314
    _strip(root)
    _isolate(root, name)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-description",
        "id": name,
    }
    for tag, text in (("description", description), ("title", title)):
        element = ElementTree.Element("desc" if tag == "description" else tag)
        element.set("id", f"{name}-{tag}")
        element.text = label(text)
        root.insert(0, element)
    svg = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return Plot(name, title, description, svg)


def _strip(root: ElementTree.Element) -> None:
    """Drop metadata and style sheets; make tags, links and colours those of an HTML page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{_SVG}style" or child.tag.endswith("metadata"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.replace(_SVG, "")
        for key in [key for key in element.attrib if key.startswith(_XLINK)]:
            element.set(key.removeprefix(_XLINK), element.attrib.pop(key))
        for key in element.attrib.keys() & {"d", "x", "y", "transform"}:
            element.set(
                key, _LONG.sub(lambda found: f"{float(found[0]):.2f}", element.get(key, ""))
            )
        style = element.get("style")
        if style is not None:
            kept = [each for each in style.split("; ") if not each.startswith("font-family")]
            element.set("style", _HEX.sub(lambda found: _colour(found[0]), "; ".join(kept)))
        element.tail = element.tail if element.tail and element.tail.strip() else None
        if element.tag != "text" and element.text and not element.text.strip():
            element.text = None


def _isolate(root: ElementTree.Element, name: str) -> None:
    """Keep ids that something refers to, under the figure's name, and drop the rest."""
    used = {
        reference
        for element in root.iter()
        for value in element.attrib.values()
        for reference in re.findall(r"(?:^#|url\(#)([^)]+)", value)
    }
    for element in root.iter():
        number = element.attrib.pop("id", None)
        if number in used:
            element.set("id", f"{name}-{number}")
        for key, value in element.attrib.items():
            element.set(key, re.sub(r"(^#|url\(#)(?=[^)]+)", rf"\1{name}-", value))


def _colour(stand_in: str) -> str:
    if stand_in in _NAMED:
        return _NAMED[stand_in]
    family, number = stand_in[1:3], int(stand_in[3:5], 16)
    assert family in ("05", "06"), f"{stand_in} is drawn, which is no stand-in colour"
    return f"var(--series-{number})" if family == "05" else f"var(--kind-{KINDS[number]})"


_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a `$` in a task's name is a dollar
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.scale_dashes": False,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}
