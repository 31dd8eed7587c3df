"""From a question and its hits to the tokens that a model reads: budget, layout, forms."""

from __future__ import annotations

from edgeperso.prompting.begun import begun_answer
from edgeperso.prompting.forms import ChatForm, CompletionForm, Form, Render, choose_form
from edgeperso.prompting.layout import Budget, Dropped, Layout, Prompt, profile_card
from edgeperso.prompting.quote import quote

__all__ = [
    "Budget",
    "ChatForm",
    "CompletionForm",
    "Dropped",
    "Form",
    "Layout",
    "Prompt",
    "Render",
    "begun_answer",
    "choose_form",
    "profile_card",
    "quote",
]
