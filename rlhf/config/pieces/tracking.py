from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from rlhf.config.pieces.base import ByTarget, Custom, Number, Piece, Place

Every = Annotated[Number, Field(ge=0.1, le=86400)]  # seconds
TrackerName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]


class NoTracker(Piece, name="none", at="rlhf.tracking.base.NoTracker"):
    pass


class Service(Piece):
    """A tracker of ours."""

    package: ClassVar[str]  # that it needs, and that is not always installed: also the extra's name


class MLflowTracker(Service, name="mlflow", at="rlhf.tracking.mlflow.MLflowTracker"):
    package = "mlflow"
    looks_up = True  # what it writes down, it writes as the config does
    uri: str
    experiment: str
    # what runs kept that were made before there was a choice does not say these
    nested: bool = False
    system_metrics: Every | None = None


class TensorBoard(Service, name="tensorboard", at="rlhf.tracking.services.tensorboard.TensorBoard"):
    package = "tensorboard"
    logdir: Place
    system_metrics: Every | None


def _project(value: str) -> str:
    if not value.strip() or len(value) > 128 or any(sign in value for sign in "/\\#?%:"):
        raise ValueError("expected a name of 1 to 128 characters, without / \\ # ? % :")
    return value


Project = Annotated[str, AfterValidator(_project)]


class Wandb(Service, name="wandb", at="rlhf.tracking.services.wandb.Wandb"):
    package = "wandb"
    project: Project
    entity: str | None
    mode: Literal["online", "offline"] | None
    dir: Place


class Trackio(Service, name="trackio", at="rlhf.tracking.services.trackio.Trackio"):
    package = "trackio"
    project: Project
    system_metrics: Every | None


Single = NoTracker | MLflowTracker | TensorBoard | Wandb | Trackio
OneOfSeveral = Annotated[Single | Custom, ByTarget()]


class Several(Piece, name="several", at="rlhf.tracking.services.several.Several"):
    trackers: dict[TrackerName, OneOfSeveral]

    @property
    def inner(self) -> tuple[Any, ...]:
        return (*self.trackers.values(),)


Tracking = Annotated[Single | Several | Custom, ByTarget()]


def trackers_of(tracking: Any) -> dict[str, Any]:
    """The trackers that a tracker is made of, by the dotted key of each: itself, or its parts."""
    if not isinstance(tracking, Several):
        return {"tracking": tracking}
    return {f"tracking.trackers.{name}": part for name, part in tracking.trackers.items()}


def mlflow_of(tracking: Any) -> MLflowTracker | None:
    """MLflow, where it is the tracker or one of several."""
    parts = trackers_of(tracking).values()
    return next((part for part in parts if isinstance(part, MLflowTracker)), None)
