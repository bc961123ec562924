import pytest
from tokenizers import pre_tokenizers, trainers

from rlhf.data.rendering.cautions import caution
from tests.data.rendering import families
from tests.data.rendering.conversations import of, rendering, turns
from tests.data.rendering.families import FAMILIES, Family


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - {"deepseek_r1"}))
def test_responses_are_drawn_after_what_answers_are_trained_after(name):
    assert not caution(rendering(name))


def test_a_generation_prompt_that_opens_a_thought():
    assert caution(rendering("deepseek_r1")) == (
        "data.template=model: its generation prompt ends with '<think>\\n' where the conversations"
        " that it writes have '', so responses are drawn after other tokens than answers are"
        " trained after; a template of your own (data.template=my.jinja) can make them one"
    )


def test_a_line_break_that_joins_others():
    """Two line breaks are one token at the end of a text, two before a word."""
    gpt2 = families.build(Family(eos="<|endoftext|>", kind="bytes_gpt2"))
    template = "{% for m in messages %}{{ m.role + ':\n\n' + m.content }}{% endfor %}"
    template += "{{ 'assistant:\n\n' if add_generation_prompt }}"
    assert "ends with '\\n\\n' where" in caution(of(gpt2, template))
    assert not caution(of(gpt2, template.replace("\n\n", "\n")))


def test_a_tokenizer_that_splits_digits():
    """SmolLM2's joins the line break to the space before a digit, and before nothing else."""
    gpt2 = families.build(Family(eos="<|endoftext|>", kind="bytes_gpt2"))
    backend = gpt2.backend_tokenizer
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
    trainer = trainers.BpeTrainer(
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(["a\n 0"] * 4, trainer)
    assert "ĊĠ" in gpt2.get_vocab()
    template = "{% for m in messages %}{{ m.role + ':\n' + m.content }}{% endfor %}"
    template += "{{ 'assistant:\n' if add_generation_prompt }}"
    assert not caution(of(gpt2, template))


@pytest.mark.parametrize("name", ["plain", "transcript", "alpaca", "chatml"])
@pytest.mark.parametrize("kind", ["bytes", "bytes_gpt2", "always", "first", "legacy", "never"])
def test_our_own_templates(name, kind):
    tokenizer = families.build(Family(eos="</s>", bos="<s>", kind=kind, adds_bos=True))
    assert not caution(of(tokenizer, name))


def test_thoughts_that_the_template_takes_away():
    r1 = rendering("deepseek_r1")
    deep = turns(("user", "a"), ("assistant", "<think>\nold\n</think>b"))
    ids = r1.conversations([deep])[0]
    assert r1.tokenizer.decode(ids.ids[slice(*ids.answers[0])]) == "b<｜end▁of▁sentence｜>"  # noqa: RUF001
