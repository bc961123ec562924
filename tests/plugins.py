"""Installed distributions for tests: a folder on Python's path as pip would leave it."""

from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "plugin"


def write_distribution(site, name, entry_points, version="1.0"):
    """What pip writes of a distribution beside its packages. entry_points: {name: value}"""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{point} = {value}" for point, value in entry_points.items()]
    (folder / "entry_points.txt").write_text("\n".join(["[rlhf.plugins]", *lines, ""]))
    return folder


def write_package(site, name, files):
    """A package of these files, {path in it: text}, with an empty `__init__.py`."""
    for path, text in {"__init__.py": "", **files}.items():
        place = site / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return site / name
