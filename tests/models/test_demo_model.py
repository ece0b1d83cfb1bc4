"""The shipped demo model loads as its users load it, and speaks readable verse."""

from __future__ import annotations

import json

import pytest
from jinja2.exceptions import TemplateError

from models.corpus import CORPUS
from models.measure_demo import FOLDER, PROMPTS, DemoModel
from models.tokenizer import ASSISTANT, END, SPECIAL, SYSTEM, USER, VOCABULARY

MIB = 1 << 20
LIMIT_TOKENS = 512
"""Beyond the longest answers that are usual; the context is 2048."""


@pytest.fixture(scope="module")
def demo() -> DemoModel:
    return DemoModel()


def test_folder_is_small_and_complete() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert names >= {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 12 * MIB


def test_config_is_a_plain_llama_that_every_engine_has_kernels_for() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["head_dim"] == 64
    assert config["tie_word_embeddings"] is True
    assert config["max_position_embeddings"] == 2048
    assert config["vocab_size"] == VOCABULARY
    assert config["dtype"] == "bfloat16"
    assert config["eos_token_id"] == SPECIAL.index(END)


def test_tokenizer_gives_back_every_text(demo: DemoModel) -> None:
    for text in (CORPUS.read_text(encoding="utf-8")[:20_000], "naïve 東京 🙂\t\r\n  two  spaces", ""):
        ids = demo.tokenizer(text)["input_ids"]
        assert demo.tokenizer.decode(ids) == text
    assert len(demo.tokenizer) == VOCABULARY
    assert demo.tokenizer.eos_token == END
    assert demo.tokenizer.convert_tokens_to_ids(list(SPECIAL)) == list(range(len(SPECIAL)))


def test_chat_template_marks_each_role_with_one_token(demo: DemoModel) -> None:
    chat = [
        {"role": "system", "content": "Answer in verse."},
        {"role": "user", "content": " Hello \n"},
        {"role": "assistant", "content": "Good morrow."},
        {"role": "user", "content": "And then?"},
    ]
    text = demo.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == (
        f"{SYSTEM}Answer in verse.{END}{USER}Hello{END}{ASSISTANT}Good morrow.{END}{USER}And then?{END}{ASSISTANT}"
    )
    ids = demo.tokenizer(text)["input_ids"]
    assert [token for token in ids if token < len(SPECIAL)] == [2, 1, 3, 1, 4, 1, 3, 1, 4]
    assert demo.tokenizer.apply_chat_template(chat[:1], tokenize=False) == f"{SYSTEM}Answer in verse.{END}"


def test_chat_template_refuses_an_unknown_role(demo: DemoModel) -> None:
    with pytest.raises(TemplateError, match="unknown role prompter"):
        demo.tokenizer.apply_chat_template([{"role": "prompter", "content": "Hush"}], tokenize=False)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_answers_are_verse_of_known_words(demo: DemoModel, temperature: float) -> None:
    answers = demo.answer(PROMPTS, limit=LIMIT_TOKENS, temperature=temperature)
    for answer in answers:
        assert answer.known_words >= 0.9, answer
        assert answer.tokens >= 5, answer
        assert "\n" in answer.text, answer
    assert sum(answer.known_words for answer in answers) / len(answers) >= 0.95


def test_most_sampled_answers_end_by_themselves(demo: DemoModel) -> None:
    answers = demo.answer(PROMPTS * 6, limit=LIMIT_TOKENS, temperature=0.8)
    assert sum(answer.ended for answer in answers) >= len(answers) / 2


def test_plain_text_goes_on_as_a_play(demo: DemoModel) -> None:
    prompt = demo.tokenizer("KING RICHARD II:\nI had forgot myself", return_tensors="pt")
    text = demo.tokenizer.decode(demo.generate(prompt, max_new_tokens=120, do_sample=False)[0])
    assert text.count("\n") >= 3
    assert not any(mark in text for mark in (SYSTEM, USER, ASSISTANT))
