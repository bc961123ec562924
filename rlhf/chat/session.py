"""Policy and reference side by side: each answers, and both of their answers are read by both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf.at_once import AtOnce
from rlhf.config.build import build
from rlhf.config.pieces.scorer import ensemble_members
from rlhf.config.schema import Config
from rlhf.config.validate import ConfigError, validate
from rlhf.data.collate import collate_prompts
from rlhf.data.conversations import ASSISTANT, USER, Prompt, Turn, Turns
from rlhf.data.records import Loaded
from rlhf.data.rendering.rendering import Rendering
from rlhf.data.rendering.spans import TemplateError
from rlhf.export.kept import networks, reference_folder, rendering_of
from rlhf.export.made import Made
from rlhf.metrics import SCORE
from rlhf.models.adapters.views import PolicyView
from rlhf.models.checks import positions_of
from rlhf.models.networks import Networks
from rlhf.models.policy import PolicyReader, policy_of
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Engine, Sampling, Stops
from rlhf.rollout.engines.table import engine_of
from rlhf.rollout.evaluate import sample
from rlhf.rollout.score import Judges, judged
from rlhf.rundir.errors import ModelError

log = logging.getLogger(__name__)
POLICY, REFERENCE = "policy", "reference"
SIDES = (POLICY, REFERENCE)
ROWS = 16  # prompts that are answered together
Reply = dict[str, Any]  # as `rlhf.rollout.evaluate.sample` gives it, without its prompt
# stands in a config whose own scorer cannot be had: it scores nothing there
NO_SCORER = {
    "_target_": "rlhf.rewards.rules.VaderScorer",
    **{"missing_eos": "none", "missing_eos_value": None, "reward_clip": None},
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """Two models with one rendering, and whoever judges their answers."""

    engines: dict[str, Engine]
    readers: dict[str, PolicyReader]
    judges: Judges
    scorer: Any  # that training maximised; None where it was not, or cannot score here
    rendering: Rendering
    stops: Stops
    sampling: Sampling
    seed: int
    limit: int | None  # the most tokens of a prompt

    def answer(self, prompts: Sequence[Turns], *, draw: int) -> list[dict[str, Reply]]:
        """What each side answers to each prompt: the response, its rewards, the score that training
        maximised, and its KL, the sum over its tokens of log pi - log pi_ref in nats, whoever wrote
        it.

        Args:
            draw: counts the calls of a conversation; the same seed, prompts and draw give the same
                answers.

        Raises:
            TemplateError: the template refuses a prompt.
        """
        batch = collate_prompts(
            self.rendering, [Prompt(turns=turns) for turns in prompts], self.limit
        )
        replies: list[dict[str, Reply]] = [{} for _ in prompts]
        for side in SIDES:
            draws = generator(self.seed, "sample", side, draw)
            rollout = self.engines[side].respond(batch, self.sampling, draws)
            responses, scores = self.judges.read(rollout), None
            if self.scorer is not None:
                responses, scores = judged(self.scorer, responses)
            view = self.readers[POLICY].view(self.readers[REFERENCE], rollout)
            for row, reply in enumerate(replies):
                shown = sample(responses, view, row)
                reply[side] = {key: shown[key] for key in shown if key != "prompt"}
                if scores is not None:
                    reply[side][SCORE] = round(float(scores[row]), 4)
        return replies

    @property
    def takes_turns(self) -> bool:
        """True if the template takes more than one question."""
        try:
            self.rendering.prompt((*self.rendering.probe, self.rendering.probe[0]))
        except TemplateError:
            return False
        return True

    def cut(self, turns: Turns) -> int:
        """How many tokens of a prompt are too many, and are left out at its beginning."""
        length = len(self.rendering.prompt(turns))
        return max(0, length - self.limit) if self.limit is not None else 0


@dataclass
class Talk:
    """A conversation that is under way: the policy's answers go on in it."""

    session: Session
    system: str | None = None
    turns: list[Turn] = field(default_factory=list)
    draws: int = 0

    def say(self, text: str) -> dict[str, Reply]:
        """Both sides' answers to the next question. The policy's becomes a turn; where the template
        takes one question alone, each begins anew."""
        if not self.turns or not self.session.takes_turns:
            self.reset()
        asked = (*self.turns, Turn(USER, text))
        replies = self.session.answer([asked], draw=self.draws)[0]
        self.draws += 1
        self.turns = [*asked, Turn(ASSISTANT, replies[POLICY]["response"])]
        return replies

    def reset(self) -> None:
        self.turns = [Turn("system", self.system)] if self.system else []


def open_session(made: Made, *, seed: int, **sampling: Any) -> Session:
    """The session of a run or artifact, as its config draws, but for what `sampling` names.

    Raises:
        NoModel: it holds no policy, or its reference is not on this disk.
        ConfigError: its config is none for this version.
        ModelError: the model leaves no room for a prompt.
    """
    cfg, scores = _config(made)
    folder = made.folder("policy")
    rendering = rendering_of(folder, made)
    stops = Stops.of(rendering, cfg.generation.stop)
    drawn = {name: getattr(cfg.generation, name) for name in Sampling.__dataclass_fields__}
    settings = Sampling(**{**drawn, **sampling})
    places = networks(made, rendering.tokenizer, views=cfg.adapter.is_used)
    models = {
        POLICY: places.policy(folder),
        REFERENCE: _reference(made, cfg, rendering, places),
    }
    positions = positions_of(models[POLICY].config)
    if positions is not None and settings.max_new_tokens >= positions:
        raise ModelError(
            [
                f"--max-tokens {settings.max_new_tokens} leaves no room for a prompt in the model's"
                f" {positions} positions"
            ]
        )
    judges, engine = _judges(made, cfg, rendering, stops, places), engine_of(cfg.generation)
    return Session(
        engines={
            side: engine(model, stops, rendering.pad_id, rendering.tokenizer)
            for side, model in models.items()
        },
        readers={
            side: PolicyReader(
                model=model, temperature=settings.temperature, at_once=AtOnce(rows=ROWS)
            )
            for side, model in models.items()
        },
        judges=judges,
        scorer=_scorer(cfg, judges) if scores and made.stage == "ppo" else None,
        rendering=rendering,
        stops=stops,
        sampling=settings,
        seed=seed,
        limit=None
        if positions is None
        else max(1, positions - settings.max_new_tokens - stops.most_after),
    )


def _config(made: Made) -> tuple[Config, bool]:
    """The config, and whether its scorer can be had: a function whose code has changed since is
    another one.

    Raises:
        ConfigError: something else in it is none for this version.
    """
    try:
        return validate(made.config), True
    except ConfigError as error:
        if not all(fault.startswith("scorer") for fault in error.faults):
            raise
        log.warning("answers have no score of training here: %s", "; ".join(error.faults))
        return validate({**made.config, "scorer": NO_SCORER}), False


def _scorer(cfg: Config, judges: Judges) -> Any:
    """The scorer that training maximised; None, and a warning, where it cannot score here."""
    try:
        scorer = build(cfg.scorer)
    except Exception as error:  # a classifier's folder that is gone, or a class of the user's own
        log.warning("answers have no score of training here: %s", error)
        return None
    models = max(ensemble_members(cfg.scorer), int(getattr(scorer, "needs_reward_model", True)))
    lacks = {
        "it compares with references, which a question here has none of": getattr(
            scorer, "needs_references", False
        ),
        "its reward models are not on this disk any more": models > len(judges.reward_models),
        "the data's gold reward cannot be had": getattr(scorer, "needs_gold", False)
        and judges.gold is None,
    }
    if reason := next((reason for reason, holds in lacks.items() if holds), None):
        log.warning("answers have no score of training here: %s", reason)
        return None
    return scorer


def _reference(made: Made, cfg: Config, rendering: Rendering, places: Networks) -> Any:
    """The SFT policy; of an SFT policy the model before it."""
    if made.stage == "sft":
        policy = places.policy(made.folder("policy")) if places.views else None
        if isinstance(policy, PolicyView) and policy.adapters:
            return PolicyView(policy.shared)
        model = build(cfg.model).causal_lm(rendering.tokenizer).requires_grad_(False)
        return policy_of(model, rendering.tokenizer)
    return places.policy(reference_folder(made))


def _judges(
    made: Made, cfg: Config, rendering: Rendering, stops: Stops, networks: Networks
) -> Judges:
    """The run's reward models, where they are on this disk, and its data's own rewards."""
    places = [made.artifact("reward_model"), *(made.members or ())]
    models = [networks.scalar(p).eval().requires_grad_(False) for p in places if p]
    gold, others = None, {}
    try:
        # rows are read too: a gold reward may depend on what they are
        source = Loaded.of(build(cfg.data)).source
        gold, others = source.gold, source.judges
    except Exception as error:  # files that are gone, or a class of the user's own
        log.warning("the data's own rewards cannot be had here: %s", error)
    return Judges(
        tokenizer=rendering.tokenizer,
        stops=stops,
        reward_model=next(iter(models), None),
        members=tuple(models[1:]),
        gold=gold,
        others=others,
    )
