"""Each would fail if a version of Hydra had changed the private part that it is about."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, base
from omegaconf.errors import ConfigKeyError

from rlhf.config.composition import hydra_internals as internals
from rlhf.config.composition.overrides import Groups
from rlhf.config.composition.session import CONFIG_NAME, session
from rlhf.config.composition.walk import words_of

ROOT = Path(__file__).resolve().parents[3]
CALLS = []  # of the callback below, by name


def test_the_class_that_an_options_file_writes(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("_target_: mine.Rows\n")
    (tmp_path / "data" / "by_default.yaml").write_text("defaults: [mine]\n")
    with session(tmp_path) as hydra:
        config = hydra.config_loader.load_configuration(CONFIG_NAME, [], RunMode.RUN)
    sources = config.hydra.runtime.config_sources
    assert internals.class_in_file("data/mine", sources) == "mine.Rows"
    assert internals.class_in_file("data/by_default", sources) == ""
    assert internals.class_in_file("data/nowhere", sources) == ""


def test_the_names_in_a_group_are_those_that_the_loader_gives(tmp_path):
    (tmp_path / "kl" / "controller").mkdir(parents=True)
    (tmp_path / "kl" / "controller" / "mine.yaml").write_text("coef: 1\n")
    with session(tmp_path) as hydra:
        loader = hydra.config_loader
        for kind in (ObjectType.CONFIG, ObjectType.GROUP):
            for group in ("", "kl", "kl/controller", "hydra/launcher", "nowhere"):
                assert internals.names_in(loader, group, kind) == loader.get_group_options(
                    group, kind
                )
        assert "mine" in internals.names_in(loader, "kl/controller", ObjectType.CONFIG)
        assert "controller" in internals.names_in(loader, "kl", ObjectType.GROUP)


class Remember(Callback):
    """A callback that a config can name."""

    def on_run_start(self, config, **kwargs):
        CALLS.append(("run start", kwargs["config_name"]))

    def on_run_end(self, config, **kwargs):
        CALLS.append(("run end", kwargs["config_name"]))

    def on_job_start(self, config, **kwargs):
        CALLS.append(("job start", None))

    def on_multirun_start(self, config, **kwargs):
        CALLS.append(("multirun start", kwargs["config_name"]))

    def on_multirun_end(self, config, **kwargs):
        CALLS.append(("multirun end", kwargs["config_name"]))


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "tests")
    CALLS.clear()
    with session() as engine:
        yield engine


def composed(engine, *lines, mode=RunMode.RUN):
    watched = f"+hydra.callbacks.remember._target_={__name__}.Remember"
    return engine.compose_config(
        CONFIG_NAME, [*lines, watched], run_mode=mode, with_log_configuration=False
    )


def parsed(engine, *lines):
    return OverridesParser.create(config_loader=engine.config_loader).parse_overrides(list(lines))


def test_the_version_that_was_tried_is_the_only_one_that_installs():
    """A patch release may change what no release promises to keep: try these tests on it first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    pin = f"hydra-core=={hydra.__version__}"
    assert pin in project["dependencies"] and pin in pins


def test_a_new_hydra_finds_its_configs_on_a_path(tmp_path, engine):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    path = internals.create_config_search_path(str(tmp_path))
    assert [entry.provider for entry in path.get_path()][:2] == ["hydra", "main"]
    GlobalHydra.instance().clear()
    other = internals.new_hydra("name", path)
    assert GlobalHydra.instance().hydra is other
    config = other.compose_config("config", ["a=2"], run_mode=RunMode.RUN)
    assert (config.a, config.hydra.job.name, config.hydra.job.config_name) == (2, "name", "config")


def test_the_command_line():
    arguments = ["-m", "a=1", "--config-dir", "x", "--new", "b=2"]
    args, unknown = internals.get_args_parser().parse_known_args(arguments)
    assert (args.multirun, args.overrides, args.config_dir) == (True, ["a=1"], "x")
    assert unknown == ["--new", "b=2"]
    others = ("help", "hydra_help", "cfg", "info", "shell_completion")
    others += ("experimental_rerun", "config_name", "config_path")
    assert not any(getattr(args, name) for name in others)


def test_groups_and_options(engine):
    groups = Groups(engine.config_loader)
    there = ("kl", "kl/controller", "hydra/launcher", "hydra")
    assert all(map(groups.exists, there))
    assert not groups.exists("kl.coef") and not groups.exists("nothing")
    assert groups.has("kl", "grpo") and groups.has("kl", "controller/pid")
    assert not groups.has("kl", "nothing") and not groups.has("nothing", "grpo")


def test_a_value_is_set_in_place(engine):
    config = composed(engine)
    (override,) = parsed(engine, "kl.coef=0.25")
    internals.set_value(config, override)
    assert config.kl.coef == 0.25


def test_a_grid_is_the_product_the_last_word_on_a_key_counts(engine):
    overrides = parsed(engine, "seed=0,1", "kl.coef=0.1", "seed=2,3", "study=a,b")
    assert internals.grid_of(overrides) == [
        ["seed=2", "kl.coef=0.1", "study=a"],
        ["seed=2", "kl.coef=0.1", "study=b"],
        ["seed=3", "kl.coef=0.1", "study=a"],
        ["seed=3", "kl.coef=0.1", "study=b"],
    ]


def test_what_plugins_store_for_launchers(engine):
    ConfigStore.instance().store(group="hydra/launcher", name="of_a_plugin", node={"a": 1})
    assert "of_a_plugin.yaml" in internals.stored("launcher")
    assert "of_a_plugin" in Groups(engine.config_loader).options("hydra/launcher")
    del internals.stored("launcher")["of_a_plugin.yaml"]
    assert "of_a_plugin" not in Groups(engine.config_loader).options("hydra/launcher")


@dataclass
class Stored:
    """A launcher's settings."""

    queue: str = "short"


def test_what_plugins_store_takes_further_settings_once_opened(engine):
    ConfigStore.instance().store(group="hydra/launcher", name="typed", node=Stored)
    kept = internals.stored("launcher")["typed.yaml"]
    with pytest.raises(ConfigKeyError, match="not in 'Stored'"):
        OmegaConf.merge(kept.node, {"jobs": 2})
    internals.open_stored("launcher")
    assert OmegaConf.merge(kept.node, {"jobs": 2}).jobs == 2
    assert kept.node.queue == "short"
    del internals.stored("launcher")["typed.yaml"]


def test_ours_wins_over_a_plugins_of_the_same_name():
    """As hydra-optuna-sweeper stores its own, and a group below it with its samplers."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="optuna", node=Stored)
    store.store(group="hydra/sweeper/sampler", name="tpe", node=Stored)
    try:
        with session() as hydra:
            lines = ["hydra/sweeper=optuna"]
            config = hydra.config_loader.load_configuration(CONFIG_NAME, lines, RunMode.RUN)
        assert config.hydra.sweeper._target_ == "hydra_plugins.rlhf.OptunaSweeper"
        assert "queue" not in config.hydra.sweeper
        assert isinstance(internals.stored("sweeper")["sampler"]["tpe.yaml"].node, DictConfig)
    finally:
        del internals.stored("sweeper")["sampler"]


class Nothing(Launcher):
    def __init__(self, **settings):
        pass

    def setup(self, *, hydra_context, task_function, config):
        self.config = config

    def launch(self, job_overrides, initial_job_idx):
        self.launched = job_overrides
        return []


def test_a_sweeper_with_a_launcher_of_a_name_of_ours(engine, monkeypatch):
    """It hands its jobs over without composing one of them: this one has no such key."""
    known = dict(Plugins.instance().class_name_to_class)
    monkeypatch.setattr(Plugins.instance(), "class_name_to_class", known)
    internals.register_plugin(Nothing, "hydra_plugins.tests.Nothing")
    lines = ["hydra.launcher._target_=hydra_plugins.tests.Nothing", "sweep=s"]
    config = composed(engine, *lines, mode=RunMode.MULTIRUN)
    given = [*words_of(config.hydra.overrides.hydra), *words_of(config.hydra.overrides.task)]
    with internals.sweeping(engine, config, lambda cfg: None, given) as sweeper:
        assert internals.is_grid(sweeper) and type(sweeper.launcher) is Nothing
        assert sweeper.launcher.config is config
        sweeper.sweep(arguments=["no.such.key=1,2"])
    assert sweeper.launcher.launched == [["no.such.key=1"], ["no.such.key=2"]]
    assert CALLS == [("multirun start", CONFIG_NAME), ("multirun end", CONFIG_NAME)]


def test_a_composed_config_is_run_as_hydra_runs_it(engine, tmp_path):
    """The same calls, the same config, the same files as `Hydra.run`, which composes once more."""

    def task(config):
        current = HydraConfig.get()
        return (
            OmegaConf.to_container(config, resolve=True),
            current.runtime.output_dir,
            current.mode,
        )

    config = composed(engine, "kl.coef=0.25")
    returned = internals.run_composed(engine, config, task)
    calls = list(CALLS)
    assert calls == [("run start", CONFIG_NAME), ("job start", None), ("run end", CONFIG_NAME)]
    CALLS.clear()
    watched = f"+hydra.callbacks.remember._target_={__name__}.Remember"
    whole = engine.run(CONFIG_NAME, task, ["kl.coef=0.25", watched], with_log_configuration=False)
    assert (whole.return_value, CALLS) == (returned, calls) and returned[2] == RunMode.RUN
    assert Path(returned[1]).is_dir() and Path(returned[1]).is_relative_to(tmp_path)


def test_what_a_task_raises_is_raised(engine, capsys):
    def task(config):
        raise ArithmeticError("a bad day")

    with pytest.raises(ArithmeticError, match="a bad day"):
        internals.run_composed(engine, composed(engine), task)


def test_a_jobs_result_without_a_line_on_stderr(capsys):
    error = ArithmeticError("a bad day")
    for kind in (JobReturn, internals.QuietReturn):
        result = kind(status=JobStatus.FAILED)
        result.return_value = error
        assert internals.value_of(result) is error
    with pytest.raises(ArithmeticError, match="a bad day"):
        _ = result.return_value
    result.status, result.return_value = JobStatus.COMPLETED, 5
    assert result.return_value == internals.value_of(result) == 5
    assert capsys.readouterr().err == ""


def test_texts_of_interpolations_are_parsed_once_meanwhile():
    """And afterwards as OmegaConf does it. What they come to is another's each time."""
    plain = base.parse
    with internals.parsed_once():
        configs = [OmegaConf.create({"a": i, "b": "${a}-${a}"}) for i in range(3)]
        assert [config.b for config in configs] == ["0-0", "1-1", "2-2"]
        assert base.parse.cache_info().misses == 1
    assert base.parse is plain


def test_composed_quickly_it_is_what_hydra_composes(tmp_path):
    """Also where a defaults list refers to a choice."""
    (tmp_path / "scorer").mkdir()
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "mine.yaml").write_text("steps: 5\n")
    (tmp_path / "scorer" / "mine.yaml").write_text(
        "defaults: [{/beside: '${kl/controller}'}, _self_]\n"
    )
    (tmp_path / "beside" / "pid.yaml").write_text("steps: 6\n")
    chosen = (
        ["kl=grpo", "algorithm=dpo"],
        ["experiment=quickstart", "hydra/launcher=local"],
        ["scorer=mine", "kl/controller=pid"],
    )
    with session(tmp_path) as hydra:
        for lines in chosen:
            plain = hydra.config_loader.load_configuration(CONFIG_NAME, lines, RunMode.RUN)
            with internals.quick_loading():
                quick = hydra.config_loader.load_configuration(CONFIG_NAME, lines, RunMode.RUN)
            assert quick == plain and list(quick) == list(plain)
            assert OmegaConf.to_yaml(quick) == OmegaConf.to_yaml(plain)
    assert plain.scorer.beside.steps == 6
