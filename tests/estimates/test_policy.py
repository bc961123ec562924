"""The same llama as in `test_memory`."""

from rlhf.estimates import policy
from rlhf.estimates.memory import Network, Training
from rlhf.estimates.passes import HEAP, Pass, Precision, Rows
from tests.estimates.test_memory import ACTIVATIONS, FROZEN, PLAIN, ROWS, SHAPE, WHOLE, sizes


def ppo(networks, training=PLAIN, rollout=ROWS, values=True, judged=True, **more):
    return policy.ppo(
        SHAPE,
        networks,
        training,
        update=ROWS,
        drawn=[(rollout, "ppo.rollout_size"), (ROWS, "evaluation.prompts")],
        values=values,
        judged=judged,
        **more,
    )


def test_ppo_has_four_networks():
    """Policy and value model are trained, and their passes live at once."""
    value = Network(trained=380, added=4)
    peak = ppo([WHOLE, value, FROZEN, FROZEN])
    assert sizes(peak) == {
        "weights that are trained": 3040,
        "adapters and heads that are trained": 16,
        "the optimizer's moments": 2 * (3040 + 16),
        "weights that are frozen": 3040,
        "activations": 2 * ACTIVATIONS,
        "gradients": 160,
        "logits": 240,
    }
    assert peak.mapped == 0  # on a GPU nothing is
    assert ppo([WHOLE, value, FROZEN, FROZEN], Training()).mapped == 3040
    assert sizes(ppo([WHOLE, FROZEN], values=False))["activations"] == ACTIVATIONS


def test_ppo_with_adapters_on_one_network():
    """The network once. In 16 bits: 760 bytes, and of a token in a layer 8 + 3 * 4 (what q, k, v
    read) + 4 + 2 * 4 + 8 = 40 numbers of 32 bits and 8 + 16 + 32 = 56 of 16."""
    every = frozenset({"q", "k", "v", "o", "gate", "up", "down"})
    half = Precision(weight=2, narrow=2)
    how = Training(how=Pass(on_gpu=True, adapted=every, precision=half))
    policy, value = Network(frozen=380, added=100), Network(added=104)
    peak = ppo([policy, value, Network(read=104)], how)
    assert sizes(peak) == {
        "adapters and heads that are trained": 4 * 204,
        "the optimizer's moments": 8 * 204,
        "weights that are frozen": 760,
        "adapters and heads that are frozen": 4 * 104,
        "activations": 2 * 15 * (2 * (4 * 40 + 2 * 56) + 48),
        "logits": 240,
    }


def test_a_large_rollout_is_the_peak():
    """Its cache 4 * 5000 * 3 * 8 = 480,000 (a layer's is there twice) and a token's logits 5 * 4 *
    1000 * 10 = 200,000; of 100 at a time a tenth."""
    rollout = Rows(count=1000, tokens=5, response=2)
    peak = ppo([WHOLE, FROZEN], rollout=rollout, values=False)
    assert sizes(peak)["the reward model's reading"] == 4 * 5000 * 40
    peak = ppo([WHOLE, FROZEN], rollout=rollout, values=False, judged=False)
    assert sizes(peak)["keys and values"] == 480_000
    assert sizes(peak)["logits of a token"] == 200_000
    prompt, response = "generation.max_prompt_tokens", "data.max_response_tokens"
    keys = ("generation.micro_batch_size", "ppo.rollout_size", prompt, response)
    assert peak.largest(1)[0].settings == keys
    few = Training(how=PLAIN.how, reads=100)
    peak = ppo([WHOLE, FROZEN], few, rollout=rollout, values=False, judged=False)
    assert sizes(peak)["keys and values"] == 48_000


def test_two_networks_logits_are_of_half_the_rows():
    """Of 3 rows with 6 tokens that count one with 2; two copies while it trains, with the gradients
    of all weights, as a step has several passes."""
    assert [Rows(count=n, tokens=5, response=2).shared_by(2).count for n in (1, 5)] == [1, 2]
    exact = Training(how=PLAIN.how, logits=2)
    peak = ppo([WHOLE, FROZEN], exact, values=False, judged=False)
    assert sizes(peak)["logits"] == 2 * 4 * 2 * 10
    assert sizes(peak)["gradients"] == 1520
    assert sizes(peak)["activations"] == ACTIVATIONS / 3


def test_demonstrations_are_read_beside_the_responses():
    """A second pass on 3 rows of 4 tokens, all of which count: 12 times 288 bytes in each of 2
    layers and 96 on the way back, and 12 positions of 10 words."""
    rows = Rows(count=3, tokens=4, response=4)
    alone = ppo([WHOLE, FROZEN], values=False, judged=False)
    peak = ppo([WHOLE, FROZEN], values=False, judged=False, demonstrations=rows)
    more = {
        "activations of demonstrations": 12 * (2 * 288 + 96),
        "logits of demonstrations": 4 * 12 * 10,
    }
    assert sizes(peak) == {**sizes(alone), **more}
    one = Training(how=PLAIN.how, micro=1)
    peak = ppo([WHOLE, FROZEN], one, values=False, judged=False, demonstrations=rows)
    assert sizes(peak)["activations of demonstrations"] == 4 * (2 * 288 + 96)
    assert sizes(peak)["logits of demonstrations"] == 160


def test_an_older_policy_that_draws_is_kept():
    """Its weights stay in main memory; the newer one's are put aside while a rollout is drawn, not
    in an update."""
    how = {"values": False, "judged": False, "draws_older": True}
    assert sizes(ppo([WHOLE, FROZEN], **how)) == sizes(
        ppo([WHOLE, FROZEN], values=False, judged=False)
    )  # on a GPU, in an update
    cpu = sizes(ppo([WHOLE, FROZEN], Training(), **how))
    assert cpu["weights of the older policy"] == 1520
    assert "weights of the newer policy" not in cpu
    assert cpu["activations"] == HEAP * ACTIVATIONS
    rollout = Rows(count=1000, tokens=5, response=2)
    drawn = sizes(ppo([WHOLE, FROZEN], rollout=rollout, **how))
    assert drawn["weights of the newer policy"] == 1520
    assert drawn["keys and values"] == 480_000
    lora = Network(frozen=380, added=100)
    drawn = sizes(ppo([lora, FROZEN], Training(), rollout=rollout, **how))
    assert drawn["weights of the older policy"] == drawn["weights of the newer policy"] == 400
