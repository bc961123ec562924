import pytest

from rlhf.data.collate import collate_demonstrations, encode_demonstrations
from rlhf.data.conversations import Turn, asked
from rlhf.data.lengths import Limit, LongPrompts
from rlhf.data.records import DataError, Demonstration
from rlhf.data.rendering.spans import TemplateError
from tests.data.rendering import families
from tests.data.rendering.conversations import TWO, of, rendering, turns, words
from tests.data.rendering.families import FAMILIES, Family

# --- ids and masks, by hand: one token a word


def test_our_templates_in_tokens(tokenizer):
    """The tokenizer knows a to h, with a space before each too; <unk> is all else."""
    spoken = of(tokenizer, "transcript").conversations([TWO])[0]
    human = assistant = words(of(tokenizer), tokenizer("Human:\n")["input_ids"])
    gap = words(of(tokenizer), tokenizer("\n\n")["input_ids"])
    a_b, e_f = (words(of(tokenizer), tokenizer(text)["input_ids"]) for text in ("a b", "e f"))
    assert words(of(tokenizer), spoken.ids) == [
        *human, *a_b, *gap, *assistant, "c", "<eos>",
        *gap, *human, "d", *gap, *assistant, *e_f, "<eos>",
    ]  # fmt: skip
    ends = [i for i, token in enumerate(spoken.ids) if token == tokenizer.eos_token_id]
    assert [after - 1 for _, after in spoken.answers] == ends == list(spoken.ends)
    assert [after - first for first, after in spoken.answers] == [2, 3]


def test_the_loss_counts_all_answers_or_the_last(tokenizer):
    row = Demonstration(prompt=TWO[:-1], completion="e f")
    encoded = encode_demonstrations(of(tokenizer, "transcript"), [row], Limit(most=100))
    fill = {"fill": 0, "train_on_prompt": False}
    every = collate_demonstrations(encoded, **fill, turns="all")
    last = collate_demonstrations(encoded, **fill, turns="last")
    decode = of(tokenizer).tokenizer.decode
    assert decode(every.tokens[every.loss_mask]) == "c<eos>e f<eos>"
    assert decode(last.tokens[last.loss_mask]) == "e f<eos>"


def test_batches_are_rendered_as_rows_alone():
    made = rendering("llama3")
    rows = [turns(("user", f"q {i}"), ("assistant", "a" * (i % 7))) for i in range(600)]
    assert made.conversations(rows) == [made.conversations([row])[0] for row in rows]
    prompts = [row[:1] for row in rows]
    assert made.prompts(prompts) == [made.prompt(prompt) for prompt in prompts]


# --- BOS, exactly as the tokenizer has it


@pytest.mark.parametrize("kind", ["bytes", "always", "first", "legacy", "never"])
@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize("text", ["the film", " the film", "\nthe", "a", "é🦜"])
def test_a_plain_prompt_has_the_ids_that_the_tokenizer_gives_it(kind, adds, text):
    tokenizer = families.build(Family(eos="</s>", bos="<s>", kind=kind, adds_bos=adds))
    prompt = of(tokenizer, "plain").prompt(asked(text))
    assert prompt == tokenizer(text)["input_ids"]
    assert prompt.count(tokenizer.bos_token_id) == int(adds)


def test_a_template_that_writes_bos_itself_gets_no_second():
    for name, family in FAMILIES.items():
        if family.bos and name not in ("phi3", "tulu", "zephyr", "llama2"):
            made = rendering(name)
            ids = made.conversations([TWO])[0].ids
            assert ids[0] == made.tokenizer.bos_token_id
            assert ids.count(made.tokenizer.bos_token_id) == 1


def test_a_template_without_bos_gets_none():
    """As `apply_chat_template` does it, also where the tokenizer would add one to a text."""
    zephyr = rendering("zephyr")
    assert zephyr.tokenizer.bos_token_id not in zephyr.conversations([TWO])[0].ids


def test_an_empty_prompt_has_a_token(tokenizer):
    assert of(tokenizer, "plain").prompt(asked("")) == [tokenizer.eos_token_id]
    bos = families.build(Family(eos="</s>", bos="<s>", kind="first", adds_bos=True))
    assert words(of(bos, "plain"), of(bos, "plain").prompt(asked(""))) == ["<s>"]
    rendered = of(tokenizer, "plain").conversations([turns(("user", ""), ("assistant", "a"))])[0]
    assert tokenizer.decode(rendered.ids) == "<eos>a<eos>" and rendered.answers == ((1, 3),)


# --- refusals


def test_a_template_that_refuses_names_the_row():
    rows = [
        Demonstration(prompt=asked("a"), completion="b"),
        Demonstration(prompt=(Turn("system", "s"), *asked("a")), completion="b"),
    ]
    long = LongPrompts(place=lambda prompt: f"d.jsonl:{len(prompt)}")
    with pytest.raises(DataError) as caught:
        encode_demonstrations(rendering("gemma"), rows, Limit(most=100, long=long))
    assert caught.value.faults == [
        "d.jsonl:2: data.template=model refuses it: System role not supported"
    ]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a\n{% for %}", "data.template=mine.jinja: line 2: "),
        ("{{ messages[0].content + 1 }}", "data.template=mine.jinja: can only concatenate str"),
        ("{{ nobody.name }}", "data.template=mine.jinja: 'nobody' is undefined"),
        ("{{ messages[0].content }}{% if 0 %}", "data.template=mine.jinja: line 1: "),
        ("{{ messages[0].content }}", "data.template=mine.jinja: it leaves out turn 2, the assis"),
    ],
)
def test_templates_that_cannot_be_used(template, reason, tokenizer):
    with pytest.raises(DataError) as caught:
        of(tokenizer, template)
    assert str(caught.value).startswith(reason)


def test_plain_takes_one_question_and_says_so(tokenizer):
    with pytest.raises(TemplateError, match="has user, assistant, user, assistant: set data.templ"):
        of(tokenizer, "plain").conversations([TWO])


def test_a_tokenizer_without_eos(tokenizer):
    from rlhf.data.tokenizers import word_level

    without = word_level(["a"])
    without.eos_token = None
    with pytest.raises(DataError, match="^the tokenizer has no EOS token"):
        of(without, "plain")
