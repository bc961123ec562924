"""What a path of the config stands for: a file, a folder, a glob, a set that `datasets` saved, or
one of the hub (`hub:owner/name`)."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf.data.readers.files import ENDINGS, missing, read_objects
from rlhf.data.readers.hub import HUB, read_hub

SAVED, SAVED_SPLITS, STATE = "dataset_info.json", "dataset_dict.json", "state.json"
ABOUT = {SAVED, SAVED_SPLITS, STATE, "dataset_infos.json"}  # no rows in these

Located = Iterator[tuple[str, int, dict[str, Any]]]


def read_place(place: str, faults: list[str], bad_rows: list[str]) -> Located:
    """(file, line, row) of every good row at a place; `faults` and `bad_rows` as
    `rlhf.data.readers.files.read_objects` fills them."""
    if place.startswith(HUB):
        yield from ((place, number, row) for number, row in read_hub(place, faults))
        return
    for path in files_at(place, faults):
        yield from (
            (str(path), number, row) for number, row in read_objects(path, faults, bad_rows)
        )


def files_at(place: str, faults: list[str]) -> list[Path]:
    """The files of rows at a place, by name; none, with a fault, where there are none."""
    path = Path(place).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        return _in_folder(path, faults)
    if glob.has_magic(place):
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        files = [match for match in matches if match.is_file() and _is_rows(match)]
        if not files:
            faults.append(f"{place}: no file of rows matches ({', '.join(ENDINGS)})")
        return files
    reason = missing(path)
    hub = f"; a data set of the hub is written {HUB}{place}" if _like_a_name(place) else ""
    faults.append(f"{reason}{hub}")
    return []


def _is_rows(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and path.name not in ABOUT and path.name[0] != "."


def _in_folder(folder: Path, faults: list[str]) -> list[Path]:
    if (folder / SAVED_SPLITS).is_file():
        return _split_of(folder, faults)
    if (folder / STATE).is_file() and (folder / SAVED).is_file():
        return _saved(folder, faults)
    files = sorted(path for path in folder.iterdir() if path.is_file() and _is_rows(path))
    if not files:
        inside = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5])
        holds = f"it holds {inside}" if inside else "it is empty"
        faults.append(f"{folder}: no file of rows in this folder ({holds})")
    return files


def _split_of(folder: Path, faults: list[str]) -> list[Path]:
    """The files of the only split of a saved DatasetDict; which one is meant is not guessed."""
    splits = sorted(path.name for path in folder.iterdir() if (path / STATE).is_file())
    if len(splits) == 1:
        return _saved(folder / splits[0], faults)
    choices = ", ".join(str(folder / split) for split in splits)
    faults.append(
        f"{folder}: a data set of {len(splits)} splits; name one of them: {choices}"
        if splits
        else f"{folder}: {SAVED_SPLITS} is there, and no split beside it"
    )
    return []


def _saved(folder: Path, faults: list[str]) -> list[Path]:
    """The arrow files of a set that `Dataset.save_to_disk` wrote, in its order."""
    try:
        state = json.loads((folder / STATE).read_bytes())
        names = [str(each["filename"]) for each in state["_data_files"]]
        chosen_rows = bool(state.get("_indices_data_files") or state.get("_indices_files"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        faults.append(f"{folder / STATE}: not as `datasets` writes it")
        return []
    if chosen_rows:
        faults.append(
            f"{folder}: its rows are chosen by an index beside them (an old version of datasets);"
            " save it again after flatten_indices()"
        )
        return []
    return [folder / Path(name).name for name in names]


def _like_a_name(place: str) -> bool:
    """True for `owner/name`: what a set of the hub looks like."""
    parts = place.split("/")
    return len(parts) == 2 and all(parts) and parts[0][0] not in ".~" and not Path(place).suffix
