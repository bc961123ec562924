"""A logged policy as MLflow loads it: `mlflow.pyfunc.load_model("models:/m-...")` gives a model
that answers prompts, by its signature."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

PROMPT, RESPONSE = "prompt", "response"
SETTINGS: dict[str, Any] = {"max_new_tokens": 64, "do_sample": True, "temperature": 1.0}


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
    flavour = {"loader_module": __name__, "python_version": platform.python_version()}
    Model(flavors={"python_function": flavour}, signature=signature, model_id=model_id).save(
        str(folder / "MLmodel")
    )


class Answering:
    """What MLflow's `predict` calls."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._model = AutoModelForCausalLM.from_pretrained(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def predict(self, prompts: pd.DataFrame, params: dict[str, Any] | None = None) -> list[str]:
        """A response to each prompt."""
        return [self._answer(prompt, SETTINGS | (params or {})) for prompt in prompts[PROMPT]]

    def _answer(self, prompt: str, settings: dict[str, Any]) -> str:
        tokenizer, like = self._tokenizer, {"return_tensors": "pt"}
        if tokenizer.chat_template is None:
            encoded = tokenizer(prompt, **like)
        else:
            encoded = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                add_generation_prompt=True,
                return_dict=True,
                **like,
            )
        sequence = self._model.generate(**encoded, **settings)[0]
        text = tokenizer.decode(sequence[encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        return str(text)


def _load_pyfunc(path: str) -> Answering:
    """The name that MLflow looks for."""
    return Answering(Path(path))
