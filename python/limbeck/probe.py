"""Probe: what a student's frozen states still tell of the domain, before training and after.

The adversary's own classifier says little of that: it stops at what it has learnt, and a student
that moves on can fool it and hide nothing. So a fresh linear classifier is trained afterwards on
the states of some questions and tried on others, against always naming the commonest domain. It
reads the mean state of the question, on which the adversary works by default, and the state of the
prompt's last token, from which the student begins to write: that the first does not tell the domain
says nothing of the second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError
from limbeck.spans import KINDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["PLACES", "Prompt", "probe", "prompts"]

Progress = Callable[[int, int, str], None]

PLACES = ("question", "prompt_end")
"""The states that are probed: the question's mean, and the one that predicts the first word."""
POINTS = 400
"""Points of a projection at most."""

_QUESTION = KINDS.index("question")
_WRITTEN = [KINDS.index(kind) for kind in ("gate", "answer", "rationale", "semantic", "end")]
_BATCH = 32


@dataclass(frozen=True)
class Prompt:
    """What the student is given for one question.

    Attributes:
        ids: int64 `[T]`, token ids up to the first that the student writes.
        is_question: bool `[T]`.
        domain: The number of its domain.
    """

    ids: NDArray[np.int64]
    is_question: NDArray[np.bool_]
    domain: int


def probe(
    prepared: str | Path,
    *,
    start: str | Path,
    student: str | Path,
    output: str | Path,
    questions: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Probe the starting and the trained student, and write `probe.json`.

    Args:
        prepared: What the student was trained on; its questions are asked.
        start: The starting student.
        student: What `train` wrote.
        output: The file to write.
        questions: How many at most, equally many of each domain that has them; half of each train
            the probe, the others try it.
        seed: Of the draw, and of the rows that the starting student gets for added tokens.
        progress: Told students done, students in all, and a text.

    Returns:
        `output`.

    Raises:
        InputError: There are not two domains with two questions each.
    """
    import torch
    from transformers import AutoTokenizer, set_seed

    from limbeck.data import load_prepared
    from limbeck.domains import unlabelled_domains
    from limbeck.linear_probe import linear_probe, project
    from limbeck.model import load_student, load_trained, quiet
    from limbeck.train import question_only

    prepared, output = Path(prepared), Path(output)
    manifest = json.loads((prepared / "manifest.json").read_text("utf-8"))
    dataset = load_prepared(prepared)
    asked = prompts(dataset, questions, len(manifest["domains"]), seed)
    numbers = sorted({each.domain for each in asked})
    unlabelled = unlabelled_domains(dataset, question_only(manifest["render"]))
    classes_N = torch.tensor([numbers.index(each.domain) for each in asked])
    is_train_N = _halves(classes_N)
    with quiet():
        length = len(AutoTokenizer.from_pretrained(prepared / "tokenizer"))
    shown = torch.linspace(0, len(asked) - 1, min(POINTS, len(asked))).long()
    found: dict[str, dict[str, Any]] = {place: {} for place in PLACES}
    points: dict[str, Any] = {"domains": classes_N[shown].tolist()}
    for done, (when, load, place) in enumerate(
        (("before", load_student, start), ("after", load_trained, student))
    ):
        if progress:
            progress(done, 2, f"states {when} training")
        set_seed(seed)
        model = load(place, tokenizer_length=length, dtype=torch.float32)
        states = _states(model, asked)
        for name, states_ND in zip(PLACES, states, strict=True):
            found[name][when] = asdict(linear_probe(states_ND, classes_N, is_train_N))
        points[when] = [[round(x, 4) for x in each] for each in project(states[0][shown]).tolist()]
        del model
    commonest = int(classes_N[is_train_N].bincount().argmax())
    test_M = classes_N[~is_train_N]
    text = json.dumps(
        {
            "domains": [manifest["domains"][number] for number in numbers],
            "unlabelled": [manifest["domains"][number] for number in sorted(unlabelled)],
            "train": int(is_train_N.sum()),
            "test": len(test_M),
            "majority": float((test_M == commonest).double().mean()),
            "states": found,
            "projection": points,
        },
        indent=1,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.tmp")
    beside.write_text(text + "\n", "utf-8")
    beside.replace(output)
    if progress:
        progress(2, 2, "written")
    return output


def prompts(dataset: Any, questions: int, domains: int, seed: int) -> list[Prompt]:
    """Draw distinct questions, equally many of each domain as far as it has them.

    Args:
        dataset: Prepared rows, as `load_prepared` gives them.
        questions: How many at most.
        domains: How many domains the data have.
        seed: Of the draw.

    Returns:
        The prompts by domain, the domains in the order of their numbers.

    Raises:
        InputError: There are not two domains with two questions each.
    """
    import numpy as np

    most = max(2, questions // max(1, domains))
    drawn: dict[int, dict[bytes, Prompt]] = {}
    for row in np.random.default_rng(seed).permutation(len(dataset)):
        for each in _of_row(dataset[int(row)]):
            own = drawn.setdefault(each.domain, {})
            if len(own) < most:
                own.setdefault(each.ids[each.is_question].tobytes(), each)
        if len(drawn) == domains and all(len(own) == most for own in drawn.values()):
            break
    enough = {domain: list(own.values()) for domain, own in drawn.items() if len(own) > 1}
    if len(enough) < 2:
        raise InputError(
            "probe.questions: a probe needs two domains with two questions each, and the prepared "
            "data have no such; set it to 0 to do without"
        )
    return [each for domain in sorted(enough) for each in enough[domain]]


def _of_row(row: Any) -> Iterator[Prompt]:
    """The prompts of a row's examples that have a domain."""
    import numpy as np

    from limbeck.trie import unfold

    row = unfold(row)
    ends = np.cumsum(row["example_lengths"])
    for end, length, domain in zip(ends, row["example_lengths"], row["domains"], strict=True):
        kinds = row["span_kinds"][end - length : end]
        written = np.flatnonzero(np.isin(kinds, _WRITTEN))
        stop = int(written[0]) if len(written) else int(length)
        is_question = kinds[:stop] == _QUESTION
        if domain >= 0 and is_question.any():
            ids = np.asarray(row["input_ids"][end - length : end][:stop], np.int64)
            yield Prompt(ids, is_question, int(domain))


def _halves(classes_N: Tensor) -> Tensor:
    """Every other item of each class."""
    import torch

    is_train_N = torch.zeros(len(classes_N), dtype=torch.bool)
    for number in classes_N.unique():
        is_train_N[torch.nonzero(classes_N == number)[::2, 0]] = True
    return is_train_N


def _states(model: Any, asked: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
    """Return the states of `PLACES`, fp32 `[N, D]` each, on the CPU."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    decoder = model.get_decoder()
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        ids_BT, mask_BT, question_BT = (
            pad_sequence([torch.as_tensor(each) for each in rows], batch_first=True).to(device)
            for rows in (
                [each.ids for each in batch],
                [[True] * len(each.ids) for each in batch],
                [each.is_question for each in batch],
            )
        )
        with torch.no_grad():
            states_BTD = decoder(
                input_ids=ids_BT, attention_mask=mask_BT.long(), use_cache=False
            ).last_hidden_state.float()
        share_BT = question_BT / question_BT.sum(1, keepdim=True)
        found[0].append((states_BTD * share_BT[..., None]).sum(1).cpu())
        last_B = mask_BT.sum(1) - 1
        found[1].append(states_BTD[torch.arange(len(batch), device=device), last_B].cpu())
    return torch.cat(found[0]), torch.cat(found[1])
