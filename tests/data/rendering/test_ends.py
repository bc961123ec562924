"""What ends an answer, and which tokens are the assistant's where a template changes contents."""

import pytest

from rlhf.data.collate import encode_preferences
from rlhf.data.conversations import Turn, asked
from rlhf.data.lengths import Limit
from rlhf.data.rendering.spans import TemplateError
from tests.data.rendering import families
from tests.data.rendering.conversations import TWO, of, rendering, turns, words
from tests.data.rendering.families import Family
from tests.turns import preference


def test_answers_that_end_with_another_token_than_eos():
    """ChatML: <|im_end|> is counted, the line break after it is not, and nor is the user's."""
    qwen = rendering("qwen2")
    rendered = qwen.conversations([TWO])[0]
    assert [qwen.tokenizer.decode(rendered.ids[a:b]) for a, b in rendered.answers] == [
        "c<|im_end|>",
        "e f<|im_end|>",
    ]
    assert words(qwen, qwen.closing) == ["Ċ"] and rendered.ids[-1:] == [*qwen.closing]


def test_a_template_that_ends_no_answer_gets_eos_after_the_last(tokenizer):
    made = of(tokenizer, "{% for m in messages %}{{ ' h ' + m.content }}{% endfor %}")
    assert made.stop_ids == (tokenizer.eos_token_id,) and made.closing == ()
    assert tokenizer.decode(made.conversations([TWO])[0].ids) == " h a b h c h d h e f<eos>"
    assert tokenizer.decode(made.prompt(TWO[:3])) == " h a b h c h d"
    again = of(tokenizer, made.template.text)
    assert again.template == made.template  # as it is kept with the model


def test_what_ends_an_answer_in_words_is_the_assistants_too(tokenizer):
    """ChatML with a tokenizer that has no <|im_end|>: it stands there as text, and <unk> ends
    nothing."""
    made = of(families.build(Family(eos="<|endoftext|>")), "chatml")
    assert words(made, made.stop_ids) == ["<|endoftext|>"] and made.closing == ()
    rendered = made.conversations([TWO])[0]
    assert [made.tokenizer.decode(rendered.ids[a:b]) for a, b in rendered.answers] == [
        "c",
        "e f<|im_end|>\n<|endoftext|>",
    ]
    assert of(tokenizer, "chatml").stop_ids == (tokenizer.eos_token_id,)


def test_the_next_turns_first_token_ends_no_answer():
    """<|user|> and <|assistant|> are special, and nothing stands between an answer and the next
    question; but where the model stops with <|user|>, that is what ends an answer."""
    roles = ("<|user|>", "<|assistant|>")
    tokenizer = families.build(Family(eos="</s>", special=roles))
    template = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"
        "{{ '<|assistant|>' if add_generation_prompt }}"
    )
    for stops, first in (((), "c"), (("<|user|>",), "c<|user|>")):
        ids = tokenizer.convert_tokens_to_ids([*stops])
        made = of(tokenizer, template, model_stops=ids)
        rendered = made.conversations([TWO])[0]
        assert [tokenizer.decode(rendered.ids[a:b]) for a, b in rendered.answers] == [
            first,
            "e f</s>",
        ]


def test_an_answer_cut_off_has_no_stop_token():
    """The pair's cut side ends with its content, so no score is read at a token that the policy
    never wrote."""
    for name in ("llama2", "qwen2", "phi3", "harmony", "falcon"):
        made = rendering(name)
        pair = preference("Hi", "Hello there.", "Bye now.", rejected_ended=False)
        row = encode_preferences(made, [pair], Limit(most=400))[0]
        whole = made.conversations([(*asked("Hi"), Turn("assistant", "Bye now."))])[0]
        assert row.chosen.ids[-1] in (made.stop_ids[0], *made.closing)
        assert made.tokenizer.decode(row.rejected.ids).endswith("Bye now.")
        assert list(row.rejected.ids) == whole.ids[: len(row.rejected.ids)]


def test_stop_ids_of_template_tokenizer_and_model_each_once():
    tokenizer = families.tokenizer("llama3")
    ids = tokenizer.convert_tokens_to_ids(["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"])
    made = of(tokenizer, model_stops=ids)
    assert words(made, made.stop_ids) == ["<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"]


def test_thoughts_are_the_assistants():
    """Qwen3 writes an empty block of thoughts after its generation prompt, and takes old ones
    away."""
    qwen = rendering("qwen3")
    deep = turns(
        ("user", "a"),
        ("assistant", "<think>\nold\n</think>\n\nb"),
        ("user", "c"),
        ("assistant", "<think>\nnew\n</think>\n\nd"),
    )
    rendered = qwen.conversations([deep])[0]
    assert [qwen.tokenizer.decode(rendered.ids[x:y]) for x, y in rendered.answers] == [
        "b<|im_end|>",
        "<think>\nnew\n</think>\n\nd<|im_end|>",
    ]
    assert rendered.ids[: rendered.answers[-1][0]] == qwen.prompt(deep[:3])
    think = qwen.tokenizer.convert_tokens_to_ids("<think>")
    assert rendered.ids.count(think) == 1  # a token of its own, though it stands in a content


def test_a_template_that_rewrites_what_was_asked_is_refused(tokenizer):
    template = "{{ messages[0].content | upper if messages | length > 3 else messages[0].content }}"
    template += "{% for m in messages[1:] %}{{ m.content }}{% endfor %}"
    with pytest.raises(TemplateError, match="^it changes contents, so nothing tells which tokens"):
        of(tokenizer, template).conversations([TWO])


def test_an_answer_that_the_template_rewrites_is_still_the_assistants(tokenizer):
    content = "'g' if m.content == 'c' else m.content"
    template = f"{{% for m in messages %}}{{{{ ' ' + ({content}) }}}}{{% endfor %}}"
    rendered = of(tokenizer, template).conversations([TWO])[0]
    assert tokenizer.decode(rendered.ids) == " a b g d e f<eos>"
    assert [tokenizer.decode(rendered.ids[a:b]) for a, b in rendered.answers] == [
        " g",
        " e f<eos>",
    ]
