"""Break a statement on purpose and see which tests turn red.

    python benchmarks/breakings.py                  # all; or some by number: breakings.py 1 4
    python benchmarks/breakings.py --list

Each breaking is one edit in a copy of the tree; then the fast tests of the packages that could
notice are run in that copy. A breaking that no test notices is printed as such, and the exit code
is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITES = (
    "tests/functional",
    "tests/kl",
    "tests/models",
    "tests/modules",
    "tests/oracle",
    "tests/rollout",
)


@dataclass(frozen=True)
class Breaking:
    what: str
    file: str
    right: str  # stands exactly once in the file
    wrong: str


BREAKINGS = (
    Breaking(
        "the KL's sign flipped in the reward",
        "rlhf/kl/penalty.py",
        "return -masked_fill_zero(coef * kl, mask)",
        "return masked_fill_zero(coef * kl, mask)",
    ),
    Breaking(
        "the last prompt token included, the last response token lost",
        "rlhf/models/policy.py",
        "use_cache=False,\n        logits_to_keep=length + 1,\n    ).logits\n    return logits[:,"
        " :-1].float()",
        "use_cache=False,\n        logits_to_keep=length + 2,\n    ).logits\n    return logits[:,"
        " :-2].float()",
    ),
    Breaking(
        "a token after the EOS counted",
        "rlhf/functional/sequences.py",
        "return ended_before == 0",
        "return ended_before <= 1",
    ),
    Breaking(
        "the mask dropped in whitening",
        "rlhf/functional/masking.py",
        "    valid = mask.expand_as(x) & torch.isfinite(x)\n    wide = masked_fill_zero(x,"
        " valid).double()\n    mean =",
        "    valid = torch.isfinite(x)\n    wide = masked_fill_zero(x, valid).double()\n    mean =",
    ),
    Breaking(
        "the controller updated twice an iteration",
        "rlhf/modules/online.py",
        "            self.kl.update(self.steering)\n",
        "            self.kl.update(self.steering)\n" * 2,
    ),
    Breaking(
        "the score read at the last position, pad or not",
        "rlhf/models/scalar.py",
        "places == last_index(attention)[:, None]",
        "(places == len(places) - 1).expand(tokens.shape)",
    ),
    Breaking(
        "the score given at the last position of the rollout, pad or not",
        "rlhf/kl/penalty.py",
        "== last_index(mask).unsqueeze(-1)",
        "== mask.shape[-1] - 1",
    ),
    Breaking(
        "the coefficient of the next rollout used for this one",
        "rlhf/modules/online.py",
        "        self.experience, rewards = to_experience(",
        "        read = (scored.logp, scored.ref_logp, scored.kl, scored.rollout.mask)\n"
        "        self.kl.update(self.kl.steering_kl(*read))\n"
        "        self.experience, rewards = to_experience(",
    ),
    Breaking(
        "the value of the state after a token, not before it",
        "rlhf/models/scalar.py",
        "keep[:, -length - 1 : -1] = counted",
        "keep[:, -length:] = counted",
    ),
    Breaking(
        "policy and reference exchanged in k1",
        "rlhf/functional/kl.py",
        "    return logp - ref_logp\n",
        "    return ref_logp - logp\n",
    ),
)


def red_tests(breaking: Breaking) -> list[str]:
    """The tests that fail in a copy of the tree with this edit."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("rlhf", "tests", "conf"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, copy / name)
        path = copy / breaking.file
        text = path.read_text()
        if text.count(breaking.right) != 1:
            raise SystemExit(
                f"{breaking.file}: the line that {breaking.what!r} edits stands there"
                f" {text.count(breaking.right)} times"
            )
        path.write_text(text.replace(breaking.right, breaking.wrong))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--tb=no",
            "-p",
            "no:cacheprovider",
            "-rfE",
            *SUITES,
        ]
        told = subprocess.run(
            command,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode not in (0, 1):
            raise SystemExit(
                f"{breaking.what}: the tests did not run\n{told.stdout}\n{told.stderr}"
            )
        return re.findall(r"^(?:FAILED|ERROR) tests/(\S+)", told.stdout, flags=re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numbers", nargs="*", type=int, help="which; none: all")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    unseen = 0
    for number, breaking in enumerate(BREAKINGS, start=1):
        if args.numbers and number not in args.numbers:
            continue
        if args.list:
            print(f"{number}  {breaking.what} ({breaking.file})")
            continue
        red = red_tests(breaking)
        unseen += not red
        print(
            f"\n{number}. **{breaking.what}** (`{breaking.file}`): {len(red) or 'NO'} red tests",
            flush=True,
        )
        for name in red:
            print(f"   - `{name}`", flush=True)
    return int(unseen > 0)


if __name__ == "__main__":
    sys.exit(main())
