from rlhf.reproduce import differences
from rlhf.reproduce.differences import Difference
from rlhf.stages.provenance import manifest


def test_packages():
    now = manifest.versions()
    assert differences.packages({"versions": dict(now)}) == []
    then = {**now, "torch": "0.1", "gone": "2"}
    del then["numpy"]
    assert differences.packages({"versions": then}) == [
        Difference(kind="package", name="torch", then="0.1", now=now["torch"]),
        Difference(kind="package", name="gone", then="2", now="(none)"),
        Difference(kind="package", name="numpy", then="(none)", now=now["numpy"]),
    ]


def test_code(monkeypatch):
    monkeypatch.setattr(
        manifest, "git", lambda: {"revision": "b" * 40, "dirty": True, "changes": "c" * 64}
    )
    assert (
        differences.code({"git": {"revision": "b" * 40, "dirty": True, "changes": "c" * 64}}) == []
    )
    moved, changed = differences.code({"git": {"revision": "a" * 40, "dirty": False}})
    assert (moved.name, moved.then, moved.now) == ("git revision", "a" * 12, "b" * 12)
    assert (changed.name, changed.then, changed.now) == ("uncommitted changes", "none", "c" * 16)
    assert (
        differences.code({"git": {"revision": "b" * 40, "dirty": True}})[0].then == "(not recorded)"
    )
    assert differences.code({})[0].then == "(no repository)"


def test_the_graphics_card_counts_only_where_it_is_used(monkeypatch):
    monkeypatch.setattr(
        manifest, "hardware", lambda: {"machine": "x86_64", "cpu": "AVX2", "gpu": "B"}
    )
    then = {"hardware": {"machine": "x86_64", "cpu": "AVX2", "gpu": "A"}}
    assert differences.machine(then, gpu=False) == []
    assert differences.machine(then, gpu=True) == [
        Difference(kind="machine", name="gpu", then="A", now="B")
    ]
    assert differences.machine({}, gpu=False)[0].then == "(not recorded)"


def test_data_names_the_part():
    parts = {"demonstrations": {"rows": 3, "sha256": "d"}, "prompts": {"rows": 2, "sha256": "p"}}
    made = {"fingerprints": {"data": "f" * 64}, "data": parts}
    assert differences.data(made, "f" * 64, parts) == []
    edited = {
        "demonstrations": {"rows": 3, "sha256": "D"},
        "preferences": {"rows": 1, "sha256": "x"},
        "prompts": {"rows": 1, "sha256": "P"},
    }
    (found,) = differences.data(made, "e" * 64, edited)
    assert (found.then, found.now) == ("f" * 16, "e" * 16)
    assert (
        found.note
        == "demonstrations: 3 rows, other content; prompts: 2 rows then, 1 now; preferences: no"
        " rows then, 1 now"
    )
    assert differences.data({"fingerprints": {"data": "f"}}, "e", parts)[0].note == ""


def test_only_stages_that_the_run_stood_on():
    then = {"data": "1", "sft": "a", "reward_model": "b"}
    assert differences.stages(then, {"sft": "a", "reward_model": "c"}) == [
        Difference(kind="stage", name="reward_model", then="b", now="c")
    ]
    assert differences.stages({"data": "1"}, {"sft": "a"}) == []


def test_a_run_that_went_on_under_others_says_so():
    assert differences.legs({}) == differences.legs({"exact_resume": True, "legs": []}) == []
    (only,) = differences.legs({"resumed_under_another": ["torch (2.9.1, then 2.10.0)"]})
    assert (only.kind, only.name) == ("legs", "exact_resume=false")
    assert (only.then, only.now) == ("torch (2.9.1, then 2.10.0)", "in one go")
