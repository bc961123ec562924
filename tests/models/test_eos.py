from rlhf.models.eos import ignored_eos, ignored_eos_warning
from rlhf.models.load import load_causal_lm
from tests.conftest import tiny


def test_ids_beside_the_tokenizers_own_are_named(tokenizer, tmp_path):
    """As a chat model's generation_config ends a turn by a second token; the list survives saving
    and loading."""
    model, own = tiny(tokenizer), tokenizer.eos_token_id
    assert ignored_eos(model, tokenizer) == {} and ignored_eos_warning(model, tokenizer) == []
    other = tokenizer.convert_tokens_to_ids("b")
    model.generation_config.eos_token_id = [own, other]
    model.save_pretrained(tmp_path)
    loaded = load_causal_lm(tmp_path)
    assert ignored_eos(loaded, tokenizer) == {"b": other}
    (warning,) = ignored_eos_warning(loaded, tokenizer)
    assert f"'b' (id {other}) too: these ids are ignored" in warning and f"(id {own})" in warning
