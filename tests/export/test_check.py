"""The conversation that an export is compared by."""

from rlhf.data.rendering.choice import AUTO, choose
from rlhf.data.rendering.rendering import Rendering
from rlhf.data.tokenizers import symbols, word_level
from rlhf.export.check import CONVERSATION, conversation


def written(tokenizer):
    return Rendering(
        tokenizer=tokenizer, template=choose(AUTO, tokenizer, continues=True), model_stops=()
    )


def test_a_tokenizer_without_the_words_has_a_conversation_of_its_own():
    assert conversation(written(word_level(["What? That."]))) == CONVERSATION
    question, answer = conversation(written(symbols("ab")))
    assert (question.content, answer.content) == ("a", " a")
