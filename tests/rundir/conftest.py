import pytest

from rlhf.rundir.files import append_jsonl


@pytest.fixture
def run(tmp_path):
    """Iterations 0 to 4, evaluated at 0, 2 and 4."""
    for i in range(5):
        evaluation = {"eval/kl": i / 3} if i % 2 == 0 else {}
        training = {"loss": 1 / (i + 1)} if i else {}
        append_jsonl(tmp_path / "metrics.jsonl", [{"iteration": i, **training, **evaluation}])
        append_jsonl(tmp_path / "timings.jsonl", [{"iteration": i, "seconds": 1.0}])
        if evaluation:
            samples = [{"iteration": i, "response": r} for r in ("a\u2028b\x85", "c")]
            append_jsonl(tmp_path / "samples.jsonl", samples)
            append_jsonl(
                tmp_path / "by_prompt.jsonl", [{"iteration": i, "prompts": "a", "responses": [i]}]
            )
    return tmp_path
