"""Templates of many families: their ids, where their answers are, what ends them."""

import pytest

from rlhf.data.rendering.choice import choose
from rlhf.data.rendering.rendering import Rendering
from rlhf.data.rendering.spans import TemplateError
from tests.data.rendering import families
from tests.data.rendering.conversations import PLAIN, SYSTEM, TOOL, allowed
from tests.data.rendering.families import FAMILIES

# between the generation prompt and an answer
LEADS = {
    "llama2": " ",
    "mistral": " ",
    "deepseek": " ",
    "vicuna": " ",
    "falcon": " ",
    "qwen3": "<think>\n\n</think>\n\n",
    "harmony": "<|channel|>final<|message|>",
}


@pytest.fixture(scope="module", params=FAMILIES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def rendering(name):
    tokenizer = families.tokenizer(name)
    return Rendering(
        tokenizer=tokenizer,
        template=choose("auto", tokenizer, continues=False),
        model_stops=[tokenizer.convert_tokens_to_ids(t) for t in FAMILIES[name].model_eos],
    )


def test_what_ends_an_answer_and_what_is_written_after_it(name, rendering):
    family, tokenizer = FAMILIES[name], rendering.tokenizer
    stops = tokenizer.convert_ids_to_tokens(rendering.stop_ids)
    assert stops[0] == family.stop
    assert set(stops) == {family.stop, family.eos, *family.model_eos}
    assert len(stops) == len(set(stops))
    assert tokenizer.decode(rendering.closing) == family.after


def own_ids(rendering, turns, *, ask=False, sanitize=False):
    return rendering.tokenizer.apply_chat_template(
        [turn._asdict() for turn in turns],
        chat_template=rendering.template.text,
        add_generation_prompt=ask,
        sanitize_control_tokens=sanitize,
        return_dict=False,
    )


def test_ids_are_those_of_the_models_own_template(name, rendering):
    every = allowed(FAMILIES[name])
    for key, rendered in zip(every, rendering.conversations([*every.values()]), strict=True):
        sanitize = key == "spelled"
        assert rendered.ids == own_ids(rendering, every[key], sanitize=sanitize), key
        asked = every[key][:-1]
        assert rendering.prompt(asked) == own_ids(rendering, asked, ask=True, sanitize=sanitize)


def test_answers_begin_where_the_prompt_ends_and_hold_their_stop_token(name, rendering):
    """The policy is asked with the very ids that stand before the answer in training."""
    decode = rendering.tokenizer.decode
    for key in ("one", "several", "system", "spelled"):
        if key not in allowed(FAMILIES[name]):
            continue
        turns = allowed(FAMILIES[name])[key]
        rendered = rendering.conversations([turns])[0]
        (first, after), end = rendered.answers[-1], rendered.ends[-1]
        asked = rendering.prompt(turns[:-1])
        opened = rendering.tokenizer("<think>\n")["input_ids"] if name == "deepseek_r1" else []
        assert [*rendered.ids[:first], *opened[-2:]] == asked
        assert rendered.ids[after - 1] == rendering.stop_ids[0]
        assert rendered.ids[after:] == list(rendering.closing)
        blank = " " if name == "llama2" else ""  # it writes one before </s>
        lead = LEADS.get(name, "")
        content = decode([rendering.stop_ids[0], *rendered.ids[first:end]])
        assert content == FAMILIES[name].stop + lead + turns[-1].content
        assert decode(rendered.ids[end:after]).strip() == FAMILIES[name].stop
        assert decode(rendered.ids[end:after]) in (FAMILIES[name].stop, blank + FAMILIES[name].stop)


def test_every_answer_is_the_assistants(name, rendering):
    """Several answers: each is found, in order, with nothing of the user's between."""
    rendered = rendering.conversations([PLAIN["several"]])[0]
    texts = [rendering.tokenizer.decode(rendered.ids[a:b]) for a, b in rendered.answers]
    assert len(texts) == 2
    assert "Hello." in texts[0] and "Well, thank you." in texts[1]
    assert not any(word in "".join(texts) for word in ("Hi", "And", "user", "USER", "assistant"))


def test_a_turn_that_a_template_cannot_write_is_refused(name, rendering):
    roles = FAMILIES[name].roles
    for role, turns in (("system", SYSTEM), ("tool", TOOL)):
        if role in roles or (name, role) == ("vicuna", "tool"):  # it takes tools for the assistant
            continue
        with pytest.raises(TemplateError, match=f"the {role}'s|alternate|not supported"):
            rendering.conversations([turns])
        with pytest.raises(TemplateError, match=f"the {role}'s|alternate|not supported"):
            rendering.prompt(turns[:3])


def test_a_response_is_read_as_the_content_that_the_template_would_write(name, rendering):
    """Content to ids to content, as responses are read for judges and pairs are made of them."""
    import torch

    from rlhf.rollout.engines.base import Stops, decode
    from rlhf.types import PromptBatch, Rollout

    stops = Stops(
        ids=rendering.stop_ids,
        closing=rendering.closing,
        lead=rendering.lead,
        anchor=rendering.anchor,
    )
    turns = PLAIN["one"]
    rendered = rendering.conversations([turns])[0]
    first, after = rendered.answers[-1]
    tokens = torch.tensor([rendered.ids[first:after]])
    mask = torch.ones_like(tokens, dtype=torch.bool)
    rollout = Rollout(
        prompt=PromptBatch(tokens=tokens, mask=mask, prompts=()),
        tokens=tokens,
        mask=mask,
        logp=mask.float(),
        ended=mask[:, 0],
    )
    text = decode(rollout, rendering.tokenizer, stops)[0]
    assert text == turns[-1].content + (" " if name == "llama2" else "")


def test_no_template_writes_todays_date(name, rendering):
    assert "2026" not in rendering.tokenizer.decode(rendering.prompt(PLAIN["one"][:1]))
