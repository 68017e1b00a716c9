import dataclasses
import shutil

import pytest
import torch
from tests.eval.conftest import save

from limbeck.config import Evaluate
from limbeck.errors import InputError
from limbeck.generate import Generator, generate

QUESTIONS = ["one", "two three", "six five four three two one", "four four", "one two one two"]
# "Question: …\nAnswer:" is five tokens and one a word: the answer to a question of one word is what
# the script has from this position on.
PROMPT = 5
DOTS = 10


def tell(generations):
    return [(each.text, each.answer, each.tokens_generated) for each in generations]


@pytest.mark.parametrize("batch_size", [2, 5])
def test_a_batch_answers_as_single_questions_do(random_student, batch_size):
    generator = Generator(random_student)
    alone = generator.generate(QUESTIONS, settings=Evaluate(batch_size=1))
    together = generator.generate(QUESTIONS, settings=Evaluate(batch_size=batch_size))
    assert together == alone
    assert [each.question for each in together] == [0, 1, 2, 3, 4]
    assert len({each.text for each in together}) > 1


def test_single_answers_are_those_of_a_plain_loop(random_student):
    """The reference: one forward a token, no padding, no cache, positions from 0."""
    generator = Generator(random_student)
    [found] = generator.generate([QUESTIONS[2]], settings=Evaluate(max_new_tokens=6))
    ids = generator._renderer.prompt_ids([QUESTIONS[2]])[0]
    written = []
    for _ in range(6):
        with torch.inference_mode():
            logits = generator._model(torch.tensor([ids + written])).logits[0, -1]
        written.append(int(logits.argmax()))
        if written[-1] in generator._reader.stop_ids:
            break
    assert found.tokens_generated == len(written)
    shown = written[:-1] if written[-1] in generator._reader.stop_ids else written
    assert found.text == generator._reader.decode(shown)


def test_positions_tokens_and_stops_of_a_padded_batch(scripted_student):
    """Both prompts, of other lengths in one batch, get what the script has at their positions."""
    script = ["."] * DOTS + ["Ġfive", "Ġsix", "<|endoftext|>"]
    student = scripted_student(script, "answer-only")
    long, short = "one two three four", "one two"
    answers = generate(student, [short, long])
    assert [each.prompt for each in answers] == [
        f"Question: {short}\nAnswer:",
        f"Question: {long}\nAnswer:",
    ]
    # The prompts end at positions 6 and 8, so four and two dots are left of the script.
    assert tell(answers) == [
        (".... five six", ".... five six", 7),
        (".. five six", ".. five six", 5),
    ]


def test_answer_first_stops_at_the_semantic_token(scripted_student):
    script = ["."] * PROMPT + ["Ġfive", "<|sem|>", "Ċ", "Ġone", "<|endoftext|>"]
    student = scripted_student(script, "answer-first")
    assert tell(generate(student, ["one"])) == [(" five", "five", 2)]


def test_nothing_is_computed_beyond_the_stop(scripted_student):
    """Two tokens are two forwards, the prompt's among them; the rationale is never begun."""
    script = ["."] * PROMPT + ["Ġfive", "<|sem|>", "Ċ", "Ġone", "<|endoftext|>"]
    generator = Generator(scripted_student(script, "answer-first"))
    calls = []
    generator._model.register_forward_hook(lambda *_: calls.append(1))
    [found] = generator.generate(["one"])
    assert found.tokens_generated == len(calls) == 2
    assert (found.prompt_tokens, found.way) == (6, "answer-first")


def test_an_answer_ends_where_the_template_goes_on(scripted_student, edit_template):
    """Answer-first without `<|sem|>`: the text before the rationale is the stop."""
    script = ["."] * PROMPT + ["Ġfive", "Ġsix", "Ċ", "Ġone", "<|endoftext|>"]
    student = scripted_student(script, "answer-first")
    edit_template(student, " {answer}\n{rationale}{end}")
    assert tell(generate(student, ["one"])) == [(" five six\n", "five six", 3)]
    # In a batch, where the row of the longer prompt is done before the other.
    assert tell(generate(student, ["one", "one two"])) == [
        (" five six\n", "five six", 3),
        (" six\n", "six", 2),
    ]
    limited = generate(student, ["one"], settings=Evaluate(max_new_tokens=2))
    assert tell(limited) == [(" five six", None, 2)]


def test_words_of_the_template_are_no_part_of_the_answer(scripted_student, edit_template):
    script = ["."] * PROMPT + ["The", "Ġanswer", "Ġis", "Ġfive", ".", "<|endoftext|>"]
    student = scripted_student(script, "answer-only")
    edit_template(student, "The answer is {answer}.{end}")
    assert [each.answer for each in generate(student, ["one"])] == ["five"]


def test_a_template_may_conclude_in_words_of_its_own(scripted_student, edit_template):
    script = ["."] * PROMPT + ["Ġone", ":", "Ġtwo", ":", "Ġfive", "<|endoftext|>"]
    student = scripted_student(script, "think-first")
    edit_template(student, " {rationale}: {answer}{end}")
    assert [each.answer for each in generate(student, ["one"])] == ["five"]


def test_a_stream_gives_questions_in_order_and_reads_no_further_than_its_batch(random_student):
    generator = Generator(random_student)
    read = []

    def asked():
        for question in QUESTIONS:
            read.append(question)
            yield question

    settings = Evaluate(batch_size=2)
    stream = generator.stream(asked(), settings=settings)
    assert [each.question for each in next(stream)] == [0]
    assert read == QUESTIONS[:2]
    rest = [each for samples in stream for each in samples]
    assert [each.question for each in rest] == [1, 2, 3, 4]
    alone = generator.generate(QUESTIONS, settings=Evaluate(batch_size=1))
    assert tell(rest) == tell(alone)[1:]


def test_a_stream_draws_every_batch_under_seeds_of_its_own(random_student):
    generator = Generator(random_student)
    settings = Evaluate(vote=2, temperature=1.5, batch_size=1)
    found = list(generator.stream(["one", "one"], settings=settings, seed=7))
    assert [[each.seed for each in samples] for samples in found] == [[7, 8], [9, 10]]
    [again] = generator.generate(["one"], settings=Evaluate(temperature=1.5), seed=9)
    assert again.text == found[1][0].text


def test_a_model_in_memory_answers_and_stays_as_it_was(random_student):
    from limbeck.model import load_student

    model = load_student(random_student, tokenizer_length=0, dtype="float32")
    own = model.generation_config
    model.train()
    found = Generator(random_student, model=model).generate(QUESTIONS)
    assert found == Generator(random_student).generate(QUESTIONS)
    assert model.training
    assert model.generation_config is own


def test_answer_first_may_end_without_it(scripted_student):
    script = ["."] * PROMPT + ["Ġfive", "<|endoftext|>"]
    student = scripted_student(script, "answer-first")
    assert tell(generate(student, ["one"])) == [(" five", "five", 2)]


def test_think_first_reads_the_conclusion(scripted_student):
    script = ["."] * PROMPT
    script += ["Ġone", ".", "Ċ", "The", "Ġanswer", "Ġis", "Ġfive", ".", "<|endoftext|>"]
    student = scripted_student(script, "think-first")
    assert tell(generate(student, ["one"])) == [(" one.\nThe answer is five.", "five", 9)]


def test_thinking_that_concludes_nothing_answers_nothing(scripted_student):
    student = scripted_student(["."] * PROMPT + ["Ġone", ".", "<|endoftext|>"], "think-first")
    assert tell(generate(student, ["one"])) == [(" one.", None, 3)]


@pytest.mark.parametrize(("order", "limit"), [("answer-only", None), ("answer-first", 7)])
def test_an_answer_that_is_cut_off_is_none(scripted_student, order, limit):
    student = scripted_student(["Ġfive"] * 60, order)
    settings = Evaluate(max_new_tokens=limit)
    count = limit or 12  # the student's own limit
    assert tell(generate(student, ["one"], settings=settings)) == [(" five" * count, None, count)]


def test_an_end_at_once_is_no_answer(scripted_student):
    student = scripted_student(["<|endoftext|>"] * 60, "answer-only")
    assert tell(generate(student, ["one"])) == [("", None, 1)]


def test_samples_repeat_under_their_own_seed(random_student):
    settings = Evaluate(n_samples=3, temperature=1.5, batch_size=2)
    generator = Generator(random_student)
    samples = generator.generate(QUESTIONS, settings=settings, seed=40)
    assert [(each.question, each.sample, each.seed) for each in samples] == [
        (question, sample, 40 + sample) for question in range(5) for sample in range(3)
    ]
    assert samples == generator.generate(QUESTIONS, settings=settings, seed=40)
    one = settings.model_copy(update={"n_samples": 1})
    again = generator.generate(QUESTIONS, settings=one, seed=42)
    assert [each.text for each in again] == [each.text for each in samples if each.seed == 42]
    assert len({each.text for each in samples if each.question == 0}) == 3


def test_sampling_leaves_the_callers_randomness_alone(random_student):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    generate(random_student, ["one"], settings=Evaluate(temperature=1.0))
    assert torch.rand(1) == expected


def test_sampling_follows_top_p_and_temperature(random_student):
    generator = Generator(random_student)
    greedy = generator.generate(QUESTIONS)
    narrow = generator.generate(QUESTIONS, settings=Evaluate(temperature=1.0, top_p=1e-6))
    cold = generator.generate(QUESTIONS, settings=Evaluate(temperature=1e-3))
    assert tell(narrow) == tell(cold) == tell(greedy)


def test_a_checkpoints_own_settings_do_not_sway_the_answers(random_student, tmp_path):
    """Published checkpoints carry penalties and limits that a reported setting must not hide."""
    from transformers import GenerationConfig

    student = shutil.copytree(random_student, tmp_path / "student")
    config = GenerationConfig.from_pretrained(student)
    config.update(repetition_penalty=5.0, max_length=20, top_k=1, do_sample=True)
    config.save_pretrained(student)
    assert tell(generate(student, QUESTIONS)) == tell(generate(random_student, QUESTIONS))


def test_progress_counts_answers(random_student):
    told = []
    settings = Evaluate(batch_size=2, n_samples=2, temperature=1.0)
    generate(random_student, QUESTIONS, settings=settings, progress=lambda *news: told.append(news))
    assert told == [(done, 10, "answers") for done in (2, 4, 5, 7, 9, 10)]


def test_the_decoding_is_told_whole(random_student):
    generator = Generator(random_student)
    assert dataclasses.asdict(generator.decoding(Evaluate())) == {
        "order": "answer-only",
        "temperature": 0.0,
        "top_p": 1.0,
        "n_samples": 1,
        "max_new_tokens": 12,
        "batch_size": 64,
        "dtype": "float32",
    }


def test_top_p_without_a_temperature_warns(random_student):
    with pytest.warns(UserWarning, match="top_p has no effect"):
        generate(random_student, ["one"], settings=Evaluate(top_p=0.9))


def test_too_long_a_question_is_refused(random_student):
    with pytest.raises(InputError, match=r"questions\[1\]: a prompt of \d+ tokens and 12 new ones"):
        generate(random_student, ["one", " ".join(["one"] * 120)])


def test_no_questions_give_no_answers(random_student):
    assert generate(random_student, []) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"untrained": True}, "was never trained; give a student"),
        ({"inference": {"order": "sideways"}}, r"limbeck\.json: inference\.order: none of answer-"),
    ],
)
def test_a_directory_that_is_no_trained_student_is_refused(
    scripted_student, edit_card, changes, message
):
    student = scripted_student(["."], "answer-only")
    edit_card(student, **changes)
    with pytest.raises(InputError, match=message):
        Generator(student)


def test_missing_files_are_named(scripted_student, tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        Generator(tmp_path / "nowhere")
    student = scripted_student(["."], "answer-only")
    (student / "generation_config.json").write_text('{"eos_token_id": null}')
    with pytest.raises(InputError, match="eos_token_id: missing"):
        Generator(student)
    (student / "limbeck.json").write_text("{")
    with pytest.raises(InputError, match=r"limbeck\.json: not JSON"):
        Generator(student)
    (student / "limbeck.json").unlink()
    with pytest.raises(InputError, match=r"has no limbeck\.json, so how it answers is unknown"):
        Generator(student)


def test_an_adapter_answers_as_the_merged_student_does(random_student, tokenizer, tmp_path):
    """With a base that lacks the row of the added token, as a published one does."""
    peft = pytest.importorskip("peft")
    from limbeck.model import load_student

    torch.manual_seed(0)
    base = tmp_path / "base"
    small = load_student(random_student, tokenizer_length=0, dtype="float32")
    small.resize_token_embeddings(len(tokenizer) - 1)
    small.save_pretrained(base)
    model = load_student(base, tokenizer_length=len(tokenizer), dtype="float32")
    names = {id(module): name for name, module in model.named_modules()}
    ends = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    if model.config.tie_word_embeddings:
        ends = {id(model.get_input_embeddings())}
    rows = {names[end]: [len(tokenizer) - 1] for end in ends}
    config = peft.LoraConfig(target_modules="all-linear", trainable_token_indices=rows)
    wrapped = peft.get_peft_model(model, config)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    adapter = save(wrapped, tokenizer, tmp_path / "adapter", "answer-first")
    merged = save(wrapped.merge_and_unload(), tokenizer, tmp_path / "merged", "answer-first")
    assert not (adapter / "model.safetensors").exists()
    expected = tell(generate(merged, QUESTIONS))
    assert (
        tell(generate(adapter, QUESTIONS)) == expected != tell(generate(random_student, QUESTIONS))
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_answers_in_bf16(scripted_student):
    script = ["."] * PROMPT + ["Ġfive", "<|endoftext|>"]
    generator = Generator(scripted_student(script, "answer-only"))
    assert generator.decoding(Evaluate()).dtype == "bfloat16"
    assert tell(generator.generate(["one"])) == [(" five", "five", 2)]
