"""A config's own numbers, worked by hand."""

from dataclasses import replace

import pytest

from rlhf.at_once import rounded
from rlhf.config.compose import compose, validate
from rlhf.estimates import memory
from rlhf.estimates.passes import HEAP, HEAP_BESIDE_ADAPTERS, Pass, Rows, activations
from rlhf.estimates.peaks import exact_in_loss, peaks, training
from rlhf.estimates.plan import Estimate
from rlhf.estimates.rows import DataSize, PartSize
from rlhf.estimates.shape import shape_of
from rlhf.estimates.time import seconds
from tests.estimates.test_shape import SMOLLM2, TINY

SHAPE = shape_of(TINY)  # 380 parameters
# texts of 40 and prompts of 16 characters: 10 and 4 tokens
TEXTS = PartSize(train=100, heldout=10, longest=60, mean=40.0)
PROMPTS = PartSize(train=50, heldout=5, longest=30, mean=16.0)
DATA = DataSize(demonstrations=TEXTS, preferences=TEXTS, prompts=PROMPTS)
SETTINGS = (
    *("sft.epochs=2", "reward_model.epochs=1", "reward_model.normalize=false"),
    *("ppo.iterations=7", "ppo.rollout_size=20", "ppo.minibatch_size=10", "ppo.inner_epochs=2"),
    *("evaluation.every=3", "evaluation.prompts=4", "best_of_n.samples=8", "best_of_n.prompts=3"),
    "generation.max_new_tokens=6",
)


def estimate(*overrides, data=DATA, shape=SHAPE):
    return Estimate(cfg=validate(compose([*SETTINGS, *overrides])), shape=shape, data=data)


def test_responses():
    """7 rollouts of 20; evaluations before the first and after iterations 3, 6 and 7."""
    assert estimate().responses == {"training": 140, "evaluations": 16, "best of n": 24}
    tempered = estimate("generation.temperature=0.7").responses
    assert tempered["evaluations"] == 32  # at temperature 1 too
    more = estimate("reward_model.normalize=true", "reward_model.normalize_samples=9")
    assert more.responses["normalisation"] == 9
    pairs = estimate("data.pairs=30", data=DataSize(demonstrations=TEXTS, prompts=PROMPTS))
    assert pairs.responses["pairs"] == 2 * (30 + 3)
    assert estimate("stage=sft").responses == {}
    mixed = ("realign=default", "realign.lambdas=[0,1,2]", "realign.samples=5")
    assert estimate(*mixed).responses["realign"] == 3 * 2 * 4 * 5
    assert estimate(*mixed, "realign.by=[weights]").responses["realign"] == 3 * 4 * 5


def test_responses_of_a_path_are_the_most_that_there_can_be():
    """3 points of 7 rollouts and 2 of the warm-up: 23 of 20 responses; evaluations before the
    first, after iterations 3, 6, ... 21 and, wherever they end, after each of the 3 points."""
    path = ("kl/controller=path", "kl.controller.points=3", "ppo.critic_warmup=2")
    counts = estimate(*path).responses
    assert counts["training"] == 23 * 20
    assert counts["evaluations"] == (1 + 7 + 3) * 4
    assert estimate(*path, "evaluation.every=1").responses["evaluations"] == (1 + 23) * 4


def test_operations():
    """SFT: 380 * 10 a text, 6 * 2 * 100 learned and 2 * 3 * 10 held out. The reward model: two
    texts a pair, 6 * 100 and 2 * 2 * 10. PPO: 380 * (4 + 6) a response; 140 are drawn and read by
    four networks and learned from by two, twice; 40 are drawn and read by three."""
    operations = estimate().operations
    assert operations["sft"] == 3800 * (1200 + 60)
    assert operations["reward_model"] == 7600 * (600 + 40)
    assert operations["ppo"] == 3800 * (2 * (140 * 5 + 40 * 4) + 6 * 140 * 2 * 2)
    best = estimate("algorithm=best_of_n", "ppo.responses_per_prompt=4").operations
    assert best["ppo"] == 3800 * (2 * (140 * 4 + 40 * 4) + 6 * 35 * 2)
    assert estimate(data=DataSize()).operations == {}
    drawn = estimate("sft.max_rows=30", "reward_model.max_rows=1000").operations
    assert drawn["sft"] == 3800 * (6 * 2 * 30 + 60)
    assert drawn["reward_model"] == operations["reward_model"]
    head = estimate("reward_model.trained=head", "reward_model.epochs=9").operations
    assert head["reward_model"] == 7600 * 2 * (100 + 10)  # read once, whatever the epochs


def test_an_algorithm_that_learns_from_pairs_draws_none():
    """DPO: the reference reads both texts of 100 pairs, the policy learns from 20 a time, 7 times,
    twice; 40 responses are drawn and read by three. A step has 20 texts, a micro-batch of 2 pairs
    4 of them."""
    dpo = estimate("algorithm=dpo", "ppo.micro_batch_size=2")
    assert dpo.responses == {"evaluations": 16, "best of n": 24}
    assert dpo.operations["ppo"] == 3800 * 2 * 40 * 4 + 7600 * (2 * 100 + 6 * 7 * 20 * 2)
    few, many = (
        estimate("algorithm=dpo", f"ppo.micro_batch_size={size}", "reward_model.max_length=4000")
        for size in (1, 10)
    )
    assert peaks(few)[-1].size <= peaks(many)[-1].size
    alone = estimate("algorithm=dpo", "scorer=gold").operations["ppo"]
    assert alone == dpo.operations["ppo"] - 3800 * 2 * 40


def test_seconds_are_a_range():
    assert seconds(1e13, 1e11) == pytest.approx((125.0, 500.0))


# activations of a token: 288 bytes in each of 2 layers, 96 on the way back, and the heap's share
TOKEN = HEAP * (2 * 288 + 96)


def sizes_of(peak):
    return {term.name: term.size for term in peak.terms}


def texts(count):
    """Tokens of so many texts of 40 / 3 on average and 20 at most."""
    return count * 40 / 3 + count**0.5 * 20 / 3


def test_peaks_follow_the_rows():
    """Texts of 60 characters are at most 20 tokens, prompts of 30 at most 10, on average 16 / 3;
    responses are of 6."""
    sft, reward_model, ppo = map(sizes_of, peaks(estimate()))
    assert sft["activations"] == pytest.approx(texts(64) * TOKEN)
    assert sft["logits"] == pytest.approx(4 * texts(64) * 10)
    assert reward_model["activations"] == pytest.approx(texts(128) * TOKEN)
    drawn, beyond = 16 / 3 + 6, 10 - 16 / 3
    assert ppo["activations"] == pytest.approx(2 * (10 * drawn + 10**0.5 * beyond) * TOKEN)
    assert ppo["logits"] == pytest.approx(4 * 10 * 6 * 10)  # of responses all that may be there
    half = sizes_of(peaks(estimate("ppo.micro_batch_size=5"))[2])
    assert half["activations"] == pytest.approx(2 * (5 * drawn + 5**0.5 * beyond) * TOKEN)
    # they are held from pass to pass: policy and value model, and its head of 4
    assert half["gradients"] == HEAP * (2 * 1520 + 16)


def test_data_that_nobody_has_read_count_as_the_longest():
    sft, *_ = peaks(estimate(data=DataSize()))
    assert {t.name: t.size for t in sft.terms}["activations"] == pytest.approx(64 * 64 * TOKEN)


def test_a_batch_has_no_more_rows_than_there_are():
    sft, *_ = peaks(estimate("sft.batch_size=1000"))
    assert {t.name: t.size for t in sft.terms}["activations"] == pytest.approx(texts(100) * TOKEN)


def test_a_stage_that_is_given_needs_nothing():
    """Neither memory nor time nor responses; PPO has its models all the same."""
    given = ("sft=none", "reward_model.path=some/model", "reward_model.normalize=auto")
    it = estimate(*given)
    assert [peak.stage for peak in peaks(it)] == ["ppo"]
    assert [*it.operations] == ["ppo"]
    assert [*it.responses] == ["training", "evaluations", "best of n"]


def test_a_part_that_is_trained():
    """One layer of two, of a batch of 64 pairs."""
    sft, reward_model, _ = peaks(estimate("sft.trained=last:1", "reward_model.trained=head"))
    assert sizes_of(sft)["weights that are trained"] == 4 * 170
    assert sizes_of(sft)["weights that are frozen"] == 4 * 210
    assert sizes_of(sft)["activations"] == pytest.approx(texts(64) * HEAP * (288 + 96))
    head = sizes_of(reward_model)
    assert head["adapters and heads that are trained"] == 4 * 4
    assert head["weights that are frozen"] == 1520


def adapted(*overrides):
    """SFT, reward model and PPO with adapters of rank 2: q, k, v, o 4 + 4, gate, up, down 4 + 8, in
    2 layers 2 * 2 * (4 * 8 + 3 * 12) = 272 numbers."""
    return map(sizes_of, peaks(estimate("model/adapter=lora", "adapter.r=2", *overrides)))


def test_adapters_beside_frozen_weights():
    """A token's activations without what norms divided: 256 bytes in each of 2 layers."""
    sft, reward_model, ppo = adapted()
    assert sft["adapters and heads that are trained"] == 4 * 272
    assert sft["the optimizer's moments"] == 8 * 272
    assert sft["weights that are frozen"] == 1520
    a_token = HEAP_BESIDE_ADAPTERS * (2 * 256 + 96)
    assert sft["activations"] == pytest.approx(texts(64) * a_token)
    assert reward_model["adapters and heads that are trained"] == 4 * (272 + 4)
    # policy and value model; the frozen network once; SFT's adapter and the reward model
    assert ppo["adapters and heads that are trained"] == 4 * (272 + 276)
    assert ppo["weights that are frozen"] == 1520
    assert ppo["adapters and heads that are frozen"] == 4 * (272 + 276)


def test_adapters_on_networks_of_their_own():
    """Policy, value model and reward model: three networks; the reference is the policy's."""
    *_, ppo = adapted("model/sharing=separate")
    assert ppo["weights that are frozen"] == 3 * 1520
    assert ppo["adapters and heads that are trained"] == 4 * (272 + 276)


def test_heads_beside_a_policy_with_an_adapter():
    *_, ppo = map(sizes_of, peaks(estimate("model/adapter=head", "adapter.r=2")))
    assert ppo["adapters and heads that are trained"] == 4 * (272 + 4)
    assert ppo["adapters and heads that are frozen"] == 4 * (272 + 4)
    assert ppo["weights that are frozen"] == 1520


def test_rows_and_layers_that_are_trained_decide_the_work():
    """3800 a text of 10 tokens. Of 30 rows: 6 * 2 * 30 and 2 * 3 * 10. Of one layer, 170 of 380
    parameters, a row costs 2 + 4 * 170 / 380. A head alone reads 100 and 10 pairs once."""
    assert estimate("sft.max_rows=30").operations["sft"] == 3800 * (360 + 60)
    one = estimate("sft.trained=last:1").operations["sft"]
    assert one == pytest.approx(3800 * ((2 + 4 * 170 / 380) * 200 + 60))
    head = estimate("reward_model.trained=head", "reward_model.epochs=50").operations
    assert head["reward_model"] == 7600 * 2 * (100 + 10)
    twice = replace(TEXTS, texts=90)  # texts that differ, of 220
    head = estimate("reward_model.trained=head", data=replace(DATA, preferences=twice))
    assert head.operations["reward_model"] == 3800 * 2 * 90
    few = peaks(estimate("sft.batch_size=1000", "sft.max_rows=30"))[0]
    assert {t.name: t.size for t in few.terms}["activations"] == pytest.approx(texts(30) * TOKEN)


def test_prompts_are_no_longer_than_their_limit():
    """10 tokens of 30 characters; 7 are allowed."""
    assert estimate().drawn(1).tokens == 10 + 6
    assert estimate("generation.max_prompt_tokens=7").drawn(1).tokens == 7 + 6
    assert estimate("generation.max_prompt_tokens=7").a_response == 380 * (4 + 6)
    assert estimate("generation.max_prompt_tokens=3").a_response == 380 * (3 + 6)


def test_all_members_of_an_ensemble_count():
    """Two frozen policies' worth more, as much more training, and two more reads a response."""
    one, three = estimate(), estimate("scorer=ensemble", "scorer.members=3")
    sizes = [{t.name: t.size for t in peaks(it)[2].terms} for it in (one, three)]
    key = "weights that are frozen"
    assert sizes[1][key] - sizes[0][key] == 2 * 1520
    assert three.operations["reward_model"] == 3 * one.operations["reward_model"]
    assert three.operations["ppo"] - one.operations["ppo"] == 3800 * 2 * 2 * (140 + 40)


def test_optimizers_and_networks():
    sgd = peaks(estimate("optimizer@sft.optimizer=sgd", "stage=sft"))[0]
    assert {t.name: t.size for t in sgd.terms}["the optimizer's moments"] == 1520  # momentum
    plain = peaks(estimate("optimizer@sft.optimizer=sgd", "sft.optimizer.momentum=0.0"))[0]
    assert {t.name: t.size for t in plain.terms}["the optimizer's moments"] == 0
    moving = peaks(estimate("kl/reference=ema"))[2]
    assert {t.name: t.size for t in moving.terms}["weights that are frozen"] == 3 * 1520


def test_what_model_hf_brings_fits_smollm2_in_16_gb():
    cfg = validate(compose(["model=hf", "model.path=some/model"]))
    every = peaks(Estimate(cfg=cfg, shape=shape_of(SMOLLM2), data=DataSize()))
    assert [peak.stage for peak in every] == ["sft", "reward_model", "ppo"]
    assert max(peak.size for peak in every) < 16e9


def test_what_is_kept_of_adapters():
    """Of SmolLM2-135M, 134.5 million: 4,884,480 numbers of rank 16, in 32 bits."""
    it = estimate("model/adapter=lora", shape=shape_of(SMOLLM2))
    assert it.adapter == it.policy == 4 * 4_884_480
    whole = estimate(shape=shape_of(SMOLLM2))
    assert (whole.adapter, whole.policy) == (0, whole.weights)


HF = (
    *("model=hf", "model.path=some/model", "reward_model.normalize=true"),
    "ppo.micro_batch_size=null",
)


def frozen(stage, *overrides):
    it = estimate(*HF, *overrides, shape=shape_of(SMOLLM2))
    (peak,) = [peak for peak in peaks(it) if peak.stage == stage]
    return next(term.size for term in peak.terms if term.name == "weights that are frozen")


def test_frozen_weights_by_their_type():
    """134,515,008 of them, of which 49,152 * 576 are the embedding, which has 16 bits beside layers
    of 4: 4.13 bits with their scales."""
    n, embedding = 134_515_008, 49_152 * 576
    for adapter in ("model/adapter=lora", "model/adapter=head"):
        for stage in ("sft", "reward_model"):
            assert frozen(stage, adapter) == 4 * n
            assert frozen(stage, adapter, "model.dtype=bfloat16") == 2 * n
    four = frozen("sft", "model/adapter=lora", "model.dtype=4bit", "trainer=gpu")
    assert four == pytest.approx(4.13 / 8 * (n - embedding) + 2 * embedding)


def test_random_numbers_are_drawn_for_all_rows():
    """Of 20 responses 5 at a time: 5 copies of 5 rows over 7 tokens, and 15 rows of numbers."""
    it = estimate("generation.micro_batch_size=5", data=DATA)
    vocabulary = SHAPE.vocabulary
    rows = it.drawn(20)
    terms = memory.drawing(SHAPE, rows, training(it, it.cfg.ppo, rows, rows), ())
    (logits,) = [term.size for term in terms if term.name == "logits of a token"]
    assert logits == 4 * vocabulary * (5 * 5 + 15)


def test_an_exact_kl_in_the_loss_has_the_references_logits_beside_the_policys():
    exact = peaks(estimate("kl/estimator=exact", "kl/placement=both"))[-1]
    logits = {term.name: term.size for term in exact.terms}["logits"]
    one = peaks(estimate("ppo.minibatch_size=10"))[-1]
    assert logits == {term.name: term.size for term in one.terms}["logits"]


def test_graphs_keep_the_keys_and_values_of_what_is_drawn():
    """On a GPU: of the most rows and slots, rounded up, and of one layer more; five copies of a
    token's logits. Another engine keeps none, nor does a CPU."""
    words = ("ppo.rollout_size=40", "evaluation.prompts=20", "ppo.minibatch_size=40")
    name, settings = "keys and values that CUDA graphs keep", ("generation.max_new_tokens=32",)

    def sizes(*more):
        made = estimate(*words, *settings, *more)
        return made, sizes_of(next(peak for peak in peaks(made) if peak.stage == "ppo"))

    made, kept = sizes("trainer=gpu", "generation.graphs=true")
    slots = rounded(made.prompt + 32, 64)
    keys = 48 * slots * (SHAPE.layers + 1) * SHAPE.kv_width * 4  # 40 rows are in a shape of 48
    assert kept[name] == keys + 5 * 48 * SHAPE.vocabulary * 4
    for other in ("generation.graphs=false", "generation.engine=hf"):
        assert name not in sizes("trainer=gpu", other)[1]
    assert name not in sizes("generation.graphs=true")[1]


def test_the_references_logits_stay_beside_the_policys_where_the_loss_reads_them():
    lines = {"algorithm=quark": True, "kl=exact": True, "algorithm=ppo": False}
    assert {line: exact_in_loss(validate(compose([line]))) for line in lines} == lines


def test_what_an_algorithm_keeps_and_reads_beside():
    """PPO-ptx learns 20 demonstrations of up to 20 tokens in a step of 20 responses; best of n the
    best of 4 responses to each of 5 prompts in one step."""

    def terms(*words):
        it = estimate("ppo.responses_per_prompt=4", "ppo.minibatch_size=20", *words)
        return {term.name: term.size for term in peaks(it)[-1].terms}

    ptx, plain = terms("algorithm=ppo_ptx"), terms("algorithm=ppo")
    rows = Rows(count=20, tokens=20, response=20, mean=20 * 40 / 60)
    assert ptx["activations of demonstrations"] == activations(SHAPE, rows, Pass())
    assert set(ptx) - set(plain) == {"activations of demonstrations", "logits of demonstrations"}
    best = terms("algorithm=best_of_n", "advantage=none")
    assert best["weights of the older policy"] == 4 * SHAPE.parameters
    assert best["activations"] == activations(SHAPE, estimate().drawn(5), Pass())
