"""Imports point down: which package may know which library, and which part of ours. Read from
the source, so lazy imports count too."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "rlhf"
FILES = sorted(ROOT.rglob("*.py"))

# library -> the parts of the package that may import it at all
MAY_IMPORT = {
    "pytorch_lightning": {"modules", "callbacks", "stages"},
    **{name: {"tracking"} for name in ("mlflow", "tensorboard", "wandb", "trackio")},
    **{name: {"tracking"} for name in ("psutil", "pynvml")},
    "hydra": {"config", "commands", "sweeps"},
    "omegaconf": {"config", "commands", "sweeps", "stages", "runs", "reproduce", "__init__.py"},
    "peft": {"models"},
    "altair": {"compare"},
    "vl_convert": {"compare"},
    "transformers": {"models", "data", "rollout", "modules", "stages", "export"},
}
TORCH_ONLY = (
    "functional",
    "oracle",
    "types.py",
    "randomness.py",
    "arguments.py",
    "at_once.py",
    "kl",
    "ranks",
)
# parts that must answer in about a second: nothing heavy when they are imported
LIGHT = (
    "config",
    "commands",
    "__init__.py",
    "__main__.py",
    "rundir",
    "compare",
    "reproduce",
    "tracking",
    "estimates",
    "inventory",
    "clean",
    "metrics/",
    "export/made.py",
    "export/facts.py",
    "export/card.py",
    "export/hub.py",
    "realign/ready.py",
    "realign/__init__.py",
    "kl/rules.py",
    "kl/controller.py",
    "kl/grid.py",
    "kl/path.py",
    "kl/__init__.py",
    "kl/properties.py",
)
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "pytorch_lightning",
    "mlflow",
    "tensorboard",
    "wandb",
    "trackio",
    "psutil",
    "pynvml",
    "pandas",
    "sklearn",
    "scipy",
    "matplotlib",
    "altair",
    "vl_convert",
}
# and what makes `rlhf export --help` wait: each takes a tenth of a second and more
HELPLESS = HEAVY | {"pydantic", "hydra", "omegaconf", "rich", "numpy", "yaml", "huggingface_hub"}
# our own layers, lowest first; a part may import what stands before it, or itself
LAYERS = [
    {
        "functional",
        "rundir",
        "randomness.py",
        "arguments.py",
        "at_once.py",
        "digests.py",
        "imports.py",
        "metrics",
    },
    {"types.py"},
    {"ranks"},
    {"kl", "oracle"},
    {"data"},
    {"models"},
    {"rollout"},
    {"rewards"},
    {"annotators"},
    {"modules"},
    {"tracking"},
    {"callbacks"},
    {"config"},
    {"inventory"},
    {"estimates"},
    {"export"},
    {"chat"},
    {"compare"},
    {"stages"},
    {"realign"},
    {"runs"},
    {"sweeps"},
    {"reproduce"},
    {"clean"},
    {"commands", "__init__.py", "__main__.py"},
]


def part(path):
    return path.relative_to(ROOT).parts[0]


@cache
def imports(path, *, top_only=False):
    tree = ast.parse(path.read_text())
    found = []
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append(node.module)
    return found


def typing_only(path):
    """Modules imported under `if TYPE_CHECKING:`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for child in ast.walk(node):
                if isinstance(child, ast.ImportFrom) and child.module:
                    yield child.module


def test_every_part_is_in_a_layer():
    placed = set().union(*LAYERS)
    assert {part(path) for path in FILES} == placed


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_libraries_stay_in_their_rooms(library):
    users = {
        part(path) for path in FILES if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users <= MAY_IMPORT[library]


def test_the_mathematics_knows_torch_only():
    for path in FILES:
        if part(path) in TORCH_ONLY:
            foreign = {name.split(".")[0] for name in imports(path)} & (HEAVY - {"torch"})
            assert not foreign, f"{path}: {foreign}"


def test_the_way_to_a_valid_config_is_light():
    for path in FILES:
        name = str(path.relative_to(ROOT))
        if name.startswith(LIGHT):
            heavy = {module.split(".")[0] for module in imports(path, top_only=True)} & HEAVY
            assert not heavy, f"{name} imports {heavy} when it is imported"


def of_ours(module):
    """The files that an import of a module of ours reads: its own, and those of the packages that
    it lies in."""
    parts = module.split(".")[1:]
    for depth in range(len(parts) + 1):
        place = ROOT.joinpath(*parts[:depth])
        yield from (f for f in (place / "__init__.py", place.with_suffix(".py")) if f.is_file())


def imported_with(path):
    """All that is imported when this file is, each with the files on the way to it."""
    ways, waiting = {}, [(path, ())]
    seen = {path}
    while waiting:
        file, way = waiting.pop()
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in getattr(node, "names", ())]
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{name}" for name in names)]
            elif not isinstance(node, ast.Import):
                continue
            for name in names:
                ways.setdefault(name.split(".")[0], (*way, file.name))
                fresh = {*of_ours(name)} - seen if name.startswith("rlhf.") else set()
                seen |= fresh
                waiting += [(each, (*way, file.name)) for each in fresh]
    return ways


@pytest.mark.parametrize(
    "path", sorted((ROOT / "commands").glob("[!p]*/[!_]*.py")), ids=lambda path: path.stem
)
def test_the_help_of_a_subcommand_waits_for_nothing(path):
    ways = imported_with(path)
    assert {name: ways[name] for name in HELPLESS & ways.keys()} == {}


def test_imports_point_down():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    for path in FILES:
        allowed = set(typing_only(path))
        for module in imports(path):
            if not module.startswith("rlhf.") or module in allowed:
                continue
            inner = module.split(".")[1]
            target = inner if inner in level else f"{inner}.py"
            assert level[target] <= level[part(path)], (
                f"{path.relative_to(ROOT)} imports {module}, which stands above it"
            )


def test_models_are_made_in_few_files():
    for path in FILES:
        makers = {
            "AutoModelForCausalLM",
            "AutoModelForSequenceClassification",
            "AutoTokenizer",
            "LlamaConfig",
            "GPT2Config",
        }
        named = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        # the last three read a directory as somebody without us does
        makers_of = ("models/load.py", "models/classifier.py", "export/plain.py")
        makers_of += ("export/decoder.py", "models/files/answering.py")
        if str(path.relative_to(ROOT)) not in makers_of:
            assert not named & makers, path


def test_algorithms_are_asked_for_what_they_can_do():
    """By properties of their pieces (`rlhf.config.pieces.algorithm`): their names and modules are
    known to themselves alone."""
    own, pieces = "rlhf.modules.algorithms", "rlhf.config.pieces.algorithm"
    shared = {"ALGORITHMS", "Advantage", "Algorithm", "NoAdvantage", "PolicyGradient"}
    for path in FILES:
        if ROOT / "modules" / "algorithms" in path.parents:
            continue
        assert not [name for name in imports(path) if name.startswith(own)], path
        named = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module == pieces
            for alias in node.names
        }
        assert named <= shared, path


def test_unsafe_loading_is_nowhere():
    """No pickle, no torch.load but the one with weights_only=True, no trust_remote_code=True."""
    for path in FILES:
        text = path.read_text()
        assert (
            "weights_only=False" not in text
            and "trust_remote_code=True" not in text
            and "import pickle" not in text
        ), path
        if "torch.load(" in text:
            assert path.name == "checkpoint.py" and "weights_only=True" in text


def test_classes_of_a_config_are_found_in_one_file():
    """By the allow-list. Hydra's own `instantiate` follows what stands in texts, and has none."""
    assert [path for path in FILES if "instantiate(" in path.read_text()] == []
    finders = [path for path in FILES if "locate(" in path.read_text()]
    assert [str(path.relative_to(ROOT)) for path in finders] == ["config/build.py"]


def test_hydras_private_parts_are_used_in_one_file():
    attributes = {"class_name_to_class", "_return_value", "validate_batch_is_legal", "repository"}
    for path in FILES:
        tree = ast.parse(path.read_text())
        named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        private = any(name.startswith("hydra._internal") for name in imports(path))
        if str(path.relative_to(ROOT)) != "config/composition/hydra_internals.py":
            assert not private and not named & attributes, path
        else:
            assert private


# --- size

MOST_FILES = 12  # of a folder
LONGEST_FILE, LONGEST_FUNCTION = 250, 50  # lines at 100 columns
EXCEPTIONS = {
    "kl/controller.py": "seven controllers side by side: one idea, read together",
}


def test_no_room_holds_more_than_a_dozen_files():
    rooms = Counter(path.parent for path in FILES)
    assert {str(room.relative_to(ROOT)): n for room, n in rooms.items() if n > MOST_FILES} == {}


def test_every_package_says_what_it_is():
    for folder in {path.parent for path in FILES}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def long_places():
    for path in FILES:
        name, text = str(path.relative_to(ROOT)), path.read_text()
        if text.count("\n") > LONGEST_FILE:
            yield name
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        for node in (n for n in ast.walk(ast.parse(text)) if isinstance(n, functions)):
            if node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                yield f"{name}:{node.name}"


def test_files_and_functions_are_small():
    """One that is not is asking to be two, or to stand among the exceptions with its reason."""
    assert {*long_places()} == {*EXCEPTIONS}


# --- cycles


def test_no_file_imports_itself_by_a_detour():
    """Lazy imports count; those for the type checker alone do not."""
    files = {module_of(path): path for path in FILES}
    edges = {name: {*used(path, files)} - {name} for name, path in files.items()}
    while leaves := {name for name, targets in edges.items() if not targets}:
        edges = {name: edges[name] - leaves for name in edges.keys() - leaves}
    assert edges == {}


def module_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def used(path, files):
    """The files of ours that a file imports."""
    typed = set(typing_only(path))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module not in typed:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (set(submodules) & files.keys()) or ({node.module} & files.keys())
