"""From a question and its hits to the tokens that a model reads: budget, layout, forms."""

from __future__ import annotations

from edgeperso.prompting.answer_type import AnswerType, answer_type, may_answer
from edgeperso.prompting.begun import begun_answer
from edgeperso.prompting.excerpts import Excerpts, Shorten, excerpts, passages_of
from edgeperso.prompting.forms import ANSWERING, ChatForm, CompletionForm, Form, Render, choose_form
from edgeperso.prompting.layout import Budget, Dropped, Layout, OpenTurn, Prompt, profile_card
from edgeperso.prompting.pieces import tokenize_pieces, yes_no_tokens
from edgeperso.prompting.quote import quotable, quote
from edgeperso.prompting.wide import FRESH_TOKENS, Span, Wide

__all__ = [
    "ANSWERING",
    "FRESH_TOKENS",
    "AnswerType",
    "Budget",
    "ChatForm",
    "CompletionForm",
    "Dropped",
    "Excerpts",
    "Form",
    "Layout",
    "OpenTurn",
    "Prompt",
    "Render",
    "Shorten",
    "Span",
    "Wide",
    "answer_type",
    "begun_answer",
    "choose_form",
    "excerpts",
    "may_answer",
    "passages_of",
    "profile_card",
    "quotable",
    "quote",
    "tokenize_pieces",
    "yes_no_tokens",
]
