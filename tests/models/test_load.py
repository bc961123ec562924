import pytest
import torch

from rlhf.models.load import (
    HFModel,
    TinyModel,
    load_causal_lm,
    load_scalar_model,
    load_tokenizer,
    scalar_model_from,
)
from rlhf.rundir.errors import ModelError
from tests.conftest import tiny


def test_weights_depend_on_the_seed_alone(tokenizer):
    def weights(seed):
        torch.manual_seed(torch.initial_seed() + 1)
        model = TinyModel(
            architecture="llama", hidden_size=16, layers=1, heads=2, seed=seed
        ).causal_lm(tokenizer)
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_dropout_off(tokenizer, architecture):
    model = tiny(tokenizer, architecture).train()
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


def test_a_saved_model_is_an_hf_model(tokenizer, architecture, tmp_path):
    model = tiny(tokenizer, architecture)
    piece = TinyModel(architecture=architecture, hidden_size=16, layers=2, heads=2, seed=0)
    piece.save(model, tokenizer, tmp_path)
    spec = HFModel(path=str(tmp_path), revision=None, dtype="float32", trust_remote_code=False)
    again, words = (
        spec.causal_lm(tokenizer),
        spec.tokenizer(lambda: pytest.fail("an HF model brings its tokenizer")),
    )
    ids = torch.tensor([words("a b c", add_special_tokens=False)["input_ids"]])
    assert ids.tolist()[0] == tokenizer("a b c", add_special_tokens=False)["input_ids"]
    assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)


def test_frozen_parameters_are_not_trained(tokenizer):
    model = tiny(tokenizer)
    piece = HFModel(path="x", revision=None, dtype="float32", trust_remote_code=False)
    assert len(piece.trainable_parameters(model)) == len(list(model.parameters()))
    first, *others = model.parameters()
    first.requires_grad_(False)
    trained = {id(parameter) for parameter in piece.trainable_parameters(model)}
    assert trained == {id(parameter) for parameter in others}


def test_identity_of_a_local_model_is_its_content(tokenizer, tmp_path):
    def identity():
        return HFModel(
            path=str(tmp_path), revision=None, dtype="float32", trust_remote_code=False
        ).identity()

    tiny(tokenizer).save_pretrained(tmp_path)
    first = identity()
    assert first == identity()
    tiny(tokenizer, seed=3).save_pretrained(tmp_path)
    assert first != identity()


def test_scalar_model_keeps_the_backbone_and_survives_the_disk(tokenizer, architecture, tmp_path):
    model = tiny(tokenizer, architecture)
    scalar = scalar_model_from(model, seed=0)
    ids, mask = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids).last_hidden_state
        assert torch.allclose(scalar(ids, mask), hidden @ scalar.head.weight[0], atol=1e-6)
        scalar.normalize(torch.tensor([1.0, 3.0]))
        scalar.save(tmp_path, tokenizer)
        assert torch.equal(load_scalar_model(tmp_path)(ids, mask), scalar(ids, mask))
    assert len(load_tokenizer(tmp_path)) == len(tokenizer)


def test_a_head_of_zeros_values_everything_at_zero(policy):
    scalar = scalar_model_from(policy, seed=0, head_std=0.0)
    assert torch.equal(
        scalar(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool)), torch.zeros(1, 2)
    )


def test_pickled_weights_are_not_loaded(tokenizer, policy, tmp_path):
    policy.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(policy.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="a pickle can hold code"):
        load_causal_lm(tmp_path)


def test_weights_saved_in_16_bits_are_trained_in_32(tokenizer, tmp_path):
    tiny(tokenizer).to(torch.bfloat16).save_pretrained(tmp_path)
    piece = HFModel(path=str(tmp_path), revision=None, dtype="float32", trust_remote_code=False)
    assert {p.dtype for p in piece.causal_lm(tokenizer).parameters()} == {torch.float32}


def test_a_configuration_is_had_without_weights(tokenizer, tmp_path):
    tiny(tokenizer, "gpt2").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    piece = HFModel(path=str(tmp_path), revision=None, dtype="float32", trust_remote_code=False)
    assert piece.config(tokenizer).n_positions == 1024


@pytest.mark.parametrize("text", ["{not json", '{"model_type": "no_such_model"}'])
def test_a_folder_that_holds_no_model_is_told_with_its_key(tokenizer, tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    piece = HFModel(path=str(tmp_path), revision=None, dtype="float32", trust_remote_code=False)
    with pytest.raises(ModelError, match=f"model.path={tmp_path} cannot be loaded"):
        piece.config(tokenizer)
    with pytest.raises(ModelError, match=f"model.path={tmp_path} cannot be loaded"):
        piece.tokenizer(lambda: tokenizer)
