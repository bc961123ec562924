from rlhf.data.collate import collate_prompts
from rlhf.data.conversations import asked
from rlhf.data.rendering.kept import PromptIds
from tests.turns import prompts, rendering


class Counting:
    """Renders a prompt as its letters' numbers, and notes what it was asked for."""

    def __init__(self):
        self.asked = []

    def prompts(self, every):
        self.asked.append([turns[0].content for turns in every])
        return [[ord(letter) for letter in turns[0].content] for turns in every]


def test_a_prompt_is_rendered_once():
    ids = PromptIds(rendering := Counting())
    a, b, c = map(asked, ("a", "bb", "c"))
    assert [*map(list, ids([a, b, a]))] == [[97], [98, 98], [97]]
    assert [*map(list, ids([c, b]))] == [[99], [98, 98]]
    assert rendering.asked == [["a", "bb"], ["c"]]


def test_a_batch_of_remembered_ids_is_that_of_prompts_encoded_anew(tokenizer):
    texts, own = prompts("a b c", "d", "a b c"), rendering(tokenizer)
    kept = PromptIds(own)
    for _ in range(2):
        batch, anew = collate_prompts(own, texts, 2, kept), collate_prompts(own, texts, 2)
        assert batch.tokens.tolist() == anew.tokens.tolist()
        assert batch.mask.tolist() == anew.mask.tolist()
