"""Several continuations of one prompt, against each prompt continued by itself."""

import pytest
import torch

from limbeck.config import Evaluate
from limbeck.continuations import continuations, seeded
from limbeck.generate import Generator

QUESTIONS = ["one two three", "six", "four five six one two", "two"]


class Counted:
    """Notes how many tokens the decoder computes in each call."""

    def __init__(self, model):
        self.calls = []
        self.handle = model.get_decoder().register_forward_pre_hook(self.note, with_kwargs=True)

    def note(self, module, args, kwargs):
        del module
        self.calls.append(tuple((args[0] if args else kwargs["input_ids"]).shape))


def test_the_prompt_is_computed_once_and_greedy_samples_are_the_single_answers(random_student):
    generator = Generator(random_student, device="cpu")
    single = generator.generate(QUESTIONS, settings=Evaluate(max_new_tokens=6))
    counted = Counted(generator._model)
    found = generator.sample(QUESTIONS, samples=3, temperature=0, max_new_tokens=6, batch_size=12)
    counted.handle.remove()
    assert [[each.text for each in own] for own in found] == [[each.text] * 3 for each in single]
    assert [[each.sample for each in own] for own in found] == [[0, 1, 2]] * 4
    width = max(each.prompt_tokens for each in single)
    assert counted.calls[0] == (4, width - 1), "all prompts, once each"
    assert set(counted.calls[1:]) == {(12, 1)}, "then a token of each sample at a time"


def test_batches_divide_samples_and_questions(random_student):
    generator = Generator(random_student, device="cpu")
    for batch_size in (1, 2, 5, 64):
        found = generator.sample(
            QUESTIONS, samples=3, temperature=0, max_new_tokens=4, batch_size=batch_size
        )
        assert [len({each.text for each in own}) for own in found] == [1] * 4
        assert [len(own) for own in found] == [3] * 4


def test_samples_differ_and_a_seed_repeats_them(random_student):
    generator = Generator(random_student, device="cpu")

    def texts(seed):
        found = generator.sample(QUESTIONS, samples=8, temperature=1.0, max_new_tokens=6, seed=seed)
        return [[each.text for each in own] for own in found]

    assert texts(1) == texts(1) != texts(2)
    assert all(len(set(own)) > 4 for own in texts(1))


def test_a_prompt_of_one_token_shares_nothing(random_student):
    generator = Generator(random_student, device="cpu")
    model, tokenizer = generator._model, generator._tokenizer
    options = {"max_new_tokens": 4, "temperature": 0.0, "top_p": 1.0, "stop_ids": [0]}
    [alone] = continuations(model, tokenizer, [[5]], **options)
    assert continuations(model, tokenizer, [[5]], samples=2, **options) == [alone, alone]


def test_the_samples_of_a_prompt_are_drawn_from_its_distribution(random_student):
    """One token of 4,000 samples at temperature 1, against the softmax of the logits."""
    generator = Generator(random_student, device="cpu")
    model, prompt = generator._model, [5, 9, 7, 12]
    with seeded(0, torch.device("cpu")):
        rows = continuations(
            model, generator._tokenizer, [prompt], max_new_tokens=1, temperature=1.0, top_p=1.0,
            stop_ids=[0], samples=4000,
        )  # fmt: skip
    with torch.no_grad():
        expected = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    drawn = torch.bincount(torch.tensor(rows)[:, 0], minlength=len(expected)) / len(rows)
    likeliest = expected.topk(10).indices
    for token in likeliest:
        error = (expected[token] * (1 - expected[token]) / len(rows)) ** 0.5
        assert drawn[token].item() == pytest.approx(expected[token].item(), abs=5 * error.item())
