"""The memory that stages really need at their peak, beside what `rlhf doctor` says of them.

    python benchmarks/memory.py measure                          # 4M and 30M parameters
    python benchmarks/memory.py measure --smollm2 FOLDER --adapters none lora
    python benchmarks/memory.py smollm2 --roles full,lora --iterations 20 --folder FOLDER
    python benchmarks/memory.py fits                             # which model fits where, computed
    python benchmarks/memory.py shared FOLDER                    # two processes with one model

Tables in Markdown; `--json FILE` (before the command) also writes them as numbers. Every stage is a
process of its own. Its peak is what was resident at the most (VmHWM), less what was after a toy's
run in the same process, which imports all that a run does; on a GPU what was allocated there. Both
count the weights that lie in mapped files. Lengths of rows are those in tokens, so that the
estimate's rule for characters has no part in it.

`smollm2` runs PPO with its four roles (policy, reference, reward and value model) on SmolLM2, once
each with full weights and with adapters on one backbone, the same batch, and adds seconds an
iteration, reward and KL at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

STAGES = ("sft", "reward_model", "ppo")
QUIET = ("tracking=none", "callbacks=none", "best_of_n=none", "evaluation.samples=1")
TOY = (
    *("model=tiny", "model.hidden_size=8", "model.layers=1", "model.heads=1", *QUIET),
    *("data.demonstrations=40", "data.pairs=20", "data.prompts=20", "sft.epochs=1"),
    *("reward_model.epochs=1", "reward_model.normalize_samples=4", "ppo.iterations=1"),
    *("ppo.rollout_size=4", "ppo.minibatch_size=4", "evaluation.prompts=4"),
)
SMALL = (
    *("data.demonstrations=400", "data.pairs=80", "data.prompts=96", "sft.epochs=1"),
    *("reward_model.epochs=1", "reward_model.normalize_samples=16", "ppo.iterations=3"),
    *("ppo.rollout_size=32", "ppo.minibatch_size=16", "ppo.inner_epochs=1"),
    *("evaluation.prompts=16", "evaluation.every=3"),
)
TINY = ("model=tiny", "model.heads=8")
# many rows: activations decide; few: weights do
WIDE = ("sft.batch_size=128", "reward_model.batch_size=64", "ppo.minibatch_size=32")
SHAPES: dict[str, tuple[str, ...]] = {
    "4M, wide batches": (
        *TINY,
        *("model.hidden_size=256", "model.layers=4", *WIDE),
        *("data.max_response_tokens=40", "sft.batch_size=256"),
    ),
    "30M, small batches": (
        *TINY,
        *("model.hidden_size=512", "model.layers=7", "sft.batch_size=8"),
        *("reward_model.batch_size=4", "ppo.minibatch_size=8", "data.max_response_tokens=24"),
    ),
    "30M, wide batches": (*TINY, "model.hidden_size=512", "model.layers=7", *WIDE),
}
SMOLLM2 = (
    *("sft.batch_size=4", "sft.max_rows=12", "reward_model.batch_size=2"),
    *("reward_model.max_rows=6", "ppo.rollout_size=8", "ppo.minibatch_size=4"),
    *("data.max_response_tokens=24", "ppo.iterations=2", "evaluation.prompts=8"),
    *("reward_model.normalize_samples=8", "sft.optimizer.lr=1e-5", "ppo.optimizer.lr=1e-6"),
)
ADAPTERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "lora": ("model/adapter=lora", "model/sharing=backbone"),
}


# --- one stage, in a process of its own


def cell(stage: str, words: Sequence[str]) -> dict[str, Any]:
    """What a stage took, and what its config's estimate says, in bytes and by terms."""
    from peak import allocated_peak, begin_anew

    import rlhf
    import rlhf.runs.run  # what a run imports is no part of its peak
    from rlhf.config.compose import compose
    from rlhf.config.validate import validate

    lines = [*words, f"stage={stage}"]
    cfg = validate(compose(lines))
    device = cfg.trainer.accelerator
    with TemporaryDirectory() as work:
        rlhf.run(
            rlhf.compose(
                [*TOY, f"trainer={'gpu' if device == 'cuda' else 'cpu'}", f"paths.outputs={work}"]
            )
        )
    imports = begin_anew(device)
    began = time.monotonic()
    summary = rlhf.run(rlhf.compose(lines))
    wall = time.monotonic() - began
    peak = allocated_peak(device) - imports
    estimate = next(each for each in estimated(cfg) if each.stage == stage)
    rows = jsonl(Path(cfg.paths.run_dir) / "timings.jsonl") if stage == "ppo" else []
    return {
        "stage": stage,
        "measured": peak,
        "imports": imports,
        "estimated": estimate.size,
        "terms": {term.name: term.size for term in estimate.terms},
        "wall_seconds": wall,
        "seconds": [row["seconds"] for row in rows[1:]],
        "summary": {k: v for k, v in dict(summary or {}).items() if isinstance(v, (int, float))},
    }


def estimated(cfg: Any) -> list[Any]:
    """The peaks that are estimated for the config's stages, by the tokens of its rows."""
    from rlhf.config.build import build
    from rlhf.data.collate import collate_prompts
    from rlhf.data.records import Loaded
    from rlhf.estimates.plan import Estimate
    from rlhf.estimates.rows import SHORTEST, DataSize, PartSize
    from rlhf.estimates.saved import shape_in
    from rlhf.stages.context import StageContext
    from rlhf.stages.rows import encoded_rows, sides

    loaded = Loaded.of(build(cfg.data))._asdict()
    context = StageContext(cfg=cfg, **loaded, run_directory=Path(cfg.paths.run_dir))
    lengths = {}
    for stage, part in (("sft", "demonstrations"), ("reward_model", "preferences")):
        if (rows := getattr(context.data, part)) is not None:
            texts = [
                side for row in encoded_rows(context, stage, rows).train for side in sides(row)
            ]
            lengths[part] = [len(text.ids) for text in texts]
    prompts = context.fitted.prompts
    batch = collate_prompts(context.rendering, prompts.train, context.fitted.limit)
    lengths["prompts"] = batch.mask.sum(dim=1).tolist()
    sizes = {
        part: PartSize(
            train=len((rows := getattr(context.data, part)).train),
            heldout=len(rows.heldout),
            longest=int(max(tokens) * SHORTEST),
            mean=SHORTEST * sum(tokens) / len(tokens),
        )
        for part, tokens in lengths.items()
    }
    shape = shape_in(cfg)
    assert shape is not None
    return Estimate(cfg=cfg, shape=shape, data=DataSize(**sizes)).peaks


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def in_child(stage: str, words: Iterable[str]) -> dict[str, Any] | None:
    """The same in a fresh process; None, and it has said why, where it failed."""
    command = [sys.executable, __file__, "cell", stage, *words]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        print(f"{stage} of {' '.join(words)}: exit code {ended.returncode}", file=sys.stderr)
        return None
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result


# --- estimated beside measured


def measure(args: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    shapes = {name: SHAPES[name] for name in SHAPES if not args.shapes or name in args.shapes}
    if args.smollm2:
        shapes["SmolLM2-135M"] = ("model=hf", f"model.path={args.smollm2.resolve()}", *SMOLLM2)
    for number, (shape, words) in enumerate(shapes.items()):
        for adapter in args.adapters:
            where = (f"paths.outputs={work / f'{number}-{adapter}'}", f"trainer={args.trainer}")
            for stage in args.stages:
                lines = [*words[:2], *QUIET, *SMALL, *words[2:], *ADAPTERS[adapter], *where]
                if (result := in_child(stage, [*lines, *args.overrides])) is not None:
                    yield {"model": shape, "adapter": adapter, **result}


def show_measured(rows: Iterable[Mapping[str, Any]]) -> None:
    table(
        ("model", "adapter", "stage", "measured", "estimated", "estimated / measured"),
        (
            (
                *(row["model"], row["adapter"], row["stage"]),
                *(gigabytes(row["measured"]), gigabytes(row["estimated"])),
                f"{row['estimated'] / row['measured']:.2f}",
            )
            for row in rows
        ),
    )


# --- four roles on SmolLM2


def four_roles(args: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    names = {"full": "none", "lora": "lora"}
    for role in args.roles.split(","):
        lines = [
            *("model=hf", f"model.path={args.folder.resolve()}", "sft=none", *QUIET),
            *("data.pairs=40", "data.prompts=128", "data.max_response_tokens=24"),
            *("reward_model.epochs=1", "reward_model.batch_size=4", "reward_model.max_rows=24"),
            *("reward_model.normalize_samples=16", "evaluation.prompts=16"),
            *(f"ppo.iterations={args.iterations}", f"evaluation.every={args.iterations}"),
            *("ppo.rollout_size=8", "ppo.minibatch_size=4", "ppo.inner_epochs=1"),
            *("ppo.value_init=policy", f"ppo.checkpoint_every={args.iterations}"),
            *(f"ppo.optimizer.lr={RATES[role]}", *ADAPTERS[names[role]]),
            *(f"paths.outputs={work / role}", *args.overrides),
        ]
        if in_child("reward_model", lines) is None:  # PPO alone is measured
            continue
        if (result := in_child("ppo", lines)) is not None:
            yield {"roles": role, **result}


TOLD = {  # of the summary; every kind of roles has a reward model of its own
    "reward/proxy": "own reward",
    "reward/gold": "gold reward",
    "kl/sequence_nats": "KL, nats",
    "kl/sequence_nats_se": "its error",
}
RATES = {"full": "1e-5", "lora": "2e-4"}  # adapters begin at 0 and take larger steps


def show_roles(rows: Iterable[Mapping[str, Any]]) -> None:
    titles = ("PPO with", "measured", "estimated", "s an iteration", *TOLD.values())
    table(
        titles,
        (
            (
                *(row["roles"], gigabytes(row["measured"]), gigabytes(row["estimated"])),
                f"{statistics.median(row['seconds'][1:] or row['seconds']):.1f}",
                *(f"{row['summary'].get(name, float('nan')):.3f}" for name in TOLD),
            )
            for row in rows
        ),
    )


# --- which model fits where

SIZES: dict[str, dict[str, Any]] = {  # the shapes of SmolLM2, Llama 3.2 and Llama 2
    "135M": {"hidden": 576, "inner": 1536, "layers": 30, "heads": 9, "kv": 3, "words": 49_152},
    "362M": {"hidden": 960, "inner": 2560, "layers": 32, "heads": 15, "kv": 5, "words": 49_152},
    "1B": {"hidden": 2048, "inner": 8192, "layers": 16, "heads": 32, "kv": 8, "words": 128_256},
    "3B": {"hidden": 3072, "inner": 8192, "layers": 28, "heads": 24, "kv": 8, "words": 128_256},
    "7B": {"hidden": 4096, "inner": 11008, "layers": 32, "heads": 32, "kv": 32, "words": 32_000},
}
KINDS = {
    "full, fp32": (),
    "full, bf16": ("trainer.precision=bf16-true",),
    "LoRA, fp32": ("model/adapter=lora",),
    "LoRA, bf16": ("model/adapter=lora", "model.dtype=bfloat16"),
}
CARDS = (2, 16, 24, 40, 80)  # GB
LEAST = (  # prompts and responses of 128 tokens, one row at a time
    *("generation.max_prompt_tokens=128", "data.max_response_tokens=128"),
    *("sft.max_length=256", "reward_model.max_length=256", "trainer.gradient_checkpointing=true"),
    *("sft.micro_batch_size=1", "reward_model.micro_batch_size=1", "ppo.micro_batch_size=1"),
    *("generation.micro_batch_size=8", "evaluation.prompts=64"),
)


def fits(args: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    from rlhf.config.compose import compose
    from rlhf.config.validate import validate
    from rlhf.estimates.plan import Estimate
    from rlhf.estimates.rows import DataSize
    from rlhf.estimates.shape import shape_of

    for size, numbers in SIZES.items():
        shape = shape_of(
            {
                "model_type": "llama",
                "hidden_size": numbers["hidden"],
                "intermediate_size": numbers["inner"],
                "num_hidden_layers": numbers["layers"],
                "num_attention_heads": numbers["heads"],
                "num_key_value_heads": numbers["kv"],
                "vocab_size": numbers["words"],
                "tie_word_embeddings": size != "7B",
            }
        )
        assert shape is not None
        for kind, words in KINDS.items():
            lines = ["model=hf", "model.path=some/model", "trainer=gpu", *LEAST, *words]
            cfg = validate(compose([*lines, *args.overrides]))
            peaks = Estimate(cfg=cfg, shape=shape, data=DataSize()).peaks
            yield {"model": size, "kind": kind, "estimated": {p.stage: p.size for p in peaks}}


def fitting(size: float, memory: float) -> str:
    """`tight`: the estimate may be off by more than what is left."""
    from rlhf.estimates.memory import FACTOR

    return "" if size > memory else "yes" if FACTOR * size <= memory else "tight"


def show_fits(rows: Iterable[Mapping[str, Any]]) -> None:
    table(
        ("model", "", *STAGES, *(f"{card} GB" for card in CARDS)),
        (
            (
                *(row["model"], row["kind"]),
                *(gigabytes(row["estimated"][stage]) for stage in STAGES),
                *(fitting(max(row["estimated"].values()), 1e9 * card) for card in CARDS),
            )
            for row in rows
        ),
    )


# --- frozen weights of several processes


def shared(args: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    """Of one process and of two at a time that have loaded the same folder and read it all: what
    each has in memory (resident), and its part of that where a page counts once (proportional)."""
    for count in (1, 2):
        command = [sys.executable, __file__, "load", args.folder]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]
        pipes = [(child.stdin, child.stdout) for child in children]
        for _, out in pipes:
            assert out is not None and out.readline() == "loaded\n"
        rows = []
        for into, out in pipes:  # all have loaded, and none has ended
            assert into is not None and out is not None
            into.write("measure\n")
            into.flush()
            rows.append(json.loads(out.readline()))
        for child in children:
            child.communicate("end\n")
        yield {"processes": count, **rows[0]}


def load(folder: str) -> None:
    """A process that loads a policy as the reference is, and says what its files take."""
    import torch

    from rlhf.models.load import load_causal_lm

    model = load_causal_lm(folder).requires_grad_(False)
    with torch.no_grad():
        model(input_ids=torch.zeros(1, 2, dtype=torch.long))
    print("loaded", flush=True)
    input()
    print(json.dumps(mapped_files()), flush=True)
    input()


def mapped_files() -> dict[str, int]:
    """Bytes of this process's mapped safetensors, by smaps' names for them."""
    sums = dict.fromkeys(("Rss", "Pss", "Private_Dirty"), 0)
    counts = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if "-" in name.split()[0]:
            counts = line.endswith(".safetensors")
        elif counts and name in sums:
            sums[name] += 1024 * int(rest.split()[0])
    return sums


def show_shared(rows: Iterable[Mapping[str, Any]]) -> None:
    table(
        ("processes at a time", "resident, each", "its part", "written to"),
        (
            (row["processes"], *(gigabytes(row[name]) for name in ("Rss", "Pss", "Private_Dirty")))
            for row in rows
        ),
    )


# --- tables


def table(titles: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Each row is shown as soon as there is it."""
    head = list(titles)
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    print(flush=True)


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"


def machine(trainer: str) -> str:
    import torch
    import transformers

    name = f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
    if trainer != "cpu":
        name = torch.cuda.get_device_name()
    versions = {"Python": platform.python_version(), "torch": torch.__version__}
    versions["transformers"] = transformers.__version__
    return ", ".join([name, *(f"{k} {v}" for k, v in versions.items())])


COMMANDS = {
    "measure": (measure, show_measured),
    "smollm2": (four_roles, show_roles),
    "fits": (fits, show_fits),
    "shared": (shared, show_shared),
}


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--json", type=Path, help="writes the rows there, too")
    commands = whole.add_subparsers(dest="command", required=True)
    one = commands.add_parser("cell", help=argparse.SUPPRESS)
    one.add_argument("stage")
    one.add_argument("words", nargs="*")
    every = commands.add_parser("measure")
    every.add_argument("--shapes", nargs="*", choices=SHAPES, default=[])
    every.add_argument("--stages", nargs="*", choices=STAGES, default=STAGES)
    every.add_argument("--adapters", nargs="*", choices=ADAPTERS, default=["none"])
    every.add_argument("--smollm2", type=Path, help="the model's folder")
    every.add_argument("--trainer", default="cpu")
    roles = commands.add_parser("smollm2")
    roles.add_argument("--roles", default="full,lora")
    roles.add_argument("--iterations", type=int, default=20)
    roles.add_argument("--folder", type=Path, default=Path("outputs/models/smollm2"))
    computed = commands.add_parser("fits")
    for name in ("shared", "load"):
        commands.add_parser(name).add_argument("folder")
    for command in (every, roles, computed):
        command.add_argument("overrides", nargs="*", help="added to each command")
    return whole


def main() -> None:
    args = parser().parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if args.command == "cell":
        print(json.dumps(cell(args.stage, args.words)))
        return
    if args.command == "load":
        load(args.folder)
        return
    make, show = COMMANDS[args.command]
    rows: list[dict[str, Any]] = []
    where = machine(getattr(args, "trainer", "cpu"))
    print(f"{where}\n", flush=True)
    with TemporaryDirectory() as work:
        show(row for row in make(args, Path(work)) if rows.append(row) is None)
    if args.json:
        args.json.write_text(json.dumps({"machine": where, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
