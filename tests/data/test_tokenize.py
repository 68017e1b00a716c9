"""Ids equal those of HuggingFace's tokenizers; kinds are those of first bytes; content is text."""

import json
import os
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from limbeck import _native
from limbeck.errors import InputError

SHARED = Path(os.environ.get("LIMBECK_SHARED", Path(__file__).parents[2].parent / "shared"))
CORPUS = [
    "Question: how many apples are there? Answer: 5",
    "Because 2 and 3 make 5, the answer is 5. Café naïve ﬁne ½",
    "def f(x):\n\treturn x  # 東京 😀",
] * 4
PROMPT, COMPLETION = "Question: {question}\nAnswer:", " {answer}{semantic}\n{rationale}{end}"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["</s>", "<unk>", "<|im_start|>", "<|im_end|>"]


def _byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["<s>", *SPECIAL], show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(direction="left", length=8)
    return tokenizer


def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _prepending() -> Tokenizer:
    """As the first sentencepiece tokenizers were converted: a space before every text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    added = [
        tokenizers.AddedToken("</s>", normalized=False, special=True, rstrip=True),
        tokenizers.AddedToken("answer", normalized=True, single_word=True),
    ]
    tokenizer.add_tokens(added)
    return tokenizer


TRAINED = {
    "byte_level": _byte_level,
    "word_piece": _word_piece,
    "unigram": _unigram,
    "prepending": _prepending,
}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
words = st.sampled_from(
    ["apples", " answer ", "\n\n", "é", "e\u0301", "ﬁ", "😀", "½", "\r\n", " 5"]
)
# `encode` would read control tokens in it, which content never becomes: that has its own test.
contents = (
    st.lists(texts | words, min_size=1, max_size=5)
    .map("".join)
    .filter(lambda text: not any(token in text for token in ("<|", "<s>", *SPECIAL)))
)


def _is_blank(text):
    return not text.strip()


def _trim(text):
    return text.strip()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="module", params=[*TRAINED, "gpt2", "qwen"])
def source(request, directory):
    """A tokenizer.json, the renderer on it, and HuggingFace's tokenizer with the same tokens."""
    if request.param in TRAINED:
        path = directory / request.param / "tokenizer.json"
        path.parent.mkdir()
        TRAINED[request.param]().save(str(path))
    else:
        path = SHARED / "tokenizers" / f"{request.param}.json"
        if not path.exists():
            pytest.skip(f"no {path}: set LIMBECK_SHARED")
    renderer = _plain(path)
    saved = directory / f"{request.param}-saved"
    renderer.save_tokenizer(str(saved))
    reference = Tokenizer.from_file(str(saved / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    return renderer, reference


def _plain(path, **settings):
    template = {"name": "answer-first", "prompt": PROMPT, "completion": COMPLETION}
    return _native.Renderer(
        str(path), json.dumps({"template": template, "style": "plain", **settings})
    )


def _prefix(reference):
    """What the tokenizer's post-processor puts in front."""
    encoding = reference.encode("a")
    count = next(i for i, mask in enumerate(encoding.special_tokens_mask) if not mask)
    return encoding.ids[:count]


@given(question=contents, answer=contents, rationale=contents)
@settings(max_examples=60, deadline=None)
def test_ids_equal_huggingface(source, question, answer, rationale):
    renderer, reference = source
    question, answer, rationale = map(_trim, (question, answer, rationale))
    if any(map(_is_blank, (question, answer, rationale))):
        return
    end = json.loads(renderer.render_json)["end_token"]
    prompt = f"Question: {question}\nAnswer:"
    completion = f" {answer}<|sem|>\n{rationale}{end}"
    expected = _prefix(reference) + reference.encode(prompt, add_special_tokens=False).ids
    assert renderer.prompt_ids([question]) == [expected]
    expected = expected + reference.encode(completion, add_special_tokens=False).ids
    ids, kinds = renderer.example(question, answer, rationale)
    assert ids == expected
    assert len(kinds) == len(ids)
    assert kinds.count(4) == kinds.count(6) == 1


@given(question=contents, answer=contents, rationale=contents)
@settings(max_examples=40, deadline=None)
def test_kinds_are_those_of_first_bytes(source, question, answer, rationale):
    """Against the offsets that HuggingFace reports, in characters."""
    renderer, reference = source
    question, answer, rationale = map(_trim, (question, answer, rationale))
    if any(map(_is_blank, (question, answer, rationale))):
        return
    end = json.loads(renderer.render_json)["end_token"]
    prompt = [("Question:", 0), (f" {question}", 1), ("\nAnswer:", 0)]
    completion = [(f" {answer}", 2), ("<|sem|>", 4), (f"\n{rationale}", 3), (end, 6)]
    expected = [0] * len(_prefix(reference))
    for segments in (prompt, completion):
        of_character = [kind for text, kind in segments for _ in text]
        encoding = reference.encode("".join(text for text, _ in segments), add_special_tokens=False)
        last = len(of_character) - 1
        expected += [of_character[min(start, last)] for start, _ in encoding.offsets]
    _, kinds = renderer.example(question, answer, rationale)
    assert list(kinds) == expected


@pytest.mark.parametrize("hostile", [*SPECIAL[2:], "</s>", "<|endoftext|>", "<|sem|>"])
def test_content_never_becomes_a_control_token(source, hostile):
    renderer, reference = source
    control = {reference.token_to_id(token) for token in [*SPECIAL, "<|sem|>", "<|endoftext|>"]}
    control.discard(None)
    control.discard(reference.token_to_id("<unk>"))
    text = f"x {hostile} y{hostile}"
    plain = renderer.example("x", "x", "x")[0]
    wanted = [token for token in plain if token in control]
    try:
        ids, _ = renderer.example(text, text, text)
    except InputError as error:
        # A vocabulary that spells the token as one piece: refused, and said so.
        assert "cannot keep as text" in str(error)  # noqa: PT017
        assert "Unigram" in str(reference.model)
    else:
        assert [token for token in ids if token in control] == wanted


def test_truncation_and_padding_of_the_file_do_not_apply(directory):
    path = directory / "truncating.json"
    _word_piece().save(str(path))
    assert len(_plain(path).example("apples " * 50, "5", "5")[0]) > 50
    assert len(Tokenizer.from_file(str(path)).encode("apples").ids) == 8


def test_added_tokens_take_the_next_free_id_once(directory):
    path = directory / "once.json"
    _byte_level().save(str(path))
    size = Tokenizer.from_file(str(path)).get_vocab_size()
    renderer = _plain(path, added_tokens=["<|a|>", "</s>"])
    assert renderer.vocab_size == size + 2
    saved = directory / "once"
    renderer.save_tokenizer(str(saved))
    vocabulary = Tokenizer.from_file(str(saved / "tokenizer.json")).get_vocab()
    assert (vocabulary["<|a|>"], vocabulary["<|sem|>"]) == (size, size + 1)
    again = _native.Renderer(str(saved), renderer.render_json)
    assert again.vocab_size == size + 2
    assert again.render_json == renderer.render_json
    assert again.example("q", "a", "r") == renderer.example("q", "a", "r")


@pytest.mark.parametrize("kind", ["bare", "TokenizersBackend", "Qwen2Tokenizer"])
def test_the_saved_tokenizer_opens_in_transformers(directory, kind):
    transformers = pytest.importorskip("transformers")
    path = directory / f"saved-{kind}"
    path.mkdir()
    _byte_level().save(str(path / "tokenizer.json"))
    if kind != "bare":
        named = {"eos_token": "<|im_end|>", "pad_token": "</s>", "unk_token": "<unk>"}
        config = {"tokenizer_class": kind, "model_max_length": 99, **named}
        (path / "tokenizer_config.json").write_text(json.dumps(config))
        (path / "chat_template.jinja").write_text(CHATML)
    renderer = _plain(path / "tokenizer.json" if kind == "bare" else path)
    renderer.save_tokenizer(str(path / "out"))
    opened = transformers.AutoTokenizer.from_pretrained(path / "out")
    assert len(opened) == renderer.vocab_size
    assert opened.eos_token == ("</s>" if kind == "bare" else "<|im_end|>")
    assert opened.chat_template == (None if kind == "bare" else CHATML)
    ids, _ = renderer.example("How many?", "5", "2 and 3")
    text = f"Question: How many?\nAnswer: 5<|sem|>\n2 and 3{opened.eos_token}"
    assert opened.decode(ids) == text
    if kind != "Qwen2Tokenizer":  # this class brings a normaliser of its own
        assert opened(text, add_special_tokens=False).input_ids == ids


@pytest.fixture(scope="module")
def chat(directory):
    """A byte-level tokenizer with a chat template, as transformers opens it, and its renderer."""
    transformers = pytest.importorskip("transformers")
    path = directory / "chat"
    backend = _byte_level()
    backend.normalizer = None
    opened = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    opened.chat_template = CHATML
    opened.save_pretrained(path)
    template = {
        "name": "t",
        "prompt": "{question}",
        "completion": "{answer}{semantic}\n{rationale}",
    }
    renderer = _native.Renderer(str(path), json.dumps({"template": template, "style": "chat"}))
    renderer.save_tokenizer(str(path / "out"))
    return renderer, transformers.AutoTokenizer.from_pretrained(path / "out")


control_texts = contents | st.sampled_from([*SPECIAL, "<|sem|>", "\U000f0000", "\x1c"])


@given(question=control_texts, answer=control_texts, rationale=control_texts)
@settings(max_examples=60, deadline=None)
def test_a_chat_decodes_to_what_transformers_renders(chat, question, answer, rationale):
    renderer, opened = chat
    question, answer, rationale = map(_trim, (question, answer, rationale))
    if any(map(_is_blank, (question, answer, rationale))):
        return
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": f"{answer}<|sem|>\n{rationale}"},
    ]
    ids, kinds = renderer.example(question, answer, rationale)
    rendered = opened.apply_chat_template(messages, tokenize=False)
    assert opened.decode(ids) == rendered
    by_kind = [
        opened.decode([token for token, kind in zip(ids, kinds, strict=True) if kind == code])
        for code in range(7)
    ]
    assert by_kind[1] == question
    assert by_kind[2] == answer
    assert by_kind[3] == f"\n{rationale}"
    assert (by_kind[4], by_kind[6]) == ("<|sem|>", "<|im_end|>")
    (prompt,) = renderer.prompt_ids([question])
    assert ids[: len(prompt)] == prompt
    assert opened.decode(prompt) == opened.apply_chat_template(
        messages[:1], tokenize=False, add_generation_prompt=True
    )
    specials = [token for token in ids if token in opened.added_tokens_decoder]
    assert len(specials) == 5  # four of the template, and <|sem|>


def test_a_literal_between_prompt_and_content_is_trained_with_it(chat, directory):
    template = "{% for m in messages %}[{{ m.role }}]" + (
        "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    render = {
        "template": {"name": "t", "prompt": "{question}", "completion": "{rationale} {answer}"},
        "style": "chat",
        "chat_template": template,
    }
    renderer = _native.Renderer(str(directory / "chat"), json.dumps(render))
    ids, kinds = renderer.example("q", "a", "r")
    opened = chat[1]
    trained = [token for token, kind in zip(ids, kinds, strict=True) if kind == 3]
    assert opened.decode(trained) == "<think>\n\n</think>\n\nr"
    assert kinds.endswith(bytes([6, 0]))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m.content | upper }}<|im_end|>{% endfor %}", "as it is"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "no special token"),
        ("{{ raise_exception('never') }}", "never"),
        (
            "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
            "{% if add_generation_prompt %}x{% endif %}",
            "not how the whole chat begins",
        ),
    ],
)
def test_a_chat_template_that_does_not_serve_is_refused(chat, directory, template, message):
    render = {
        "template": {"name": "t", "prompt": "{question}", "completion": "{answer}"},
        "style": "chat",
        "chat_template": template,
    }
    with pytest.raises(InputError, match=message):
        _native.Renderer(str(directory / "chat"), json.dumps(render))
