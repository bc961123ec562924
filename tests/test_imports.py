"""What a run imports before it begins, and that a module put in place with a few of its names is
the module itself. In processes of their own: this one has imported everything."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from rlhf.imports import lean

# libraries, and parts of them, that a run does not need: each cost 0.1 to 2 s of every start
NOT_NEEDED = (
    *("scipy", "matplotlib", "pandas", "sklearn", "pyarrow", "datasets", "mlflow", "peft"),
    *("torchmetrics.functional", "torchmetrics.classification", "torchvision", "torchaudio"),
    *("tensorboard", "torch.utils.tensorboard", "jsonargparse"),
    *(
        "altair",
        "vl_convert",
        "optuna",
        "requests",
        "fastapi",
        "sqlalchemy",
        "deepspeed",
        "IPython",
    ),
)
SEEN = f"print([name for name in {NOT_NEEDED!r} if name in sys.modules])"
PIPELINE = """
import sys
from rlhf.imports import quick_imports
with quick_imports():
    import rlhf.runs.run
"""


def prints(code, **options):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def test_the_pipeline_imports_nothing_that_no_run_needs():
    assert prints(PIPELINE + SEEN) == ["[]"]


@pytest.mark.slow
def test_a_run_to_its_end_needs_none_of_them_either(tmp_path):
    settings = "data=micro model.hidden_size=16 model.layers=1 ppo.iterations=1 best_of_n.samples=0"
    words = f"{settings} sft.epochs=1 reward_model.epochs=1 tracking=none".split()
    code = (
        f"import sys\nfrom rlhf.__main__ import main\ncode = main({words!r})\n{SEEN}\nprint(code)"
    )
    assert prints(code, cwd=tmp_path)[-2:] == ["[]", "0"]


def test_what_is_in_place_becomes_whole_when_more_of_it_is_asked_for():
    code = (
        PIPELINE
        + """
import gc, torch, torchmetrics
from torchmetrics import Metric
assert gc.isenabled() and gc.get_freeze_count() > 100_000
assert Metric is sys.modules["torchmetrics.metric"].Metric and torchmetrics.__version__
assert not hasattr(torchmetrics, "__wrapped__") and "torchmetrics.functional" not in sys.modules
from scipy.optimize import linear_sum_assignment
print([side.tolist() for side in linear_sum_assignment([[1.0, 2.0], [3.0, 0.0]])])
import scipy.optimize
print(scipy.optimize.minimize(lambda x: (x[0] - 2) ** 2, [0.0]).x.round(3).item())
assert scipy.optimize.linear_sum_assignment is not linear_sum_assignment
from torchmetrics import Accuracy, MeanMetric
assert issubclass(Accuracy(task="binary").__class__, Metric) and torchmetrics.SumMetric
mean = MeanMetric()
mean.update(torch.tensor([1.0, 2.0]))
print(mean.compute().item())
try:
    scipy.optimize.nothing
except AttributeError as error:
    print(error)
"""
    )
    assert prints(code) == [
        "[[0, 1], [0, 1]]",
        "2.0",
        "1.5",
        "module 'scipy.optimize' has no attribute 'nothing'",
    ]


def test_what_was_imported_before_is_left_as_it_is():
    code = """
import sys, torchmetrics, scipy.optimize
before = sys.modules["torchmetrics"], sys.modules["scipy.optimize"]
from rlhf.imports import lean, lean_metrics
lean_metrics()
assert lean("scipy.optimize", {}) is None and lean("no_such_package.part", {}) is None
assert lean("scipy.no_such_part", {}) is None and lean("math.part", {}) is None
print(before == (sys.modules["torchmetrics"], sys.modules["scipy.optimize"]))
"""
    assert prints(code) == ["True"]


def test_what_cannot_be_loaded_is_tried_again(tmp_path, monkeypatch):
    """A part of a module that is not there yet: the fault is told each time, then it is there."""
    (tmp_path / "half_there.py").write_text("import not_yet_there\nrest = not_yet_there.value\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = lean("half_there", {"given": 1})
    assert module.given == 1
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="not_yet_there"):
            _ = module.rest
    monkeypatch.setitem(sys.modules, "not_yet_there", SimpleNamespace(value=2))
    assert module.rest == 2
    monkeypatch.delitem(sys.modules, "half_there")
