"""The wheel: it carries conf/, types and licence, and works outside the repository."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_wheel_carries_conf_and_answers_outside_the_repository(tmp_path):
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        str(ROOT),
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
    ]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = tmp_path.glob("rlhf-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.removeprefix("rlhf/_conf/") for name in names if name.startswith("rlhf/_conf/")}
    assert shipped == {
        str(path.relative_to(ROOT / "conf")) for path in (ROOT / "conf").rglob("*.yaml")
    }
    pages = {name for name in names if name.startswith("rlhf/compare/page/templates/")}
    assert (
        pages
        == {
            f"rlhf/compare/page/templates/{path.name}"
            for path in (ROOT / "rlhf/compare/page/templates").iterdir()
        }
        and len(pages) >= 4
    )
    assert not [name for name in names if name.startswith(("tests/", "docs/", "conf/"))]
    assert "rlhf/py.typed" in names  # type checkers read our annotations
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    licence = metadata.replace("METADATA", "licenses/LICENSE")
    with zipfile.ZipFile(wheel) as file:
        lines = file.read(metadata).decode().splitlines()
        assert file.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert {"License-Expression: Apache-2.0", "License-File: LICENSE"} <= {*lines}
    home = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(home)
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "import rlhf, sys; assert rlhf.__file__.startswith(sys.argv[1]);"
        " print(rlhf.compose(['kl/controller=pid']).kl.controller.target)"
    )
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, sys.argv[1]); {code}",
        str(home),
    ]
    done = subprocess.run(command, cwd=empty, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "6.0", done.stderr


def test_ranges_in_pyproject_hold_the_pins():
    """Every dependency of pyproject.toml is pinned in constraints.txt, within its range."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    pins = {
        name.strip().lower().replace("_", "-"): version.split(";")[0].strip()
        for name, version in (line.split("==") for line in lines)
    }
    assert pins["torch"] == "2.13.0"
    extras = project["optional-dependencies"]
    assert {*extras["lora"]} <= {*extras["dev"]}  # the tests train adapters too
    for line in [*project["dependencies"], *extras["dev"]]:
        requirement = Requirement(line)
        name = requirement.name.lower().replace("_", "-")
        assert name in pins, f"{name} is not pinned"
        assert pins[name] in requirement.specifier, (
            f"{name}=={pins[name]} is outside {requirement.specifier}"
        )


def test_the_licence_is_whole_and_named_everywhere():
    """PEP 639: an SPDX expression, so no classifier of a licence beside it."""
    import tomllib

    import yaml

    import rlhf

    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    sections = [f"   {n}. " for n in range(1, 10)]
    assert all(section in text for section in sections) and "END OF TERMS" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project["license"] == citation["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert not [line for line in project["classifiers"] if line.startswith("License")]
    assert citation["version"] == rlhf.__version__


def test_no_data_set_is_in_the_repository():
    """Whose licence would have to be named: docs/decisions/0016-licence.md says there is none."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository: an unpacked sdist")
    # the tests' own are made by our code
    names = [name for name in listed.stdout.split() if not name.startswith("tests/")]
    kinds = {Path(name).suffix for name in names}
    assert not kinds & {".jsonl", ".gz", ".csv", ".parquet", ".safetensors", ".bin", ".zip"}


def test_pre_commit_runs_what_make_check_runs():
    import yaml

    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = (part for part in makefile.split("\n\n") if part.startswith("check:"))
    wanted = [line.strip().removeprefix("$(BIN)/") for line in recipe.splitlines()[1:]]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]]
    assert local["repo"] == "local"  # nothing is fetched
    assert [entry.replace(" --force-exclude", "") for entry in entries] == [
        line.removesuffix(" .") for line in wanted
    ]


def test_what_the_image_copies_is_there_and_not_ignored():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--" not in line]
    ignored, *kept = (ROOT / ".dockerignore").read_text().split()
    assert ignored == "*" and copied
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists() and f"!{name}" in kept, name


def test_issues_ask_for_the_doctors_report():
    import yaml

    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"):
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= {*form}
        assert "rlhf doctor --json" in path.read_text(), path.name
