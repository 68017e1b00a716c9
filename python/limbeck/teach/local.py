"""A model of transformers as the teacher: all prompts of a round in batches, then the next round.

What a batch draws is decided by its own prompts and the seed, so a job that is run again from the
start draws the same, and one that goes on never draws twice what stands.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError
from limbeck.teach.draws import Draws
from limbeck.teach.prompts import Prompt
from limbeck.teach.reply import Reply, of_text

if TYPE_CHECKING:
    from limbeck.teachers import LocalModel

__all__ = ["LocalTeacher"]


class LocalTeacher:
    """A causal language model that answers prompts.

    On a GPU it computes in bf16, on a CPU in fp32. Prompts go through the tokenizer's chat
    template; without one, their texts are given as they are.

    Args:
        teacher: Which model, and how it decodes.

    Raises:
        InputError: There is no such model, or nothing says how its texts end.
    """

    def __init__(self, teacher: LocalModel) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from limbeck.model import quiet

        device = teacher.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        self._teacher = teacher
        try:
            with quiet():
                self._tokenizer: Any = AutoTokenizer.from_pretrained(teacher.model)
                model: Any = AutoModelForCausalLM.from_pretrained(
                    teacher.model, dtype=dtype, use_safetensors=True
                )
        except (OSError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            raise InputError(
                f"teacher.model: {teacher.model}: {first}; give a causal language model with a "
                "tokenizer"
            ) from error
        self._model = model.to(device).eval()
        self._stop_ids = self._ends()

    def run(self, draws: Draws, *, seed: int, on_done: Callable[[int], None]) -> None:
        """Draw until every prompt has enough.

        Args:
            draws: What is to be drawn; answers go to its cache.
            seed: Of sampling.
            on_done: Told after each batch how many prompts have enough.

        Raises:
            InputError: A prompt leaves the model no room to answer.
        """
        open_prompts = list(range(len(draws)))
        while True:
            missing = {index: draws.missing(index) for index in open_prompts}
            open_prompts = [index for index in open_prompts if missing[index]]
            done = len(draws) - len(open_prompts)
            on_done(done)
            if not open_prompts:
                return
            # Prompts that are alike have their samples in common.
            asked = {
                (draws.keys[index], sample): index
                for index in open_prompts
                for sample in missing[index]
            }
            # The longest first: neighbours need little padding, and memory runs out at once or not.
            order = sorted(asked, key=lambda each: -draws.prompts[asked[each]].size_bytes)
            size = self._teacher.batch_size
            for first in range(0, len(order), size):
                batch = order[first : first + size]
                prompts = [draws.prompts[asked[each]] for each in batch]
                draw = f"{seed}/" + "/".join(f"{key}-{sample}" for key, sample in batch)
                for (key, sample), reply in zip(batch, self.answer(prompts, draw), strict=True):
                    draws.cache.put(key, sample, reply)
                on_done(done)

    def answer(self, prompts: list[Prompt], draw: str) -> list[Reply]:
        """Answer prompts together.

        Args:
            prompts: At most a batch of them.
            draw: Decides what is sampled.
        """
        from limbeck.continuations import continuations, seeded

        ids = [self._ids(prompt) for prompt in prompts]
        self._check_room(prompts, ids)
        temperature = self._teacher.temperature
        assert temperature is not None
        with seeded(_number(draw), self._model.device):
            rows = continuations(
                self._model,
                self._tokenizer,
                ids,
                max_new_tokens=self._teacher.max_new_tokens,
                temperature=temperature,
                top_p=self._teacher.top_p,
                stop_ids=self._stop_ids,
            )
        return [self._reply(len(given), row) for given, row in zip(ids, rows, strict=True)]

    def _reply(self, prompt_tokens: int, row: list[int]) -> Reply:
        end = next((place for place, token in enumerate(row) if token in self._stop_ids), None)
        written = row if end is None else row[:end]
        return of_text(
            # Tokens that mark thinking are added ones and not special: they stay, to be read.
            self._tokenizer.decode(written, skip_special_tokens=True),
            finish_reason="length" if end is None else "stop",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(row) if end is None else end + 1,
        )

    def _ids(self, prompt: Prompt) -> list[int]:
        if self._tokenizer.chat_template is None:
            text = "\n\n".join(message["content"] for message in prompt.messages)
            return list(self._tokenizer(text)["input_ids"])
        return list(
            self._tokenizer.apply_chat_template(
                [dict(message) for message in prompt.messages],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
            )["input_ids"]
        )

    def _check_room(self, prompts: list[Prompt], ids: list[list[int]]) -> None:
        room = getattr(self._model.config, "max_position_embeddings", None)
        new = self._teacher.max_new_tokens
        for prompt, given in zip(prompts, ids, strict=True):
            if room is not None and len(given) + new > room:
                raise InputError(
                    f"teacher.max_new_tokens: a prompt of {len(given)} tokens ({prompt.id}) and "
                    f"{new} new ones exceed the model's {room} positions; lower it"
                )

    def _ends(self) -> list[int]:
        given = (self._model.generation_config.eos_token_id, self._tokenizer.eos_token_id)
        ids = chain.from_iterable(each if isinstance(each, list) else [each] for each in given)
        ends = list(dict.fromkeys(id for id in ids if id is not None))
        if not ends:
            raise InputError(
                f"teacher.model: {self._teacher.model}: neither its generation_config.json nor its "
                "tokenizer names an eos_token, so no answer would end; add it"
            )
        return ends


def _number(draw: str) -> int:
    """A seed that a text decides."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(draw.encode(), digest_size=7).digest(), "big")
