import pytest
import torch

from rlhf.models.adapters.quantized import four_bit_fault, loading_as
from rlhf.models.load import HFModel
from rlhf.rundir.errors import ModelError


def test_types_of_torch():
    assert loading_as("float32") == {"dtype": torch.float32}
    assert loading_as("bfloat16") == {"dtype": torch.bfloat16}


def test_four_bits_need_a_gpu_and_say_so(policy, tokenizer, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    policy.save_pretrained(tmp_path)
    model = HFModel(path=str(tmp_path), revision=None, dtype="4bit", trust_remote_code=False)
    with pytest.raises(
        ModelError, match=r"model.dtype=4bit needs an NVIDIA GPU.*expected bfloat16"
    ):
        model.causal_lm(tokenizer)
    assert four_bit_fault()


def test_a_network_in_bfloat16(policy, tokenizer, tmp_path):
    policy.save_pretrained(tmp_path)
    model = HFModel(path=str(tmp_path), revision=None, dtype="bfloat16", trust_remote_code=False)
    assert model.causal_lm(tokenizer).dtype == torch.bfloat16


@pytest.mark.slow
def test_four_bits_on_a_gpu(policy, tokenizer, tmp_path):
    """Not run where there is no GPU with bitsandbytes."""
    if fault := four_bit_fault():
        pytest.skip(fault)
    from rlhf.models.adapters.backbone import Lora, SharedBackbone
    from rlhf.models.adapters.views import PolicyView

    policy.save_pretrained(tmp_path)
    model = HFModel(path=str(tmp_path), revision=None, dtype="4bit", trust_remote_code=False)
    shared = SharedBackbone(model.causal_lm(tokenizer))
    shared.add("policy", Lora(r=4, alpha=8), seed=0)
    view, digest = PolicyView(shared, "policy").requires_grad_(True), shared.digest()
    ids = torch.tensor([[3, 4, 5]], device=view.device)
    view(input_ids=ids).logits.float().square().sum().backward()
    assert all(p.grad is not None and p.dtype == torch.float32 for p in view.parameters())
    assert shared.digest() == digest
