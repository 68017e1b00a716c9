"""Validation: a student in training answers held-out questions; its best checkpoint stays.

Judged by the accuracy of generated answers, not by the loss. The loss weighs spans as the
objectives do, so it compares no two methods, and it is low where a rationale is guessed well and
the answer is not. Checkpoints, the choice among them and early stopping are the Trainer's own: all
that is added to it is what `evaluate` measures.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from limbeck.arguments import METRIC
from limbeck.asking import judge
from limbeck.config import Evaluate
from limbeck.errors import InputError
from limbeck.generate import Generator
from limbeck.tasks import Question
from limbeck.trainer import DistillTrainer

__all__ = ["ValidatedTrainer"]

LENGTH = "tokens_per_answer"


class ValidatedTrainer(DistillTrainer):
    """A trainer whose evaluation is the accuracy on held-out questions, answered greedily.

    Args:
        questions: The questions; every rank answers a share of them.
        student: A directory with the tokenizer and what else says how the student answers, as
            `limbeck train` writes it; weights are not read.
        **kwargs: As `DistillTrainer`.

    Raises:
        InputError: The best checkpoint is to be chosen by something that is not measured.
    """

    def __init__(self, *, questions: Sequence[Question], student: Path, **kwargs: Any) -> None:
        chosen_by = kwargs["args"].metric_for_best_model
        if chosen_by and chosen_by.removeprefix("eval_") not in (METRIC, LENGTH):
            raise InputError(
                f"train.metric_for_best_model: {chosen_by} is not measured on held-out questions; "
                f"give {METRIC} or {LENGTH}, or leave the key out"
            )
        super().__init__(eval_dataset=list(questions), **kwargs)
        self._student_dir = student
        self._validation_seconds = 0.0

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Answer the held-out questions, and log their accuracy.

        Args:
            eval_dataset: Other questions than those of the trainer.
            ignore_keys: Has no meaning here.
            metric_key_prefix: Of the metrics' names.
        """
        del ignore_keys
        begin = time.perf_counter()
        asked: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        world, rank = self.args.world_size, self.args.process_index
        mine = asked[rank::world]
        model = self.accelerator.unwrap_model(self.model)
        settings = Evaluate(batch_size=self.args.per_device_eval_batch_size)
        found = Generator(self._student_dir, model=model).generate(
            [question.question for question in mine], settings=settings
        )
        right = sum(judge(mine[each.question], each.answer)[1] for each in found)
        tokens = sum(each.tokens_generated for each in found)
        local = torch.tensor([right, tokens], device=self.args.device)
        total = self.accelerator.reduce(local, reduction="sum").tolist()
        metrics = {
            f"{metric_key_prefix}_{METRIC}": total[0] / len(asked),
            f"{metric_key_prefix}_{LENGTH}": total[1] / len(asked),
        }
        self._validation_seconds += time.perf_counter() - begin
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def seconds(self) -> float:
        """Wall time spent training, validation not counted."""
        return super().seconds() - self._validation_seconds

    def _load_best_model(self) -> None:
        super()._load_best_model()
        if self.state.best_model_checkpoint:
            self.load_apart(Path(self.state.best_model_checkpoint))
