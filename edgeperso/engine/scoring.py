"""Log-likelihoods of given texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from edgeperso.engine.native import N_BATCH, N_SEQUENCES, NativeModel
from edgeperso.engine.results import Score
from edgeperso.errors import QuestionTooLong
from edgeperso.types import Float32

__all__ = ["branch_log_probs", "log_prob_rows", "log_softmax", "score_continuations", "score_tails"]

_LOGIT_ROWS = 128
"""Most rows of logits asked for in one call: a row of a large vocabulary is 600 kB."""


def log_softmax(logits: Float32) -> Float32:
    """Log-probabilities (nats) of ``float32[n]`` logits, in a new array."""
    shifted = logits - logits.max()
    out: Float32 = shifted - np.float32(np.log(np.exp(shifted).sum(dtype=np.float64)))
    return out


def score_continuations(model: NativeModel, continuations: Sequence[Sequence[int]]) -> list[Score]:
    """Score each continuation of what ``model`` holds and has just evaluated. What it holds is the same afterwards.

    A continuation's first token is judged by the prefix's logits, so only the tokens before its last are evaluated;
    several continuations share a call as sequences of their own.
    """
    first = log_softmax(model.logits())
    sums = [float(first[tokens[0]]) if tokens else 0.0 for tokens in continuations]
    for group in _groups(continuations, min(_LOGIT_ROWS, model.room)):
        model.fork(len(group))
        try:
            for index, log_likelihood in _evaluate(model, continuations, group):
                sums[index] += log_likelihood
        finally:
            model.drop_forks()
    return [Score(total, len(tokens)) for total, tokens in zip(sums, continuations, strict=True)]


def log_prob_rows(model: NativeModel, tokens: Sequence[int]) -> Float32:
    """``float32[len(tokens), n_vocab]``: the log-probabilities for each token of a continuation of what ``model``
    holds and has just evaluated, row 0 before its first token. What it holds is the same afterwards."""
    out = np.empty((len(tokens), model.n_vocab), dtype=np.float32)
    out[0] = log_softmax(model.logits())
    model.fork(1)
    try:
        for begin in range(0, len(tokens) - 1, _LOGIT_ROWS):
            part = tokens[begin : min(begin + _LOGIT_ROWS, len(tokens) - 1)]
            model.evaluate_forks([(1, model.position + begin + offset, token) for offset, token in enumerate(part)])
            for row in range(len(part)):
                out[begin + 1 + row] = log_softmax(model.logits(row))
    finally:
        model.drop_forks()
    return out


def branch_log_probs(model: NativeModel, branches: Sequence[Sequence[int]]) -> list[Float32]:
    """``float32[n_vocab]`` for each branch: the log-probabilities after it, as a continuation of what ``model`` holds
    and has just evaluated. What it holds is the same afterwards.

    Raises:
        QuestionTooLong: a branch alone is over N_BATCH tokens.
    """
    after_nothing = log_softmax(model.logits()) if any(not branch for branch in branches) else np.empty(0, np.float32)
    out = [after_nothing] * len(branches)
    start = model.position
    longer = [index for index, branch in enumerate(branches) if branch]
    for group in _packed([len(branches[index]) for index in longer], min(N_BATCH, model.room)):
        model.fork(len(group))
        try:
            members = [longer[place] for place in group]
            rows = [
                (fork, start + offset, token)
                for fork, index in enumerate(members, 1)
                for offset, token in enumerate(branches[index])
            ]
            ends = np.cumsum([len(branches[index]) for index in members]) - 1
            model.evaluate_forks(rows, np.isin(np.arange(len(rows)), ends).tolist())
            for index, end in zip(members, ends.tolist(), strict=True):
                out[index] = log_softmax(model.logits(end))
        finally:
            model.drop_forks()
    return out


def score_tails(model: NativeModel, branches: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Score]:
    """For each (context, tail), how likely the tail is after what ``model`` holds and the context. What it holds is
    the same afterwards. Only the tail's logits are computed.

    Raises:
        QuestionTooLong: a branch alone is over N_BATCH tokens.
    """
    sums = [0.0] * len(branches)
    sizes = [len(context) + len(tail) - 1 for context, tail in branches]
    for group in _packed(sizes, min(N_BATCH, model.room)):
        model.fork(len(group))
        try:
            rows, judged = _tail_rows(model, branches, group)
            model.evaluate_forks(rows, [following is not None for _, following in judged])
            for row, (index, following) in enumerate(judged):
                if following is not None:
                    sums[index] += _log_prob(model.logits(row), following)
        finally:
            model.drop_forks()
    return [Score(total, len(tail)) for total, (_, tail) in zip(sums, branches, strict=True)]


def _tail_rows(
    model: NativeModel, branches: Sequence[tuple[Sequence[int], Sequence[int]]], group: Sequence[int]
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int | None]]]:
    """Rows of (fork, position, token), and for each row its branch and the tail's token that it predicts, if any."""
    rows: list[tuple[int, int, int]] = []
    judged: list[tuple[int, int | None]] = []
    for fork, index in enumerate(group, start=1):
        context, tail = branches[index]
        for offset, (token, following) in enumerate(itertools.pairwise([*context, *tail])):
            rows.append((fork, model.position + offset, token))
            judged.append((index, following if offset + 1 >= len(context) else None))
    return rows, judged


def _packed(sizes: Sequence[int], room: int) -> Iterator[list[int]]:
    """Indices of branches that are evaluated together: as many as fit ``room`` rows and the sequences there are."""
    group: list[int] = []
    rows = 0
    for index, size in enumerate(sizes):
        if size > room:
            raise QuestionTooLong(f"A text of {size} tokens is too long to be judged; {room} fit.")
        if group and (len(group) == N_SEQUENCES - 1 or rows + size > room):
            yield group
            group, rows = [], 0
        group.append(index)
        rows += size
    if group:
        yield group


def _groups(continuations: Sequence[Sequence[int]], room: int) -> Iterator[list[int]]:
    """Indices of continuations that are evaluated together: as many as fit ``room`` rows, or a single longer one."""
    group: list[int] = []
    rows = 0
    for index, tokens in enumerate(continuations):
        if len(tokens) < 2:
            continue
        if group and (len(group) == N_SEQUENCES - 1 or rows + len(tokens) - 1 > room):
            yield group
            group, rows = [], 0
        group.append(index)
        rows += len(tokens) - 1
    if group:
        yield group


def _evaluate(
    model: NativeModel, continuations: Sequence[Sequence[int]], group: Sequence[int]
) -> Iterator[tuple[int, float]]:
    """The log-likelihood of every token but the first, as (index of its continuation, nats)."""
    start = model.position
    rows = [
        (index, (fork, start + offset, token), following)
        for fork, index in enumerate(group, start=1)
        for offset, (token, following) in enumerate(itertools.pairwise(continuations[index]))
    ]
    for begin in range(0, len(rows), _LOGIT_ROWS):
        part = rows[begin : begin + _LOGIT_ROWS]
        model.evaluate_forks([row for _, row, _ in part])
        for row, (index, _, following) in enumerate(part):
            yield index, _log_prob(model.logits(row), following)


def _log_prob(logits: Float32, token: int) -> float:
    top = float(logits.max())
    return float(logits[token]) - top - float(np.log(np.exp(logits - np.float32(top)).sum(dtype=np.float64)))
