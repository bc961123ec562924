from rlhf.data.collate import collate_prompts
from rlhf.data.rendering.kept import PromptIds
from tests.turns import prompts, rendering


def test_a_prompt_is_encoded_once_however_often_it_is_drawn(tokenizer):
    """The ids are those of prompts encoded anew, in the order of each draw."""
    anew = rendering(tokenizer)
    kept = PromptIds(anew)
    a, b, c = (prompt.turns for prompt in prompts("a b c", "d", "e f"))
    first = dict(zip("aba", kept([a, b, a]), strict=True))
    again = kept([b, c])
    assert again[0] is first["b"]
    assert [[*row] for row in again] == [[*row] for row in anew.prompts([b, c])]


def test_a_batch_of_remembered_ids_is_that_of_prompts_encoded_anew(tokenizer):
    texts = prompts("a b c", "d", "a b c")
    own = rendering(tokenizer)
    kept = PromptIds(own)
    for _ in range(2):
        batch, anew = collate_prompts(own, texts, 2, kept), collate_prompts(own, texts, 2)
        assert batch.tokens.tolist() == anew.tokens.tolist()
        assert batch.mask.tolist() == anew.mask.tolist()
