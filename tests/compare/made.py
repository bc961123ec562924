"""Writes KL paths and realigned runs as the pipeline leaves them."""

import json

from tests.rundirs import SFT

NAMES = ("kl/sequence_nats", "reward/proxy", "reward/gold")


def make_path(rundirs, directory, ends, *, seed=0, seconds=10.0, **more):
    """A path's run in `directory`, the earlier points beneath it, each held for 3 iterations of 8
    responses. `ends`: coefficient -> (KL, proxy, gold), in the order of the path. Returns the
    points' directories in that order."""
    grid, last, made = list(ends), len(ends) - 1, {}
    for k in (last, *range(last)):  # the folder of the run itself is made first
        coef, below = grid[k], directory / "points" / f"kl{grid[k]:g}-path-seed{seed}-{k}"
        kl, proxy, gold = ends[coef]
        made[k] = rundirs.make_run(
            directory if k == last else below,
            coef=coef,
            seed=seed,
            kl=kl,
            proxy=proxy,
            gold=gold,
            iterations=3 * (k + 1),
            config={
                "ppo": {"iterations": 3},
                "kl": {
                    "coef": coef,
                    "controller": {
                        **{"_target_": "rlhf.kl.path.Path", "_name_": "path"},
                        "grid": grid[: k + 1],
                    },
                },
            },
            **more,
        )
        _way(made[k], [ends[at] for at in grid[: k + 1]])
        there = {"run": directory.name, "point": k, "points": len(grid)}
        edit(made[k] / "summary.json", **{"path": there, "kl.controller": "path"})
        spend(made[k], iterations=3 * (k + 1), seconds=seconds * (k + 1))
    return [made[k] for k in range(len(grid))]


def _way(place, ends):
    """metrics.jsonl: straight from point to point."""
    rows, before = [], (0.0, SFT["proxy"], SFT["gold"])
    lines = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    for row in lines:
        point, step = divmod(max(row["iteration"] - 1, 0), 3)
        share = (step + 1) / 3 if row["iteration"] else 0.0
        start = ends[point - 1] if point else before
        for name, a, b in zip(NAMES, start, ends[point], strict=True):
            if b is not None:
                row[f"eval/{name}"] = a + (b - a) * share
        rows.append(row)
    (place / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def spend(place, *, iterations, seconds):
    """Says what a run took."""
    spent = {"iterations": iterations, "cpu_seconds": seconds, "episodes": 8 * iterations}
    edit(place / "summary.json", **spent)


def edit(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def realign(place, curves, *, seconds=5.0):
    """realign.json of a run. `curves`: by decoding or weights -> lambda -> (KL, proxy, gold), of
    errors 0.1; the sampled KL is 0.5 more."""
    made = [
        {
            "by": by,
            "points": [
                {
                    "lambda": share,
                    **{"kl/sequence_nats": kl + 0.5, "kl/sequence_nats_se": 0.3},
                    **{"kl/sequence_nats_exact": kl, "kl/sequence_nats_exact_se": 0.1},
                    **{"reward/proxy": proxy, "reward/proxy_se": 0.1},
                    **({"reward/gold": gold, "reward/gold_se": 0.1} if gold is not None else {}),
                    **{"response/length": 12.0, "response/ended": 1.0},
                }
                for share, (kl, proxy, gold) in stops.items()
            ],
        }
        for by, stops in curves.items()
    ]
    whole = {"version": 1, "prompts": 64, "responses": 256, "seed": 0}
    timings = dict.fromkeys(curves, seconds)
    (place / "realign.json").write_text(json.dumps({**whole, "curves": made, "timings": timings}))
