from rlhf.data.conversations import asked
from rlhf.data.rendering.kept import PromptIds


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
