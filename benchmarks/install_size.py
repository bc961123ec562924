"""What the installation weighs: each dependency's licence, size, import time and what it alone
brings.

    python -m benchmarks.install_size                     # of the environment that runs it
    python -m benchmarks.install_size --install           # a new one without extras, and its time
    python -m benchmarks.install_size --install dev lora  # with these extras

Sizes are of the files that pip wrote, compiled ones too (1 MB is 10^6 bytes). "Alone" adds the
packages that nothing else of the environment needs. Import times are CPU seconds of one import in
a new process, without Python's own start: several dependencies import others, so that they don't
add up. A new environment is made in a temporary folder with constraints.txt, from pip's usual
indexes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.report import show, table

ROOT = Path(__file__).resolve().parents[1]
# module to import where it is not the distribution's name
MODULES = {
    "hydra-core": "hydra",
    "nvidia-ml-py": "pynvml",
    "pyyaml": "yaml",
    "pytorch-lightning": "pytorch_lightning",
    "scikit-learn": "sklearn",
    "vadersentiment": "vaderSentiment",
    "vl-convert-python": "vl_convert",
}
# run in the environment that is measured: it may have nothing of ours but the package
LISTING = """
import json
from importlib import metadata
from packaging.requirements import Requirement

listed = {}
for each in metadata.distributions():
    size = 0
    for file in each.files or []:
        try:
            size += file.locate().stat().st_size
        except OSError:
            pass
    needs = []
    for line in each.requires or []:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            needs.append(need.name)
    about = each.metadata
    classifiers = about.get_all("Classifier") or []
    named = [line.rpartition(":: ")[2] for line in classifiers if line.startswith("License")]
    spoken = about.get("License-Expression") or ", ".join(named) or about.get("License") or "?"
    licence = spoken.splitlines()[0]
    listed[each.name] = {
        "size": size, "version": each.version, "licence": licence, "needs": needs
    }
print(json.dumps(listed))
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def listing(python: Path) -> dict[str, dict[str, Any]]:
    """Every distribution of an environment, by its canonical name."""
    said = subprocess.run([python, "-c", LISTING], capture_output=True, text=True, check=True)
    return {
        canonical(name): {**each, "needs": [canonical(need) for need in each["needs"]]}
        for name, each in json.loads(said.stdout).items()
    }


def reached(listed: dict[str, dict[str, Any]], roots: list[str]) -> set[str]:
    """The distributions that these need, and themselves."""
    found: set[str] = set()
    waiting = [root for root in roots if root in listed]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [need for need in listed[name]["needs"] if need in listed]
    return found


def alone(listed: dict[str, dict[str, Any]], direct: list[str], name: str) -> set[str]:
    """What would go with a direct dependency: what only it needs."""
    others = reached(listed, [each for each in direct if each != name])
    return reached(listed, [name]) - others


def spent() -> float:
    """CPU seconds of all processes that were started from here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds_to_import(python: Path, module: str, turns: int) -> float:
    """CPU seconds of the fastest of some imports, each in a new process, without what Python itself
    takes: another program that is busy changes little of them."""

    def fastest(code: str) -> float:
        times = []
        for _ in range(turns):
            began = spent()
            subprocess.run([python, "-c", code], check=True, capture_output=True)
            times.append(spent() - began)
        return min(times)

    return max(0.0, fastest(f"import {module}") - fastest("pass"))


def installed(folder: Path, extras: list[str]) -> tuple[Path, dict[str, float]]:
    """A new environment with the package in it, and the seconds that pip took, on the clock and of
    the processor."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    what = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    limits = ["-c", str(ROOT / "constraints.txt"), "--disable-pip-version-check", "-q"]
    began, used = time.perf_counter(), spent()
    subprocess.run([python, "-m", "pip", "install", *limits, "-e", what], check=True)
    return python, {"clock": time.perf_counter() - began, "cpu": spent() - used}


def direct_dependencies() -> list[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = (re.match(r"[\w.-]+", line) for line in project["dependencies"])
    return [canonical(name[0]) for name in names if name]


def report(python: Path, turns: int) -> dict[str, Any]:
    listed, direct = listing(python), direct_dependencies()
    rows = []
    for name in (name for name in direct if name in listed):
        module = MODULES.get(name, name.replace("-", "_"))
        bring = alone(listed, direct, name)
        rows.append(
            {
                "name": name,
                "licence": listed[name]["licence"],
                "size": listed[name]["size"],
                "alone": sum(listed[each]["size"] for each in bring),
                "import": seconds_to_import(python, module, turns),
            }
        )
    whole = sum(each["size"] for each in listed.values())
    needed = reached(listed, direct)
    return {
        "distributions": len(listed),
        "size": whole,
        "needed": {"distributions": len(needed), "size": sum(listed[n]["size"] for n in needed)},
        "dependencies": rows,
    }


def main() -> None:
    args = parser().parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as work:
        python, seconds = Path(sys.executable), None
        if args.install is not None:
            python, seconds = installed(Path(work) / "venv", args.install)
        found = report(python, args.turns)
    if args.json is not None:
        args.json.write_text(json.dumps({**found, "seconds": seconds}, indent=2) + "\n")
    rows = [
        [
            each["name"],
            each["licence"],
            f"{each['size'] / 1e6:.1f}",
            f"{each['alone'] / 1e6:.1f}",
            f"{each['import']:.2f}",
        ]
        for each in sorted(found["dependencies"], key=lambda each: -each["alone"])
    ]
    show(table(("dependency", "licence", "MB", "alone, MB", "import, CPU-s"), rows))
    needed = found["needed"]
    show(
        f"\nwithout extras: {needed['distributions']} distributions, {needed['size'] / 1e6:.0f} MB"
    )
    took = (
        ""
        if seconds is None
        else ", installed in {clock:.0f} s ({cpu:.0f} CPU-s)".format(**seconds)
    )
    show(f"here: {found['distributions']} distributions, {found['size'] / 1e6:.0f} MB{took}")


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--install", nargs="*", metavar="EXTRA", help="in a new environment")
    whole.add_argument("--turns", type=int, default=3, help="imports of each dependency")
    whole.add_argument("--json", type=Path, metavar="FILE")
    return whole


if __name__ == "__main__":
    main()
