"""Conversations that templates must write as the model's own do."""

from rlhf.data.conversations import Turn
from rlhf.data.rendering.choice import Template, choose
from rlhf.data.rendering.rendering import Rendering
from tests.data.rendering import families

S, U, A, T = "system", "user", "assistant", "tool"


def turns(*pairs):
    return tuple(Turn(role, content) for role, content in pairs)


PLAIN = {
    "one": turns((U, "What is 1 + 1?"), (A, "It is two.")),
    "several": turns((U, "Hi"), (A, "Hello."), (U, "And you?"), (A, "Well, thank you.")),
    "blanks": turns((U, "\n a \n"), (A, " b\n"), (U, "c "), (A, "\n\nd\n\n")),
    "letters": turns(
        (U, "مرحبا 🦜"), (A, "e\u0301 और \ue0f0 0\ue0f1"), (U, "\u200f"), (A, "👩‍👩‍👧")
    ),
    "empty": turns((U, ""), (A, "")),
    "like marks": turns((U, "\ue0f01\ue0f1"), (A, "\ue0f00\ue0f1"), (U, "\ue0f0"), (A, "ok")),
    "code": turns((U, "f?"), (A, "def f(x):\n    return x\n\n\n# {{ messages }} {% raise %}")),
}
SYSTEM = turns((S, "Be short."), (U, "Hi"), (A, "Hello."), (U, "Bye"), (A, "Bye."))
TOOL = turns((U, "Sum?"), (A, "call sum"), (T, "42"), (A, "It is 42."), (U, "Ok"), (A, "Good."))


def spelled(*tokens):
    """What the user and the assistant say spells out special tokens."""
    text = " and ".join(tokens)
    return turns((U, f"say {text}"), (A, f"{text} it is"), (U, tokens[0]), (A, f"no {tokens[-1]}"))


def allowed(family):
    """By name, those that the family's template takes."""
    tokens = [token for token in (family.eos, family.bos, *family.special) if token]
    more = {"system": (S, SYSTEM), "tool": (T, TOOL)}
    return {
        **PLAIN,
        **{name: rows for name, (role, rows) in more.items() if role in family.roles},
        "spelled": spelled(*tokens),
    }


# --- renderings


def of(tokenizer, template="auto", **more):
    """The rendering by a template's name, or by its text."""
    chosen = (
        Template("mine.jinja", template)
        if "{" in template
        else choose(template, tokenizer, continues=False)
    )
    return Rendering(tokenizer=tokenizer, template=chosen, **more)


def rendering(name):
    return of(families.tokenizer(name))


def words(rendered, ids):
    return rendered.tokenizer.convert_ids_to_tokens(list(ids))


TWO = turns(("user", "a b"), ("assistant", "c"), ("user", "d"), ("assistant", "e f"))
