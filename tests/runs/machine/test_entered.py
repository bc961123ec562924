"""The files that a run begins with, and a run whose files are others now."""

import pytest

from rlhf.config.compose import compose, validate
from rlhf.digests import file_digest
from rlhf.rundir.errors import RunFailed
from rlhf.runs.machine.entered import entered_with
from tests.conftest import SMALL


def test_files_of_the_template_and_of_what_scores(tmp_path):
    template = tmp_path / "mine.jinja"
    template.write_text("{{ messages }}")
    judge = tmp_path / "judge"
    judge.mkdir()
    (judge / "config.json").write_text("{}")
    files = {"config.json": file_digest(judge / "config.json")}
    lines = [f"data.template={template}", "scorer=classifier", f"scorer.path={judge}"]
    assert entered_with(validate(compose([*SMALL, *lines, "ppo.value_init=policy"]))) == {
        "scorer.path": files,
        "data.template": {"mine.jinja": file_digest(template)},
    }
    parts = ["scorer=combined", "+scorer@scorer.parts.kind=classifier"]
    parts += [f"scorer.parts.kind.path={judge}", "ppo.value_init=policy"]
    assert entered_with(validate(compose([*SMALL, *parts]))) == {"scorer.parts.kind.path": files}
    assert entered_with(validate(compose([*SMALL]))) == {}


def test_a_run_with_another_template_is_not_taken_for_the_same(run_in, tmp_path):
    template = tmp_path / "mine.jinja"
    text = "{%- for turn in messages -%}{{- turn.content -}}{%- endfor -%}"
    template.write_text(text)
    lines = ("stage=sft", f"data.template={template}")
    run_in(tmp_path / "run", *lines)
    template.write_text(text + " ")
    with pytest.raises(RunFailed, match=r"data\.template \(mine\.jinja\)\. rerun=true"):
        run_in(tmp_path / "run", *lines)
