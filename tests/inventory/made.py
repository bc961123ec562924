"""Artifacts and manifests of an inventory's places, as the pipeline leaves them."""

import json
from pathlib import Path
from typing import Any

from rlhf.rundir import noted
from rlhf.rundir.disk.sealed import MANIFEST, sealed

PRINTS = {"data": "d" * 64, "sft": "5f7" + "0" * 13, "reward_model": "4e" + "1" * 14}


def artifact(
    root: Path, stage: str, fingerprint: str, *, parents: tuple[str, ...] = (), **more: Any
) -> Path:
    """A whole one, with weights of 5,000 bytes."""
    place = root / stage / fingerprint
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(b"w" * 5000)
    content = {
        "kind": "artifact",
        "stage": stage,
        "hash": fingerprint,
        "fingerprints": {name: PRINTS[name] for name in ("data", *parents)},
        "metrics": {},
        "files": {"model.safetensors": {"bytes": 5000, "sha256": "0" * 64}},
        **more,
    }
    (place / "manifest.json").write_text(json.dumps(sealed(content, MANIFEST)))
    return place


def stages(root: Path) -> tuple[Path, Path]:
    """The SFT policy and the reward model that runs of `PRINTS` stand on."""
    return (
        artifact(root, "sft", PRINTS["sft"]),
        artifact(root, "reward_model", PRINTS["reward_model"], parents=("sft",)),
    )


def stand_on(run: Path, *parents: str, **more: Any) -> Path:
    """The run in a directory, with these stages and whatever else in its manifest; of a finished
    one its records noted."""
    path = run / "manifest.json"
    written = json.loads(path.read_text())
    config = json.loads((run / "config.yaml").read_text())
    prints = {name: PRINTS[name] for name in ("data", *parents)}
    content = {**written, "study": "unit", "config": config, "fingerprints": prints, **more}
    if (run / "summary.json").exists():
        content["records"] = noted.digests(run)
        summary = json.loads((run / "summary.json").read_text())
        own = {"ppo": more["own"]} if "own" in more else {}
        (run / "summary.json").write_text(
            json.dumps({**summary, "fingerprints": {**prints, **own}})
        )
    noted.write_manifest(path, content)
    return run
