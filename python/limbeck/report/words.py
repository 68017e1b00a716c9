"""Numbers and names as the report writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

TITLES = {
    "loss": "total loss",
    "cross_entropy": "cross-entropy",
    "grad_norm": "gradient norm",
    "trained_share": "share of trained tokens",
    "tokens_per_second": "tokens per second",
    "cosine": "cosine to the target",
    "domain_adversarial": "domain classifier",
    "domain_adversarial_accuracy": "domain classifier's accuracy",
    "domain_adversarial_strength": "λ of the reversed gradient",
    "eval_accuracy": "accuracy on held-out questions",
}


def title(key: str) -> str:
    """What a key of the trainer's log is called.

    Example:
        >>> title("semantic_alignment")
        'semantic alignment'
    """
    return TITLES.get(key, key.replace("_", " "))


def task(name: str) -> str:
    """A task as people say it; a record file by its name alone.

    Example:
        >>> task("coin_flip"), task("/data/gsm8k/test.jsonl")
        ('coin flip', 'test.jsonl')
    """
    return Path(name).name if "/" in name else name.replace("_", " ")


def percent(share: float) -> str:
    """A share of 1, in percent.

    Example:
        >>> percent(0.845)
        '84.5 %'
    """
    return f"{100 * share:.1f} %"


def count(number: float | None) -> str:
    """A whole number with separators.

    Example:
        >>> count(307200)
        '307,200'
    """
    return "–" if number is None else f"{number:,.0f}"


def listing(names: Iterable[str]) -> str:
    """Names as a sentence lists them.

    Example:
        >>> listing(["a", "b", "c"])
        'a, b and c'
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def size(parameters: int) -> str:
    """A number of parameters, in three digits.

    Example:
        >>> size(312_480), size(7_615_616_512)
        ('312 K', '7.62 B')
    """
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if parameters >= unit:
            return f"{parameters / unit:.3g} {name}"
    return str(parameters)


def duration(seconds: float) -> str:
    """A time in the two largest units that matter.

    Example:
        >>> duration(12.52), duration(185), duration(7800)
        ('12.5 s', '3 min 05 s', '2 h 10 min')
    """
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def place(path: str, run_dir: Path) -> str:
    """A path as others may see it: relative to the run, or with the home directory as `~`.

    Example:
        >>> place("/data/run/teach/records.jsonl", Path("/data/run"))
        'teach/records.jsonl'
    """
    found = Path(path)
    for above, prefix in ((run_dir, ""), (run_dir.absolute(), ""), (Path.home(), "~/")):
        if above != Path() and found.is_relative_to(above):
            return f"{prefix}{found.relative_to(above)}"
    return path


def control_name(name: str) -> str:
    """What a control of an induction task is called.

    Example:
        >>> control_name("slot_memoriser")
        'slot memoriser'
    """
    return name.replace("_", " ")
