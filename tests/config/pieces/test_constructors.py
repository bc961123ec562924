"""What the constructor of a piece refuses, the check of the config refuses: all pieces, their
fields at values where rules change."""

from itertools import combinations, product
from typing import Any, get_args, get_origin

import pytest
import torch

from rlhf.config.build import build
from rlhf.config.compose import compose
from rlhf.config.pieces.algorithm import Algorithm
from rlhf.config.pieces.base import BY_ADDRESS, members_of
from rlhf.config.pieces.callbacks import CALLBACKS
from rlhf.config.validate import examine

TINY, HUGE, INF, NAN = 5e-324, 1e308, float("inf"), float("nan")
NUMBERS = (-1.0, 0.0, TINY, 0.2, 1.0, 4.99, 5.0, 6.0, 20.0, HUGE, INF, NAN)
EDGES = (0.0, TINY, 5.0, HUGE)  # of two numbers together
WHOLE = (-1, 0, 1, 2, 3, 12, 26, 27, 257, 258)
PIECES = sorted(set(BY_ADDRESS.values()), key=lambda piece: piece.addresses[0])
# the piece's group by the package of its class, and what the constructor gets beside its arguments
PLACES = {
    "rlhf.kl.controller": "kl.controller",
    "rlhf.kl.path": "kl.controller",
    "rlhf.kl.estimator": "kl.estimator",
    "rlhf.kl.placement": "kl.placement",
    "rlhf.kl.reference": "kl.reference",
    "rlhf.modules.trust_region": "trust_region",
    "rlhf.modules.advantage": "advantage",
    "rlhf.rollout.score": "scorer",
    "rlhf.rewards": "scorer",
    "rlhf.annotators": "annotator",
    "rlhf.data.sources": "data",
    "rlhf.models.load": "model",
    "rlhf.tracking": "tracking",
    "torch.optim": "ppo.optimizer",
}
# asks for a function or a model's files: tests/rewards; of a package that is not installed with
# this one, its arguments those of AdamW
WITHOUT = {"FunctionScorer", "ClassifierScorer", "AdamW8bit"}
WITHOUT |= {"ClassifierAnnotator", "JudgeAnnotator"}  # tests/annotators


def place_of(piece):
    address = piece.addresses[0]
    return next((place for start, place in PLACES.items() if address.startswith(start)), None)


# of algorithms, which are made of live objects
ALGORITHMS = [*members_of(get_args(Algorithm)[0]).values()]
WALKED = [p for p in PIECES if p.__name__ not in WITHOUT and p not in (*CALLBACKS, *ALGORITHMS)]


def test_the_walk_sees_every_piece():
    assert all(place_of(piece) for piece in WALKED)
    assert len(WALKED) >= 35


def values_of(annotation: Any) -> tuple[Any, ...]:
    """Values of a field's type at and beyond its limits, wrong kinds among them."""
    if get_origin(annotation) is not None and hasattr(annotation, "__metadata__"):
        return values_of(get_args(annotation)[0])
    names = str(annotation)
    if "Literal" in names:
        literals = [a for a in get_args(annotation) if isinstance(a, str)]
        return (*literals, "nonsense", None)
    if "tuple" in names:
        return ((0.9, 0.99), (0.0, 0.0), (1.0, 0.9), (-0.1, 0.9), (NAN, 0.9))
    if annotation is bool:
        return (True, False)
    if annotation is int:
        return WHOLE
    if "float" in names:
        return (*NUMBERS, None) if "None" in names else NUMBERS
    return ("", "text", None)


def cases(piece, base):
    """Arguments with one field or two at such values; the others as they stand in conf/."""
    fields = {n: f.annotation for n, f in piece.model_fields.items() if n != "class_path"}
    choices = {name: values_of(annotation) for name, annotation in fields.items()}
    if place_of(piece) == "kl.controller":
        choices |= {"kl.coef": (0.0, TINY, 0.05, 20.0, HUGE)}
    for name, values in choices.items():
        yield from ({**base, name: value} for value in values)
    numeric = [n for n in choices if n == "kl.coef" or "float" in str(fields[n])]
    for a, b in combinations(numeric, 2):
        for one, two in product(EDGES, EDGES):
            yield {**base, a: one, b: two}
    yield {**base, **{name: 0.0 for name in numeric if name in ("kp", "ki", "kd")}}


def refusal(piece, arguments, plain):
    """The constructor's sentence, or that of a controller which cannot take the run's rollouts."""
    own = {k: v for k, v in arguments.items() if k != "kl.coef"}
    live: dict[str, Any] = {}
    if place_of(piece) == "kl.controller":
        live = {"coef": arguments.get("kl.coef", plain["kl"]["coef"])}
        if piece.name == "path":
            live["iterations"] = plain["ppo"]["iterations"]
    if place_of(piece) == "ppo.optimizer":
        live = {"params": [torch.nn.Parameter(torch.zeros(1))]}
    try:
        built = build({"_target_": piece.addresses[0], **own}, **live)
        if hasattr(built, "check_episodes"):
            built.check_episodes(plain["ppo"]["rollout_size"])
        if hasattr(built, "update") and place_of(piece) == "kl.controller":
            built.update(3.0, plain["ppo"]["rollout_size"], unit=built.unit)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def with_piece(plain, piece, arguments):
    """The config with the piece in its place."""
    *parents, last = place_of(piece).split(".")
    config = {**plain}
    node = config
    for parent in parents:
        node[parent] = {**node[parent]}
        node = node[parent]
    own = {k: v for k, v in arguments.items() if k != "kl.coef"}
    node[last] = {"_target_": piece.addresses[0], **own}
    if "kl.coef" in arguments:
        config["kl"] = {**config["kl"], "coef": arguments["kl.coef"]}
    return config


@pytest.fixture(scope="module")
def plain():
    """By the options that are chosen: a config that is right."""
    from omegaconf import OmegaConf

    kept: dict[str, Any] = {}

    def of(*lines):
        if lines not in kept:
            kept[lines] = OmegaConf.to_container(compose(lines), resolve=True)
        return kept[lines]

    return of


CHOICES = {
    "annotator": {
        "pool": ["+annotator@annotator.members.strict=gold"],
        "openai": ["annotator.model=m"],
    },
    "kl.estimator": {"exact": ["kl/placement=both"]},
    "kl.placement": {
        "both": ["kl/estimator=exact"],
        "loss": ["kl/estimator=k3"],
        "loss_without_ratio": ["kl/estimator=k3"],
        "sequence_loss": ["kl/estimator=k2"],
    },
    "advantage": {
        **{name: ["ppo.responses_per_prompt=2"] for name in ("rloo", "grpo")},
        "none": ["algorithm=dpo"],
    },
    "data": {"files": ["data.demonstrations=demos.jsonl", "data.preferences=pairs.jsonl"]},
    "model": {"hf": ["model.path=some/model"]},
    "scorer": {
        "regex": ["scorer.pattern=a"],
        "combined": ["+scorer@scorer.parts.sentiment=vader"],
    },
    "tracking": {"several": ["+tracking@tracking.trackers.store=mlflow"]},
}


@pytest.mark.parametrize("piece", WALKED, ids=lambda piece: piece.addresses[0])
def test_same_rule_twice(piece, plain):
    place = place_of(piece)
    group = "optimizer@ppo.optimizer" if place == "ppo.optimizer" else place.replace(".", "/")
    config = plain(f"{group}={piece.name}", *CHOICES.get(place, {}).get(piece.name, []))
    node = config
    for part in place.split("."):
        node = node[part]
    base = {key: value for key, value in node.items() if key not in ("_target_", "_name_")}
    assert examine(with_piece(config, piece, base))[1] == []
    assert refusal(piece, base, config) is None
    accepted = {
        f"{arguments}: {sentence}"
        for arguments in cases(piece, base)
        if (sentence := refusal(piece, arguments, config))
        and not examine(with_piece(config, piece, arguments))[1]
    }
    assert accepted == set()


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_model_that_cannot_be_made_is_refused(architecture, plain, tokenizer):
    """All sizes of 1 to 8 with 1 to 4 heads: made, and reads three tokens, or refused."""
    config = plain()
    for hidden, heads in product(range(1, 9), range(1, 5)):
        arguments = {"architecture": architecture, "hidden_size": hidden, "layers": 1, "seed": 0}
        piece = {"_target_": "rlhf.models.load.TinyModel", "heads": heads, **arguments}
        try:
            build(piece).causal_lm(tokenizer)(input_ids=torch.tensor([[3, 4, 5]]))
        except Exception:
            assert examine({**config, "model": piece})[1], (hidden, heads)


# --- a user's own


class Own:
    """An estimator, trust region or advantage of one's own with a rule that no schema knows."""

    needs_values = False
    in_reward = True

    def __init__(self, size):
        if size % 2:
            raise ValueError(f"size must be even, got {size}")


class OwnController(Own):
    unit, target = "sequence", None

    def __init__(self, coef, size):
        super().__init__(size)
        self.coef = coef

    def check_episodes(self, episodes):
        if episodes > 100:
            raise ValueError(f"at most 100 episodes, got {episodes}")


@pytest.mark.parametrize(
    "place",
    ["kl.estimator", "kl.placement", "kl.reference", "kl.controller", "trust_region", "advantage"],
)
def test_same_rule_twice_for_a_piece_of_ones_own(place, plain, monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")
    cls = "OwnController" if place == "kl.controller" else "Own"

    def faults(size):
        config = {**plain("ppo.value_init=policy"), "ppo": {**plain()["ppo"], "rollout_size": 64}}
        *parents, last = place.split(".")
        piece = {"_target_": f"tests.config.pieces.test_constructors.{cls}", "size": size}
        for parent in parents:
            config[parent] = {**config[parent], last: piece}
        return [str(f) for f in examine(config if parents else {**config, last: piece})[1]]

    assert faults(2) == []
    (fault,) = faults(3)
    assert fault.endswith("size must be even, got 3") and place.replace(".", "/") in fault


def test_rollouts_that_a_controller_of_ones_own_cannot_take(plain, monkeypatch):
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")
    own = {"_target_": "tests.config.pieces.test_constructors.OwnController", "size": 2}
    config = {**plain(), "kl": {**plain()["kl"], "controller": own}}
    (fault,) = examine(config)[1]
    assert "at most 100 episodes, got 128" in str(fault)
