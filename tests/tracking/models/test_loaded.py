import mlflow.pyfunc
import pandas as pd
import pytest

from rlhf.tracking.models.loaded import describe_model


@pytest.mark.parametrize("template", [None, "{% for m in messages %}{{ m.content }}{% endfor %}"])
def test_mlflow_loads_a_policy_that_answers_by_its_signature(
    policy, tokenizer, tmp_path, template, monkeypatch
):
    monkeypatch.setattr(tokenizer, "chat_template", template)
    policy.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    describe_model(tmp_path, "m-1")
    model = mlflow.pyfunc.load_model(str(tmp_path))
    signature = model.metadata.signature
    assert signature.inputs.input_names() == ["prompt"]
    assert signature.outputs.input_names() == ["response"]
    assert {p.name: p.default for p in signature.params.params} == {
        "max_new_tokens": 64,
        "do_sample": True,
        "temperature": 1.0,
    }
    greedy = {"max_new_tokens": 4, "do_sample": False}
    first, second = model.predict(pd.DataFrame({"prompt": ["ab", "ab"]}), params=greedy)
    assert isinstance(first, str) and first == second
