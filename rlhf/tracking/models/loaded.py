"""What MLflow has to know of a logged policy to load it as a model that answers prompts."""

from __future__ import annotations

import platform
from pathlib import Path

from rlhf.models.files import answering
from rlhf.models.files.answering import PROMPT, RESPONSE, SETTINGS


def describe_model(folder: Path, model_id: str) -> None:
    """Writes MLflow's `MLmodel` into a policy's directory: how it is loaded, and its signature.

    A prompt of text goes in, a response of text comes out; the params are those of transformers'
    `generate`, 1.0 the temperature at which a policy is trained.
    """
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    kinds = {int: "long", bool: "boolean", float: "double"}
    signature = ModelSignature(
        inputs=Schema([ColSpec("string", PROMPT)]),
        outputs=Schema([ColSpec("string", RESPONSE)]),
        params=ParamSchema(
            [ParamSpec(name, kinds[type(value)], value) for name, value in SETTINGS.items()]
        ),
    )
    flavour = {"loader_module": answering.__name__, "python_version": platform.python_version()}
    Model(flavors={"python_function": flavour}, signature=signature, model_id=model_id).save(
        str(folder / "MLmodel")
    )
