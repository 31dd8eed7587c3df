"""How fast texts become vectors, against torch in fp32 as sentence-transformers runs it, and how near the vectors are.

Torch runs the encoder of transformers with the weights of the very file that ours reads, so that the cosine tells what
the way of computing changes, not what the file's int8 rounding of the weights did. Both sort texts by length and take
32 at a time; they run in turn, on as many threads as each takes by itself. Needs the ``[train]`` extra.

- ``vs_torch``: texts a second, ours over torch's, the median of the rounds; ``texts_s``, ``torch_texts_s``.
- ``mean_cosine``: of our vectors with torch's, over all texts.
- ``single_ms``: one question that was not asked before, median; ``single_torch_ms`` the same by torch,
  ``single_again_ms`` a question asked a second time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks._model import models_dir
from benchmarks._report import arguments, report
from edgeperso.catalogue import Catalogue, file_sha256
from edgeperso.embedding import load_embedder
from edgeperso.evals.life import read_questions
from edgeperso.types import Float32

_BATCH = 32
_MAX_TOKENS = 256
_LIFE = Path(__file__).parent.parent / "examples" / "life"
_ONNX = "all-MiniLM-L6-v2.int8.onnx"

Embed = Callable[[list[str]], Float32]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--models-dir", type=Path, default=models_dir())
    parser.add_argument("--n", type=int, default=256, help="texts in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    catalogue = Catalogue(options.models_dir)
    folder = catalogue.locate("minilm-int8")
    folder = folder if folder.is_dir() else folder.parent
    figures = compared(load_embedder(catalogue).embed, by_torch(folder), texts(options.n, options.seed), options.rounds)
    models = {_ONNX: file_sha256(folder / _ONNX)}
    report("embedding", figures, n=options.n, seed=options.seed, models=models, as_json=options.json)


def texts(count: int, seed: int) -> list[str]:
    """Lines of the sample life's notes, drawn with repetition once there are no more."""
    lines = [line.strip() for path in sorted((_LIFE / "notes").glob("*.md")) for line in path.read_text().splitlines()]
    lines = [line for line in lines if len(line) > 20]
    drawn = random.Random(seed)
    return drawn.sample(lines, min(count, len(lines))) + drawn.choices(lines, k=max(0, count - len(lines)))


def compared(ours: Embed, theirs: Embed, of: list[str], rounds: int) -> dict[str, float]:
    questions = [question.question for question in read_questions(_LIFE / "questions.jsonl")]
    vectors, reference = ours(of), theirs(of)
    rates = [(len(of) / seconds(ours, of), len(of) / seconds(theirs, of)) for _ in range(rounds)]
    single = [(seconds(ours, [one]), seconds(theirs, [one]), seconds(ours, [one])) for one in questions]
    first, torch, again = (1000 * median(times) for times in zip(*single, strict=True))
    return {
        "vs_torch": median(one / other for one, other in rates),
        "mean_cosine": float((vectors * reference).sum(axis=1).mean()),
        "single_ms": first,
        "single_torch_ms": torch,
        "single_again_ms": again,
        "texts_s": median(one for one, _ in rates),
        "torch_texts_s": median(other for _, other in rates),
    }


def seconds(embed: Embed, of: list[str]) -> float:
    began = perf_counter()
    embed(of)
    return perf_counter() - began


def by_torch(folder: Path) -> Embed:
    """The same encoder in torch, with mean pooling and unit length."""
    torch: Any = import_module("torch")
    model = _encoder(folder / _ONNX)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.enable_padding()

    def embed(of: list[str]) -> Float32:
        order = sorted(range(len(of)), key=lambda row: -len(of[row]))
        out: Float32 = np.empty((len(of), model.config.hidden_size), np.float32)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            encoded = tokenizer.encode_batch([of[row] for row in rows])
            ids = torch.tensor([one.ids for one in encoded])
            mask = torch.tensor([one.attention_mask for one in encoded])
            with torch.inference_mode():
                hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
                pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
                out[rows] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return out

    return embed


def _encoder(path: Path) -> Any:
    """MiniLM in torch, its weights read from the ONNX file: matrices are kept there as int8 and a scale, and known by
    the bias that is added after them."""
    onnx: Any = import_module("onnx")
    torch: Any = import_module("torch")
    transformers: Any = import_module("transformers")
    graph = onnx.load(str(path)).graph
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    weights = {name.removeprefix("inner."): value for name, value in stored.items() if name.startswith("inner.")}
    for name in [name for name in weights if name.endswith(".weight_q")]:
        base = name.removesuffix("_q")
        weights[base] = weights.pop(name) * weights.pop(f"{base}_scale")
    for node in graph.node:
        bias = next((one for one in node.input if one.startswith("inner.encoder") and one.endswith(".bias")), None)
        if node.op_type == "Add" and bias is not None:
            product = next(maker[one] for one in node.input if one in maker)
            matrix = product.input[1]
            values = stored[f"{matrix}_q"].astype(np.float32) * stored[f"{matrix}_scale"]
            weights[bias.removeprefix("inner.").removesuffix("bias") + "weight"] = values.T
    config = transformers.BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536)
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    missing, _ = model.load_state_dict({k: torch.tensor(np.array(v)) for k, v in weights.items()}, strict=False)
    if any(name.endswith((".weight", ".bias")) for name in missing):
        raise RuntimeError(f"{len(missing)} weights of the encoder are not in the file")
    return model


if __name__ == "__main__":
    main()
