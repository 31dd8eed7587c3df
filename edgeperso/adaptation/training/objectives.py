"""What a step makes smaller: the loss of texts, or direct preference optimisation's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from edgeperso.adaptation.plan import Example, Pair
from edgeperso.adaptation.training.model import Model
from edgeperso.adaptation.training.packing import Pack, both, pack
from edgeperso.adaptation.training.tape import Tape
from edgeperso.types import Float32

__all__ = ["dpo_step", "example_losses", "pair_log_probs", "text_step"]


def text_step(
    model: Model, flat: Float32, examples: Sequence[Example], tape: Tape | None = None
) -> tuple[float, Float32]:
    """The mean loss of the counted tokens in nats, and its gradient by ``flat``."""
    laid = pack(examples)
    reading = model.read(flat, laid, learn=True, tape=tape)
    weights = torch.full((len(laid.targets),), -1 / len(laid.targets))
    log_probs, gradient = model.head.backward(reading.rows, torch.from_numpy(laid.targets), weights, reading.tape)
    return -float(log_probs.mean()), model.backward(gradient, reading)


def dpo_step(
    model: Model, flat: Float32, pairs: Sequence[Pair], reference: Float32, beta: float, tape: Tape | None = None
) -> tuple[float, Float32]:
    """The mean of ``-log sigmoid(beta · margin)`` over ``pairs``, and its gradient by ``flat``.

    A pair's margin is by how much more the chosen answer gained on the rejected one than in ``reference``,
    ``float32[pairs, 2]``: `pair_log_probs` of the weights that training starts from.
    Source: Rafailov et al., "Direct Preference Optimization", 2023 (arXiv:2305.18290), equation 7.
    """
    laid = _laid(pairs)
    reading = model.read(flat, laid, learn=True, tape=tape)
    targets = torch.from_numpy(laid.targets)
    sums = torch.from_numpy(_sums(model.head.log_probs(reading.rows, targets).numpy(), laid))
    gains = sums.view(-1, 2) - torch.from_numpy(reference)
    margins = beta * (gains[:, 0] - gains[:, 1])
    # d loss / d log p: -beta · sigmoid(-margin) for the chosen answer's tokens, the opposite for the rejected one's.
    pulls = beta * torch.sigmoid(-margins) / len(pairs)
    weights = torch.stack((-pulls, pulls), dim=1).flatten()[torch.from_numpy(laid.owners)]
    _, gradient = model.head.backward(reading.rows, targets, weights, reading.tape)
    return float(torch.nn.functional.softplus(-margins).mean()), model.backward(gradient, reading)


def pair_log_probs(model: Model, flat: Float32, pairs: Sequence[Pair]) -> Float32:
    """``float32[pairs, 2]``: the log-probability of each pair's chosen and rejected answer after its prompt."""
    laid = _laid(pairs)
    rows = model.read(flat, laid, learn=False).rows
    log_probs = model.head.log_probs(rows, torch.from_numpy(laid.targets)).numpy()
    return _sums(log_probs, laid).reshape(-1, 2)


def example_losses(model: Model, flat: Float32, examples: Sequence[Example]) -> Float32:
    """``float32[examples]``: nats per counted token, the mean of each example."""
    laid = pack(examples)
    rows = model.read(flat, laid, learn=False).rows
    log_probs = model.head.log_probs(rows, torch.from_numpy(laid.targets)).numpy()
    return (-_sums(log_probs, laid) / laid.counted).astype(np.float32)


def _laid(pairs: Sequence[Pair]) -> Pack:
    return pack([example for pair in pairs for example in both(pair)])


def _sums(values: Float32, laid: Pack) -> Float32:
    """The values of the counted tokens summed for each sequence."""
    sums = np.zeros(len(laid.bounds) - 1, np.float64)
    np.add.at(sums, laid.owners, values)
    return sums.astype(np.float32)
