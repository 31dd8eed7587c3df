"""RMSNorm, forward and backward. Zhang & Sennrich, "Root Mean Square Layer Normalization", 2019 (arXiv:1910.07467)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["inverse_rms", "norm", "norm_back"]


def inverse_rms(x: Tensor, epsilon: float) -> Tensor:
    """``float32[n, 1]``: what each row of ``float32[n, width]`` is multiplied by."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[1]).add_(epsilon).rsqrt_()


def norm(x: Tensor, inverse: Tensor, gain: Tensor, dtype: torch.dtype) -> Tensor:
    """The rows of ``x`` times ``inverse`` (`inverse_rms`) and ``gain`` ``float32[width]``, as ``dtype``."""
    return (x * inverse).mul_(gain).to(dtype)


def norm_back(gradient: Tensor, x: Tensor, inverse: Tensor, gain: Tensor) -> Tensor:
    """The gradient of `norm` by ``x``, ``float32[n, width]``, from that of its result; where that is float32 it is
    written over."""
    scaled = gradient.float().mul_(gain)
    along = (scaled * x).sum(-1, keepdim=True).mul_(inverse**3 / x.shape[1])
    return scaled.mul_(inverse).addcmul_(x, along, value=-1)
