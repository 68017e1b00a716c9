"""What a rationale concludes, and when two answers are the same; twin of `answer/`."""

from __future__ import annotations

import re
from typing import NamedTuple

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""White space as Unicode has it; `str.strip` takes four ASCII separators with it."""

TITLES = ("Mr", "Mrs", "Ms", "Dr", "St", "Prof", "Mt", "vs")
QUOTES = "\"'`“”‘’«»"
WRAPPERS = (
    ("$", "$"),
    ("\\(", "\\)"),
    ("_", "_"),
    *((f"\\{name}{{", "}") for name in ("boxed", "fbox", "text", "textbf", "mathrm", "mathbf")),
)
CURRENCIES = ("us$", "$", "£", "€", "¥", "₹", "₩")
SAME_UNIT = {
    "$": "dollar",
    "us$": "dollar",
    "usd": "dollar",
    "£": "pound",
    "€": "euro",
    "%": "percent",
    "per cent": "percent",
}


def verify(answer: str, teacher_answer: str | None, rationale: str | None) -> bool | None:
    """Whether the teacher concluded the answer; None where nothing says what it concluded."""
    if teacher_answer is not None:
        if teacher_answer.strip() == answer.strip() != "":
            return True
        concluded = conclusion(teacher_answer)
        return equal(answer, teacher_answer if concluded is None else concluded)
    concluded = None if rationale is None else conclusion(rationale)
    return None if concluded is None else equal(answer, concluded)


def conclusion(text: str) -> str | None:
    """The last explicit conclusion of a text: a box, a `####` line, or `answer is …`."""
    found = [each for each in (_boxed(text), _hashes(text), _phrase(text)) if each]
    if not found:
        return None
    content = max(found, key=lambda each: each[0])[1]
    result = re.search(r"<<.*>>(.*)\Z", content, re.S)
    return (result and result[1].strip(SPACE)) or content


def _boxed(text: str) -> tuple[int, str] | None:
    opened: list[tuple[int, bool]] = []
    found = None
    for match in re.finditer(r"\\[{}\\]|[{}]", text):
        if match[0] == "{":
            before = text[: match.start()].rstrip(" ")
            opened.append((match.start(), before.endswith(("\\boxed", "\\fbox"))))
        elif match[0] == "}" and opened:
            start, is_box = opened.pop()
            content = text[start + 1 : match.start()].strip(SPACE)
            if is_box and content:
                found = (start, content)
    return found


def _hashes(text: str) -> tuple[int, str] | None:
    text = text.rstrip(SPACE)
    start = text.rfind("\n") + 1
    at = text.rfind("####", start)
    content = text[at + 4 :].strip(SPACE)
    if at < 0 or not content or text[start:at].endswith("#"):
        return None
    return at, content


def _phrase(text: str) -> tuple[int, str] | None:
    for match in reversed(list(re.finditer(r"(?<![a-zA-Z0-9])answer", text, re.I | re.A))):
        content = _claim(text[match.end() :])
        if content is not None:
            return match.start(), content
    return None


def _claim(after: str) -> str | None:
    rest = after.lstrip("*_ ")
    if rest.startswith("("):
        close = rest[1:].encode()[:48].find(b")")
        if close < 0:
            return None
        rest = rest[1:].encode()[close + 1 :].decode().lstrip(SPACE)
    if rest.startswith(":"):
        rest = rest[1:]
    elif rest[:2] in ("is", "Is", "iS", "IS"):
        rest = rest[2:]
        if rest[:1].isalnum() or rest[:1] in ("'", "’"):
            return None
    else:
        return None
    start = rest.lstrip(SPACE + ":*_")
    if re.match("(not|that) ", start, re.I | re.A):
        return None
    start = re.sub("^(probably|most likely|likely|therefore|thus) ", "", start, flags=re.I | re.A)
    content = start[: _sentence_end(start)].rstrip(SPACE + "*")
    return content if any(map(str.isalnum, content)) else None


def _sentence_end(text: str) -> int:
    at = 0
    while match := re.compile(r"[.!?。\n\r]").search(text, at):
        at = match.start()
        if match[0] in "\n\r":
            return at
        after = text[at:].lstrip(".!?。\"'”’*)$")
        closes = not after or after[0] in SPACE or match[0] == "。"
        word = re.split(f"[{SPACE}]", text[:at])[-1]
        if closes and not (match[0] == "." and word in TITLES):
            return at
        at = len(text) - len(after)
    return len(text)


def equal(a: str, b: str) -> bool:
    """Whether two answers say the same: as numbers, options, yes or no, else as text."""
    bare_a, bare_b = _undecorated(a), _undecorated(b)
    if not bare_a or not bare_b:
        return bool(a.strip(SPACE)) and a.strip(SPACE) == b.strip(SPACE)
    if _folded(bare_a) == _folded(bare_b):
        return True
    number_a, number_b = _number(bare_a), _number(bare_b)
    if number_a and not number_b:
        number_b = _solved(bare_b)
    elif number_b and not number_a:
        number_a = _solved(bare_a)
    if number_a and number_b:
        return number_a.equals(number_b)
    for read in (_choice, _polarity):
        headed_a, headed_b = read(bare_a), read(bare_b)
        if headed_a and headed_b and _agree(headed_a, headed_b):
            return True
    return False


def _solved(equation: str) -> Number | None:
    """The number that an equation ends in."""
    _, sign, right = equation.rpartition("=")
    return _number(right) if sign else None


def _folded(text: str) -> list[str]:
    words = re.split(f"[{SPACE}]+", text.strip(SPACE))
    return ["".join(character.lower() for character in word) for word in words]


def _undecorated(text: str) -> str:
    for _ in range(8):
        before = text
        text = text.strip(SPACE).lstrip(QUOTES).rstrip(QUOTES)
        text = text.lstrip(",;:*=!?").rstrip(".,;:*!?。")
        for opening, closing in WRAPPERS:
            text = _unwrapped(text, opening, closing)
        if text == before:
            break
    return text


def _unwrapped(text: str, opening: str, closing: str) -> str:
    enclosed = len(text) >= len(opening) + len(closing)
    if not (enclosed and text.startswith(opening) and text.endswith(closing)):
        return text
    inner = text[len(opening) : -len(closing)]
    whole = opening not in inner or (opening.endswith("{") and _balanced(inner))
    return inner if whole else text


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def _agree(a: tuple[str, str], b: tuple[str, str]) -> bool:
    same_tail = not a[1] or not b[1] or _folded(a[1]) == _folded(b[1])
    return a[0].lower() == b[0].lower() and same_tail


def _choice(text: str) -> tuple[str, str] | None:
    """An option's letter and its text: `B`, `(B)`, `B.`, `b) banana`."""
    text = re.sub(r"^(option|choice) ", "", text, flags=re.I | re.A)
    match = re.match(
        r"""(?x) [(\[]? ([a-zA-Z])\Z         # alone
            | [(\[]([a-zA-Z])[)\]](.*)       # wrapped
            | ([A-Z])[).:,](?=\s|\Z)(.*)       # labelled
            | ([a-z])[)](?=\s|\Z)(.*)""",
        text,
        re.DOTALL,
    )
    if not match or match.end() < len(text):
        return None
    head, *tail = (group for group in match.groups() if group is not None)
    return head, _undecorated(tail[0]) if tail else ""


def _polarity(text: str) -> tuple[str, str] | None:
    match = re.match(r"(yes|no)(?:\Z|(?=[,.;:!]|[ ][-–—])(.*))", text, re.I | re.A | re.DOTALL)
    if not match or match.end() < len(text):
        return None
    return match[1], _undecorated(match[2] or "")


class Number(NamedTuple):
    """A number and the unit around it."""

    value: float
    unit: str

    def equals(self, other: Number) -> bool:
        """Same value within 1e-9 of the larger, and no two different units."""
        scale = max(abs(self.value), abs(other.value))
        close = abs(self.value - other.value) <= 1e-9 * scale
        return close and (not self.unit or not other.unit or _same_unit(self.unit, other.unit))


def _number(text: str) -> Number | None:
    negative, rest = _sign(text.strip(SPACE))
    currency, rest = _currency(rest)
    again, after = _sign(rest)
    if len(after) != len(rest):
        if not (again and currency and not negative):
            return None
        negative, rest = True, after
    read = _magnitude(rest)
    unit = _unit(read[1]) if read else None
    if not read or unit is None:
        return None
    if currency and unit and not _same_unit(currency, unit):
        return None
    value = -read[0] if negative else read[0]
    return Number(value, currency or unit) if abs(value) != float("inf") else None


def _sign(text: str) -> tuple[bool, str]:
    if text[:1] in ("-", "−", "–"):
        return True, text[1:]
    return False, text.removeprefix("+")


def _currency(text: str) -> tuple[str, str]:
    bare = text.removeprefix("\\")
    for sign in CURRENCIES:
        if bare[: len(sign)].lower() == sign:
            return bare[: len(sign)], bare[len(sign) :].lstrip(SPACE)
    return "", text


def _magnitude(text: str) -> tuple[float, str] | None:
    """A value without its sign, and what follows it."""
    if text.startswith("\\"):
        return _latex_fraction(text)
    read = _decimal(text)
    if not read:
        return None
    whole, rest = read
    tail = rest.lstrip(SPACE)
    if not whole.isdigit():
        return float(whole), rest
    if tail.startswith("/"):
        return _over(whole, tail[1:])
    if tail.startswith("\\"):
        fraction = _latex_fraction(tail)
    else:
        above = _decimal(tail) if len(tail) < len(rest) else None
        fraction = _over(above[0], above[1][1:]) if above and above[1][:1] == "/" else None
    return (float(whole) + fraction[0], fraction[1]) if fraction else (float(whole), rest)


def _over(above: str, text: str) -> tuple[float, str] | None:
    read = _decimal(text.lstrip(SPACE))
    if not read:
        return None
    below, rest = read
    plain = all(each.isdigit() and not re.match("0.", each) for each in (above, below))
    if not plain or float(below) == 0 or rest.lstrip(SPACE).startswith("/"):
        return None
    return float(above) / float(below), rest


def _latex_fraction(text: str) -> tuple[float, str] | None:
    match = re.match(rf"\\[dt]?frac[{SPACE}]*{{([^}}]*)}}[{SPACE}]*{{([^}}]*)}}", text)
    parts = [_decimal(part.strip(SPACE)) for part in match.groups()] if match else []
    if not match or any(not part or part[1] for part in parts):
        return None
    above, below = (float(part[0]) for part in parts if part)
    return (above / below, text[match.end() :]) if below else None


def _decimal(text: str) -> tuple[str, str] | None:
    """The characters of a number without thousands separators, and what follows them."""
    groups = [re.match("[0-9]*", text)[0]]  # type: ignore[index]
    at = len(groups[0])
    while groups[-1] and (len(groups[0]) <= 3 if len(groups) == 1 else len(groups[-1]) in (2, 3)):
        match = re.compile(r"(?:,|\{,\}|\\,|,\\!)([0-9]+)").match(text, at)
        if not match:
            break
        groups.append(match[1])
        at = match.end()
    if len(groups) > 1 and len(groups[-1]) != 3:
        return None
    digits = "".join(groups)
    if text[at : at + 1] == "." and (digits or text[1:2] in tuple("0123456789")):
        fraction = re.compile(r"\.[0-9]*").match(text, at)[0]  # type: ignore[index]
        digits, at = digits + fraction, at + len(fraction)
    if not digits:
        return None
    exponent = re.compile(r"[eE][+-]?[0-9]{1,4}\Z").match(text, at)
    if exponent:
        digits, at = digits + exponent[0], len(text)
    return (digits, text[at:]) if len(digits) <= 64 else None


def _unit(text: str) -> str | None:
    """The unit that a text is, empty when it is blank; None when it is no unit."""
    text = text.strip(SPACE).lstrip("\\").strip(SPACE)
    if text in ("", "%", "°", "°C", "°F", *CURRENCIES):
        return text
    words = re.split(f"[{SPACE}]+", text)
    halves = [half for word in words for half in word.split("/")]
    spelled = all(
        half and all(letter.isalpha() or letter in "-'’°²³" for letter in half) for half in halves
    )
    starts = text[0].isalpha() or text[0] == "°"
    return text if starts and spelled and len(words) <= 3 else None


def _same_unit(a: str, b: str) -> bool:
    def canonical(unit: str) -> list[str]:
        name = SAME_UNIT.get(unit.lower(), unit)
        return _folded(name[:-1] if name[-1:] in ("s", "S") else name)

    return canonical(a) == canonical(b)
