"""What a real pretrained model learns here on two CPU cores, from one command each.

    make smollm2
    python benchmarks/smollm2.py sft             # held-out perplexity before and after
    python benchmarks/smollm2.py reward_model    # accuracy on held-out prompts, and bags of words'
    python benchmarks/smollm2.py ppo             # reward and KL at two coefficients, samples

Each gives `rlhf experiment=smollm2_<name>`, with whatever overrides follow, and prints what came
out with its wall time, and of a run alone the processors' time and the peak memory (resident). The
data is that of conf/experiment/smollm2_*.yaml.

`reward_model --folds 5` trains five heads instead, each without a fifth of the prompts, so that
every prompt is held out once: with few prompts, which ones are held out decides more than the judge
does. The texts are read once for all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from rlhf.config.build import build
from rlhf.config.compose import compose
from rlhf.config.schema import Config
from rlhf.config.validate import validate
from rlhf.data.collate import EncodedPreference, collate_preferences
from rlhf.data.records import Loaded, Preference, Split
from rlhf.data.splits import divide, key_of, position
from rlhf.models.load import scalar_model_from
from rlhf.models.scalar import ScalarModel
from rlhf.models.training.features import Features
from rlhf.models.training.partial import train_only
from rlhf.modules.supervised.reward_model import RewardModule
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json
from rlhf.stages.context import StageContext
from rlhf.stages.reward_model import features_of
from rlhf.stages.rows import encoded_rows
from rlhf.stages.sft import train_on_rows
from rlhf.tracking.base import NoTracker

PEAK = Path(__file__).with_name("peak.py")
BASELINE, LONGER, HEAD = "TF-IDF and length", "the longer one", "a head on the frozen backbone"
SIDES = ("train", "heldout")

Right = NDArray[Any]  # [pairs]


def run(lines: Sequence[str], *, sweep: bool = False) -> None:
    """Gives the command, and prints its wall time, and of a run alone what its process took: the
    jobs of a sweep have processes that are not asked."""
    began = time.monotonic()
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "peak"
        subprocess.run([sys.executable, PEAK, file, "-m", "rlhf", *lines], check=True)
        peak = int(file.read_text()) / 1e9
    wall = (time.monotonic() - began) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (used.ru_utime + used.ru_stime) / 60
    own = "" if sweep else f", {cpu:.1f} min of one core's time, {peak:.2f} GB at most"
    print(f"\n`rlhf {' '.join(lines)}`: {wall:.1f} min{own}")


def stage_rows(lines: Sequence[str], stage: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first and the last row of a stage's metrics: before training, and after."""
    config = validate(compose([*lines, "hydra.mode=RUN"]))
    summary = read_json(Path(config.paths.run_dir) / "summary.json")
    artifact = Path(config.paths.artifacts) / stage / summary["fingerprints"][stage]
    first, *_, last = read_jsonl(artifact / "metrics.jsonl")
    return first, last


def sft(lines: Sequence[str]) -> None:
    run(lines)
    first, last = stage_rows(lines, "sft")
    before, after = (row["val/perplexity"] for row in (first, last))
    print(f"held-out perplexity {before:.2f} before SFT, {after:.2f} after")


# --- reward model


def lengths(rows: Sequence[Preference]) -> Any:
    """[N, 2]: the difference in log characters, and in hundreds of characters."""
    pairs = np.array([(len(row.chosen), len(row.rejected)) for row in rows], dtype=float)
    return np.stack([np.log1p(pairs) @ [1, -1], pairs @ [0.01, -0.01]], axis=1)


def baselines(pairs: Split[Preference]) -> Iterator[tuple[str, Right]]:
    """Which held-out pairs logistic regressions on the difference of a pair get right: no
    intercept, so that the order of the two sides says nothing."""
    train, heldout = pairs.train, pairs.heldout
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    words.fit([text for row in train for text in (row.chosen, row.rejected)])

    def bags(rows: Sequence[Preference]) -> Any:
        chosen, rejected = ([getattr(row, side) for row in rows] for side in ("chosen", "rejected"))
        return words.transform(chosen) - words.transform(rejected)

    yield LONGER, lengths(heldout)[:, 0] > 0
    for name, features in (
        ("TF-IDF", bags),
        (BASELINE, lambda rows: sparse.hstack([bags(rows), lengths(rows)]).tocsr()),
    ):
        x = features(train)
        both = sparse.vstack([x, -x])
        sides = np.repeat([1, 0], x.shape[0])
        model = LogisticRegression(fit_intercept=False, max_iter=2000).fit(both, sides)
        yield name, model.decision_function(features(heldout)) > 0


def reward_model(lines: Sequence[str], folds: int = 0) -> None:
    config = validate(compose([*lines, "hydra.mode=RUN"]))
    if folds:
        return show_folds(*held_out_once(config, folds))
    run(lines)
    pairs = build(config.data).load().preferences
    _, last = stage_rows(lines, "reward_model")
    count = len(pairs.heldout)
    prompts = len({row.prompt for row in pairs.heldout})
    print(f"\n| judge | accuracy on {count:,} held-out pairs of {prompts} prompts |\n|---|---|")
    judges = [(name, float(right.mean())) for name, right in baselines(pairs)]
    for name, accuracy in (
        *judges,
        (f"trained={config.reward_model.trained}", last["val/accuracy"]),
    ):
        print(f"| {name} | {accuracy:.3f} |")


def held_out_once(config: Config, folds: int) -> tuple[list[str], dict[str, Right]]:
    """The prompt of each pair, and by judge which pairs it gets right that was trained without
    their prompt: the frozen backbone reads the texts once, and each fold trains its own head."""
    if config.reward_model.trained != "head":
        raise SystemExit("--folds trains heads on a frozen backbone: reward_model.trained=head")
    torch.set_num_threads(config.trainer.threads)
    right: dict[str, list[Right]] = {}
    order: list[str] = []
    with TemporaryDirectory() as scratch:
        context = StageContext(
            cfg=config, **Loaded.of(build(config.data))._asdict(), run_directory=Path(scratch)
        )
        backbone = context.initial_policy(context.model)
        pairs = context.data.preferences
        rows = encoded_rows(context, "reward_model", pairs)
        features = features_of(context, scalar_model_from(backbone, seed=0), pairs)
        both = list(zip([*pairs.train, *pairs.heldout], [*rows.train, *rows.heldout], strict=True))
        keys = sorted({key_of(row) for row, _ in both}, key=lambda key: position(key, 0))
        for fold in range(folds):
            held = frozenset(keys[fold::folds])
            split = divide(both, held, by=lambda pair: key_of(pair[0]))
            sides = {side: list(zip(*getattr(split, side), strict=True)) for side in SIDES}
            records = Split(**{side: tuple(sides[side][0]) for side in SIDES})
            context.rows["reward_model"] = replace(rows, **{s: list(sides[s][1]) for s in SIDES})
            model = scalar_model_from(backbone, seed=config.reward_model.seed)
            head_alone(context, model, records, features, Path(scratch) / str(fold))
            order += [key_of(row) for row in records.heldout]
            for name, hits in (
                *baselines(records),
                (HEAD, prefers(model, features, sides["heldout"][1])),
            ):
                right.setdefault(name, []).append(hits)
    return order, {name: np.concatenate(hits) for name, hits in right.items()}


def head_alone(
    context: StageContext, model: ScalarModel, pairs: Any, features: Features, work: Path
) -> None:
    """Trains the head as the stage does, on features that were read before."""
    settings = context.cfg.reward_model
    work.mkdir()
    train_only(model.model, "head")
    train_on_rows(
        context,
        "reward_model",
        pairs,
        make_module=partial(
            RewardModule,
            model,
            margin=settings.margin,
            centering=settings.centering,
            features=features,
        ),
        collate=partial(collate_preferences, fill=context.rendering.pad_id),
        work=work,
        tracker=NoTracker(),
    )


@torch.no_grad()
def prefers(model: ScalarModel, features: Features, pairs: Sequence[EncodedPreference]) -> Right:
    """[N]: whether the chosen side of each pair scores higher."""
    chosen, rejected = (
        model.read(torch.stack([features.states[getattr(pair, side).ids] for pair in pairs]))
        for side in ("chosen", "rejected")
    )
    return (chosen > rejected).numpy()


def show_folds(prompts: Sequence[str], right: Mapping[str, Right]) -> None:
    """Accuracy over all pairs, and over prompts with its standard error: pairs of one prompt share
    their arguments, so that prompts are what there are independent draws of."""
    names, which = np.unique(prompts, return_inverse=True)
    counts = np.bincount(which)
    means = {name: np.bincount(which, weights=hits) / counts for name, hits in right.items()}

    def over_prompts(x: Right) -> str:
        return f"{x.mean():+.3f} ± {x.std(ddof=1) / len(x) ** 0.5:.3f}"

    print(f"\nEach of {len(names)} prompts held out once, {len(which):,} pairs; ± standard error")
    print(f"| judge | pairs | mean over prompts | less {BASELINE} | prompts lost, won |")
    print("|---|---|---|---|---|")
    for name, hits in right.items():
        gain = means[name] - means[BASELINE]
        print(
            f"| {name} | {hits.mean():.3f} | {over_prompts(means[name]).lstrip('+')} |"
            f" {over_prompts(gain)} | {(gain < 0).sum()}, {(gain > 0).sum()} |"
        )


# --- PPO


def ppo(lines: Sequence[str]) -> None:
    """The samples of the last evaluation, each beside what the reference answered to the prompt
    with the same random numbers."""
    run(lines, sweep=True)
    config = validate(compose([*lines, "hydra.mode=RUN"]))
    metric = f"reward/{build(config.scorer).measured[-1]}"
    sweep = Path("sweeps") / config.sweep
    folders = sorted(path.parent for path in sweep.glob("*/summary.json"))
    print(f"\n| setting | KL (nats a response) | {metric} | gain by prompt | tokens | ended |")
    print("|---|---|---|---|---|---|")
    answers: dict[str, dict[str, str]] = {}
    for folder in folders:
        summary, rows = read_json(folder / "summary.json"), read_jsonl(folder / "metrics.jsonl")
        name = f"kl.coef={summary['kl.coef']:g}"
        if not answers:
            print(f"| the reference | 0 | {outcome(rows[0])}")
        kl, gain = with_error(summary, "kl/sequence_nats"), gain_of(folder, metric)
        print(f"| {name} | {kl} | {outcome(rows[-1], gain)}")
        for speaker, iteration in (("the reference", 0), (name, summary["iterations"])):
            for row in read_jsonl(folder / "samples.jsonl"):
                if row["iteration"] == iteration:
                    answers.setdefault(row["prompt"], {})[speaker] = row["response"]
    for prompt, responses in answers.items():
        spoken = (f"{speaker}: {json.dumps(text)}" for speaker, text in responses.items())
        print("\n" + "\n    ".join([prompt, *spoken]))


def with_error(row: Mapping[str, Any], name: str) -> str:
    return f"{row[name]:.2f} ± {row[f'{name}_se']:.2f}"


def outcome(row: Mapping[str, Any], gain: str = "") -> str:
    """Of an evaluation: what the scorer makes of the responses before the KL, and their lengths."""
    return (
        f"{with_error(row, 'eval/ppo/score')} | {gain} | {row['eval/response/length']:.1f} |"
        f" {row['eval/response/ended']:.0%} |"
    )


def gain_of(folder: Path, metric: str) -> str:
    """The gain in a reward since before training, prompt by prompt, with its standard error."""
    first, *_, last = read_jsonl(folder / "by_prompt.jsonl")
    gain = np.subtract(last[metric], first[metric])
    return f"{gain.mean():+.2f} ± {gain.std(ddof=1) / len(gain) ** 0.5:.2f}"


TASKS = {"sft": sft, "reward_model": reward_model, "ppo": ppo}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("overrides", nargs="*", help="added to the command")
    parser.add_argument("--folds", type=int, default=0, help="of reward_model: see above")
    given = parser.parse_args()
    lines = [f"experiment=smollm2_{given.task}", *given.overrides]
    if given.task == "reward_model":
        reward_model(lines, given.folds)
    else:
        TASKS[given.task](lines)


if __name__ == "__main__":
    main()
