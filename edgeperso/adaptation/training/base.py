"""The base model's frozen weights: the GGUF file's own bytes, mapped, turned into numbers as they are used.

A layer's matrices are dequantized into buffers of the computing type, used, and overwritten by the next layer's. What
stays in memory is the output matrix, the vectors, and as many layers as fit a fixed allowance; the mapped pages are let
go after each layer (the system's file cache still has them).
"""

from __future__ import annotations

import mmap
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import SITES, read_architecture
from edgeperso.engine.dequantize import dequantize, dequantize_into
from edgeperso.engine.gguf import TensorPlace, check_model_file
from edgeperso.errors import ModelNotFound
from edgeperso.types import Float32, Int64

__all__ = ["Base", "best_dtype"]

_SCRATCH: Final = 1 << 20
"""Elements that are dequantized at a time on their way to bfloat16: 4 MB stay in the cache."""

_KEPT_BYTES: Final = 1 << 28
"""Of matrices in the computing type that are kept: a small model is dequantized once."""


def best_dtype() -> torch.dtype:
    """What matrices are multiplied in: bfloat16 where the processor has instructions for it, else float32."""
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001  no public name
    return torch.bfloat16 if fast else torch.float32


class Base:
    """A model file open for training. Not thread-safe.

    Args:
        path: the GGUF file.
        dtype: of the matrices, bfloat16 or float32.

    Raises:
        ModelNotFound, ModelCorrupt: see `check_model_file`.
        ModelUnsupported: see `read_architecture` and `dequantize`.
    """

    def __init__(self, path: Path, *, dtype: torch.dtype) -> None:
        header = check_model_file(path)
        self.sizes = read_architecture(header)
        self.dtype = dtype
        self._places = header.tensors
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError:
            raise ModelNotFound(f"The model file {path} is missing or can't be read.") from None
        self._bytes = memoryview(self._map)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads)
        self._scratch = np.empty(_SCRATCH, np.float32)
        self._loaded = -1
        self._buffers = self._new_buffers()
        self._kept: dict[int, dict[str, Tensor]] = {}
        self._may_keep = _KEPT_BYTES // sum(each.nbytes for each in self._buffers.values())

    def close(self) -> None:
        self._pool.shutdown()
        self._bytes.release()
        self._map.close()

    def has(self, name: str) -> bool:
        return name in self._places

    def layer(self, number: int) -> dict[str, Tensor]:
        """The layer's matrices by site (`SITES`), ``[outputs, inputs]``; valid until another layer is asked for."""
        if number in self._kept:
            return self._kept[number]
        if len(self._kept) < self._may_keep:
            self._kept[number] = self._load(number, self._new_buffers())
            return self._kept[number]
        if number != self._loaded:
            self._loaded = -1
            self._load(number, self._buffers)
            self._loaded = number
        return self._buffers

    def keep_all(self) -> bool:
        """Whether all layers fit the allowance; they are dequantized then, and `layer` may be called by any thread."""
        if self._may_keep < self.sizes.layers:
            return False
        for number in range(self.sizes.layers):
            self.layer(number)
        return True

    def matrix(self, name: str) -> Tensor:
        """A whole matrix of its own, ``[outputs, inputs]``, in the computing type."""
        inputs, outputs = self._places[name].shape
        out = torch.empty(outputs, inputs, dtype=self.dtype)
        self._fill(name, out)
        self._let_go()
        return out

    def vector(self, name: str) -> Tensor:
        """A vector as float32."""
        place = self._places[name]
        return torch.from_numpy(dequantize(self._data(place), place.kind, place.shape[0]))

    def embeddings(self, tokens: Int64) -> Tensor:
        """``float32[len(tokens), width]``: their rows of the token embeddings."""
        place = self._places["token_embd.weight"]
        rows = np.frombuffer(self._data(place), np.uint8).reshape(self.sizes.vocabulary, -1)[tokens]
        out = np.empty((len(tokens), self.sizes.width), np.float32)
        dequantize_into(rows.tobytes(), place.kind, out)
        return torch.from_numpy(out)

    def _new_buffers(self) -> dict[str, Tensor]:
        shapes = {site: [self.sizes.matrix(name) for name in names] for site, names in SITES.items()}
        return {
            site: torch.empty(sum(outputs for outputs, _ in each), each[0][1], dtype=self.dtype)
            for site, each in shapes.items()
        }

    def _load(self, number: int, buffers: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fill ``buffers`` with a layer's matrices; the file's pages aren't held on to."""
        for site, names in SITES.items():
            at = 0
            for name in names:
                rows = self.sizes.matrix(name)[0]
                self._fill(f"blk.{number}.{name}.weight", buffers[site][at : at + rows])
                at += rows
        self._let_go()
        return buffers

    def _let_go(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _data(self, place: TensorPlace) -> memoryview:
        return self._bytes[place.offset : place.offset + place.size_bytes]

    def _fill(self, name: str, out: Tensor) -> None:
        place = self._places[name]
        inputs, outputs = place.shape
        row_bytes = place.size_bytes // outputs
        data = self._data(place)
        if out.dtype == torch.float32:
            self._dequantize(data, place.kind, out.numpy())
            return
        most = max(1, _SCRATCH // inputs)
        for start in range(0, outputs, most):
            stop = min(outputs, start + most)
            part = self._scratch_rows(stop - start, inputs)
            self._dequantize(data[start * row_bytes : stop * row_bytes], place.kind, part)
            out[start:stop].copy_(torch.from_numpy(part))

    def _scratch_rows(self, rows: int, inputs: int) -> Float32:
        if rows * inputs > self._scratch.size:
            self._scratch = np.empty(rows * inputs, np.float32)
        return self._scratch[: rows * inputs].reshape(rows, inputs)

    def _dequantize(self, data: memoryview, kind: int, out: Float32) -> None:
        """Fill the rows of ``out``, a share for each thread."""
        rows = len(out)
        row_bytes = len(data) // rows
        edges = [share * rows // self._threads for share in range(self._threads + 1)]
        tasks = [
            self._pool.submit(dequantize_into, data[low * row_bytes : high * row_bytes], kind, out[low:high])
            for low, high in pairwise(edges[1:])
            if low < high
        ]
        if edges[1]:
            dequantize_into(data[: edges[1] * row_bytes], kind, out[: edges[1]])
        for task in tasks:
            task.result()
