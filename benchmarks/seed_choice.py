"""How special data.seed=12 of experiment=oracle is among the problems of data=micro.

    python benchmarks/seed_choice.py

For data.seed 0 to 199, without training: whether a prompt of training is another with a response's
beginning after it, and the probability of the best response (by gold) under the chain that SFT
imitates, at the prompt where it is lowest. Prints Markdown.
"""

from __future__ import annotations

import itertools
import math
from statistics import median

from rlhf.data.sources.micro import STOP, Micro

SEEDS, COMMON = 200, 0.2


def problem(seed: int, tokens: int) -> Micro:
    """The source as conf/data/micro.yaml has it, with little to sample."""
    return Micro(
        seed=seed,
        vocabulary=4,
        prompts=4,
        demonstrations=20,
        pairs=10,
        label_temperature=0.5,
        max_response_tokens=tokens,
    )


def best_probability(source: Micro, prompt: str) -> float:
    """Of the responses with the highest gold reward, together."""
    most, chain = source.max_response_tokens - 1, source._chain
    rows = []
    for n in range(1, most + 1):
        for response in itertools.product(source.letters, repeat=n):
            steps = itertools.pairwise([prompt.split()[-1], *response])
            moves = math.prod(chain[a][source.letters.index(b)] / sum(chain[a]) for a, b in steps)
            end = (1 - STOP) ** (n - 1) * (STOP if n < most else 1.0)
            rows.append((source.gold.score(prompt, " ".join(response)), moves * end))
    highest = max(reward for reward, _ in rows)
    return sum(p for reward, p in rows if reward > highest - 1e-9)


def overlap(prompts: list[str]) -> bool:
    return any(other.startswith(f"{prompt} ") for prompt in prompts for other in prompts)


def main() -> None:
    print("| response tokens | overlapping prompts | worst best response: median |", end=" ")
    print(f">= {COMMON:g} | < 0.01 | no overlap and >= {COMMON:g} | which | of seed 12 |")
    print("|---" * 8 + "|")
    for tokens in (3, 4):
        worst, clashes = [], []
        for seed in range(SEEDS):
            source = problem(seed, tokens)
            prompts = list(source.load().prompts.train)
            worst.append(min(best_probability(source, prompt) for prompt in prompts))
            clashes.append(overlap(prompts))
        good = [i for i in range(SEEDS) if worst[i] >= COMMON and not clashes[i]]
        print(
            f"| {tokens} | {sum(clashes)} of {SEEDS} | {median(worst):.4f} |"
            f" {sum(p >= COMMON for p in worst)} | {sum(p < 0.01 for p in worst)} | {len(good)} |"
            f" {', '.join(map(str, good))} | {worst[12]:.2f} |"
        )


if __name__ == "__main__":
    main()
