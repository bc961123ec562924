"""What jobs have in common gives the bytes that each would come to alone, and is taken by those
alone that would."""

import gc
import json
import logging

import pytest
import torch

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.data.records import Loaded
from rlhf.data.rendering import choice
from rlhf.runs.common import made
from rlhf.stages.context import StageContext

ROWS = [{"prompt": f"is {word} good", "completion": f"{word} is fine"} for word in "abcdefgh"]


@pytest.fixture
def server(monkeypatch):
    """server(*configs): this process as the server has it after `make`."""
    monkeypatch.setattr(made, "_rows", {})
    monkeypatch.setattr(made, "_inputs", {})
    threads = torch.get_num_threads()
    yield lambda *configs: made.make(configs)
    torch.set_num_threads(threads)
    gc.unfreeze()


@pytest.fixture
def of_file(tmp_path):
    """of_file(*overrides): a config whose rows are in a file; the file."""
    path = tmp_path / "rows.jsonl"
    write(path, ROWS)

    def config(*overrides):
        data = ("data=files", f"data.demonstrations={path}", "scorer=gold", "data.gold=vader")
        return validate(compose([*data, "tracking=none", "ppo.value_init=policy", *overrides]))

    return config, path


def write(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def context_of(cfg, directory):
    return StageContext(cfg=cfg, **made.load(cfg)._asdict(), run_directory=directory)


FILES = ("metrics.jsonl", "samples.jsonl", "data_report.json", "policy/model.safetensors")


def test_a_job_gives_the_bytes_of_the_run_alone(run_in, tmp_path, server, artifacts):
    from tests.conftest import SMALL

    run_in(tmp_path / "alone", "kl.coef=0.1")
    server(validate(compose([*SMALL, f"paths.artifacts={artifacts}", "kl.coef=0.3", "seed=4"])))
    assert len(made._inputs) == 1
    taken = made._inputs.copy()
    run_in(tmp_path / "job", "kl.coef=0.1")
    assert made._inputs == taken
    for name in FILES:
        one, other = (tmp_path / which / name for which in ("alone", "job"))
        assert one.read_bytes() == other.read_bytes(), name
    one, other = (
        json.loads((tmp_path / which / "manifest.json").read_text()) for which in ("alone", "job")
    )
    for key in ("hash", "fingerprints", "data", "versions", "hardware"):
        assert one[key] == other[key]


def test_a_job_takes_what_was_made(server, tmp_path):
    cfg, other = (
        validate(compose([f"kl.coef={coef}", "tracking=none", "data.demonstrations=64"]))
        for coef in (0.1, 0.2)
    )
    server(cfg)
    first, second = (context_of(each, tmp_path) for each in (cfg, other))
    for context in (first, second):
        made.lend(context)
    assert first.data is second.data and first.tokenizer is second.tokenizer
    assert first.reports[0] is second.reports[0]


@pytest.mark.parametrize("other", ["sft.max_length=32", "generation.max_new_tokens=8"])
def test_other_lengths_have_another_report(server, tmp_path, other):
    cfg = validate(compose(["tracking=none", "data.demonstrations=64"]))
    server(cfg)
    differs = validate(compose(["tracking=none", "data.demonstrations=64", other]))
    context = context_of(differs, tmp_path)
    made.lend(context)
    assert context.reports == [] and "tokenizer" not in vars(context)


def test_other_data_are_read(server, tmp_path):
    cfg = validate(compose(["tracking=none", "data.demonstrations=64"]))
    server(cfg)
    other = validate(compose(["tracking=none", "data.demonstrations=65"]))
    data = made.load(other).data
    assert data == Loaded.of(build(other.data)).data != made.load(cfg).data


def test_a_file_that_changed_is_seen(server, of_file, tmp_path):
    config, path = of_file
    server(config())
    before = made.load(config()).data
    assert before is made.load(config("kl.coef=0.3")).data
    write(path, [*ROWS, {"prompt": "is it", "completion": "it is"}])
    after = made.load(config()).data
    assert after.fingerprint != before.fingerprint == made._rows.popitem()[1].value.data.fingerprint
    context = context_of(config(), tmp_path)
    made.lend(context)
    assert context.reports == []


def test_a_file_that_is_gone_is_told_by_the_job(server, of_file):
    config, path = of_file
    path.unlink()
    server(config())
    assert made._rows == {} == made._inputs
    with pytest.raises(ValueError, match=r"rows\.jsonl"):
        made.load(config())


def test_a_template_that_changed_is_seen(server, of_file, tmp_path):
    config, _ = of_file
    template = tmp_path / "mine.jinja"
    own = choice.FOLDER / "transcript.jinja"
    template.write_text(own.read_text())
    cfg = config(f"data.template={template}")
    server(cfg)
    before = context_of(cfg, tmp_path)
    made.lend(before)
    assert before.reports
    template.write_text(own.read_text() + " ")
    after = context_of(cfg, tmp_path)
    made.lend(after)
    assert after.reports == [] and after.rendering.template != before.rendering.template


def test_what_is_warned_of_is_warned_of_by_each_job(server, of_file, caplog):
    config, path = of_file
    write(path, [*ROWS, {"prompt": "none"}])
    skip = config("data.on_bad_row=skip")
    server(skip)
    assert caplog.records == []  # the server's terminal is the sweep's
    for _ in range(2):
        caplog.clear()
        made.load(skip)
        (record,) = caplog.records
        assert "1 bad rows are left out" in record.getMessage()
        assert record.levelno == logging.WARNING


def test_rows_of_the_hub_are_read_by_each_job(of_file):
    config, _ = of_file
    cfg = config("data.prompts=hub:someone/prompts")
    assert made.rows_key(cfg, build(cfg.data)) is None


def test_without_a_server_nothing_is_kept(tmp_path):
    cfg = validate(compose(["tracking=none", "data.demonstrations=64"]))
    assert made._rows == {} == made._inputs
    context = context_of(cfg, tmp_path)
    made.lend(context)
    assert context.reports == [] and made._rows == {}


READ_FOR_STAGES = {"scorer", "ppo", "algorithm", "advantage", "stage"}  # by `needed_stages`


def test_the_key_covers_all_that_is_read(tmp_path):
    """Of the config only the sections that the key has, and those that say which stages there
    are."""
    from rlhf.runs.common.told import SECTIONS
    from rlhf.stages.inputs import Inputs
    from rlhf.stages.report import data_report

    cfg, read = validate(compose(["tracking=none", "data.demonstrations=64"])), set()

    class Watched:
        def __getattr__(self, name):
            read.add(name)
            return getattr(cfg, name)

    context = Inputs(cfg=Watched(), **Loaded.of(build(cfg.data))._asdict())
    data_report(context)
    for name in made.LENT:
        getattr(context, name)
    assert read <= {*SECTIONS, *READ_FOR_STAGES}
    assert {"data", "model", "generation"} <= read
