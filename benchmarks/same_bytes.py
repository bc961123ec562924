"""Whether the same commands give the same bytes at two revisions of this repository.

    python benchmarks/same_bytes.py v0.1 .                   # all cases; `.` is the tree as it is
    python benchmarks/same_bytes.py HEAD~20 HEAD steered     # or some by name
    python benchmarks/same_bytes.py --jobs 2 --keep /tmp/both HEAD .

Each revision is checked out aside (`git worktree`, removed at the end) and its cases run one after
another in an empty folder of its own, which they share: SFT and the reward model are trained once.
Then each run's metrics, samples and policy are compared, and the metrics and weights of the stages
before it. Names of directories may differ by their hashes: a run is known by its case and its
name before the hash, an artifact by its stage and the case that trained it. Prints Markdown; the
exit code is 0 only if every file was there and is equal. On 2 cores all cases take about two
minutes with `--jobs 2`; both revisions run with the packages of this Python.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ONE_JOB = ("hydra.launcher.jobs=1", "tracking=none")
BARE = ("best_of_n=none", "tracking=none")
SHORT = ("ppo.iterations=4", *BARE)
STEERED = "kl/controller=pid kl.coef=0.1 kl/reference=ema trust_region=early_stop"

# The words of a command after `rlhf`; `study` and `sweep` are added: the case's name.
CASES = {
    "quickstart": ("experiment=quickstart", "kl.coef=0.1", *ONE_JOB),
    "oracle": ("experiment=oracle", "kl.coef=0.2", *ONE_JOB),
    "steered": (*STEERED.split(), "ppo.micro_batch_size=16", "ppo.iterations=6", *BARE),
    "grpo": ("kl=grpo", *SHORT),
    "exact": ("kl=exact", "trust_region=penalty", "ppo.critic_warmup=1", *SHORT),
    "gold": ("scorer=gold", "ppo.value_init=policy", "generation.temperature=0.8", *SHORT),
}
RUN_FILES = ("metrics.jsonl", "samples.jsonl", "by_prompt.jsonl", "policy/model.safetensors")
STAGE_FILES = ("metrics.jsonl", "model.safetensors")


@dataclass
class Side:
    """One revision: its code, the folder its commands are given in, and what they left there."""

    revision: str
    tree: Path
    work: Path
    runs: dict[str, dict[str, Path]] = field(default_factory=dict)  # case -> name -> directory
    stages: dict[str, dict[str, Path]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)  # case -> why it did not end well

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The ended process of `python *words` with this revision's code, in its folder."""
        environment = {"PYTHONPATH": str(self.tree), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.work,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def check(self) -> None:
        """Refuses where another installation of `rlhf` would run instead of this revision."""
        where = self.python("-c", "import rlhf; print(rlhf.__file__)").stdout.strip()
        if not Path(where).is_relative_to(self.tree):
            raise SystemExit(f"{self.revision}: `import rlhf` does not give {self.tree}: {where}")

    def run(self, cases: Iterable[str]) -> None:
        """Runs the cases one after another and notes what each left."""
        artifacts: set[Path] = set()
        for case in cases:
            began = time.monotonic()
            ended = self.python("-m", "rlhf", *CASES[case], f"study={case}", f"sweep={case}")
            if ended.returncode:
                message = ended.stdout.strip()[-2000:]
                self.refusals[case] = f"exit code {ended.returncode}\n{message}"
            directories = self.made_by(f"outputs/{case}/*", f"sweeps/{case}/*")
            self.runs[case] = by_name(directories, lambda p: re.sub("-[0-9a-f]{8}$", "", p.name))
            kept = self.made_by("outputs/artifacts/sft/*", "outputs/artifacts/reward_model/*")
            trained = [directory for directory in kept if directory not in artifacts]
            artifacts.update(trained)
            self.stages[case] = by_name(trained, lambda p: p.parent.name)
            seconds = time.monotonic() - began
            print(f"{self.revision} {case}: {seconds:.0f} s", file=sys.stderr, flush=True)

    def made_by(self, *patterns: str) -> list[Path]:
        """The directories with metrics that match, the earliest begun first."""
        metrics = [p for pattern in patterns for p in self.work.glob(f"{pattern}/metrics.jsonl")]
        return [p.parent for p in sorted(metrics, key=lambda p: p.stat().st_mtime)]


def by_name(directories: Iterable[Path], name_of: Callable[[Path], str]) -> dict[str, Path]:
    """The directories under their names; of two with one name, the later is `... 2`."""
    named: dict[str, Path] = {}
    for directory in directories:
        name, index = name_of(directory), 2
        while name in named:
            name, index = f"{name_of(directory)} {index}", index + 1
        named[name] = directory
    return named


# --- comparing


def difference(first: Path, second: Path) -> str:
    """How the second file differs from the first; empty if not by a byte."""
    missing = [word for word, path in (("A", first), ("B", second)) if not path.is_file()]
    if missing:
        return f"not there at {' and '.join(missing)}"
    old, new = first.read_bytes(), second.read_bytes()
    if old == new:
        return ""
    if first.suffix == ".jsonl":
        return f"differs: {first_difference(old.splitlines(), new.splitlines())}"
    digests = (hashlib.sha256(data).hexdigest()[:8] for data in (old, new))
    return f"differs: sha256 {', '.join(digests)}"


def first_difference(old: list[bytes], new: list[bytes]) -> str:
    """The iteration and the keys of the first row that differs in value, else what differs but
    for values."""
    for before, after in zip(map(json.loads, old), map(json.loads, new), strict=False):
        lost, more = [k for k in before if k not in after], [k for k in after if k not in before]
        # as text, so that NaN is equal to itself and 1 is not 1.0
        others = [k for k in before if k in after and repr(before[k]) != repr(after[k])]
        if lost or more or others:
            names = [*others, *(f"{k} (only A)" for k in lost), *(f"{k} (only B)" for k in more)]
            shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" * (len(names) > 6))
            return f"from iteration {before.get('iteration')}: {shown}"
    if len(old) != len(new):
        return f"{len(old)} rows, {len(new)} rows, equal as far as both go"
    return "the same values in another order or spelling"


def rows(case: str, old: Side, new: Side) -> Iterator[tuple[str, str, str]]:
    """Of each file of a case: the run or stage it is of, its name, and how it differs."""
    for files, before, after in (
        (STAGE_FILES, old.stages[case], new.stages[case]),
        (RUN_FILES, old.runs[case], new.runs[case]),
    ):
        for name in dict.fromkeys([*before, *after]):
            first, second = before.get(name, Path("none")), after.get(name, Path("none"))
            for file in files:
                yield name, file, difference(first / file, second / file)


def report(cases: Iterable[str], old: Side, new: Side) -> bool:
    """Prints the table and its sentence; True if all is there and equal."""
    compared = differing = 0
    incomparable = []
    print(f"A is {described(old)}, B is {described(new)}.\n")
    print("| case | run | file | |\n|---|---|---|---|")
    for case in cases:
        refused = [side for side in (old, new) if case in side.refusals]
        if refused or not (old.runs[case] or new.runs[case]):
            incomparable.append(case)
            which = " and ".join(side.revision for side in refused) or "both: no run was left"
            print(f"| {case} | | | not comparable: {which} |")
            continue
        for name, file, how in rows(case, old, new):
            compared, differing = compared + 1, differing + bool(how)
            print(f"| {case} | {name} | {file} | {how or 'equal'} |")
    for side in (old, new):
        for case, message in side.refusals.items():
            print(f"\n{case} at {side.revision}: {message}")
    without = f"; not comparable: {', '.join(incomparable)}" if incomparable else ""
    print(f"\n{compared - differing} of {compared} files are equal{without}.")
    return compared > 0 and not differing and not incomparable


# --- revisions


def git(*words: str) -> str:
    """What git prints; ends with git's own sentence where it refuses."""
    ended = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"git {' '.join(words)}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def described(side: Side) -> str:
    if side.revision != ".":
        return f"{side.revision} ({git('rev-parse', '--short', side.revision + '^{commit}')})"
    changes = " with changes" if git("status", "--porcelain") else ""
    return f"the working tree ({git('rev-parse', '--short', 'HEAD')}{changes})"


@contextmanager
def tree_of(revision: str, scratch: Path) -> Iterator[Path]:
    """The code of a revision: the tree as it is for `.`, else a worktree for the time being."""
    if revision == ".":
        yield ROOT
        return
    git("worktree", "add", "--detach", str(scratch), revision)
    try:
        yield scratch
    finally:
        git("worktree", "remove", "--force", str(scratch))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revisions", nargs=2, metavar="REVISION", help="any that git knows, or .")
    parser.add_argument(
        "cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}; none: all"
    )
    parser.add_argument("--jobs", type=int, default=1, help="2: both revisions at a time")
    parser.add_argument("--keep", type=Path, help="an empty folder where the runs are kept")
    args = parser.parse_args()
    cases = list(dict.fromkeys(args.cases)) or list(CASES)
    if unknown := [case for case in cases if case not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if args.keep and args.keep.exists() and any(args.keep.iterdir()):
        parser.error(f"{args.keep} is not empty")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        kept = (args.keep or scratch / "runs").resolve()
        sides = []
        for name, revision in zip("AB", args.revisions, strict=True):
            tree = stack.enter_context(tree_of(revision, scratch / name))
            (kept / name).mkdir(parents=True)
            sides.append(Side(revision, tree, kept / name))
            sides[-1].check()
        with ThreadPoolExecutor(max(1, args.jobs)) as pool:
            list(pool.map(lambda side: side.run(cases), sides))
        return 0 if report(cases, *sides) else 1


if __name__ == "__main__":
    sys.exit(main())
