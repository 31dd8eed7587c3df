"""The engine: one GGUF model, ready to generate and to score."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from edgeperso.engine.adapters.values import Worn
from edgeperso.engine.adapters.wardrobe import Wardrobe
from edgeperso.engine.beside import BesideModel
from edgeperso.engine.generation import Advance, Generation
from edgeperso.engine.native import NativeModel, ffi
from edgeperso.engine.prefix_cache import PrefixCache
from edgeperso.engine.prompt import check_prompt
from edgeperso.engine.quoting import Accept, QuotedAnswer
from edgeperso.engine.results import ModelInfo, Sampling, Score
from edgeperso.engine.sampling import Sampler
from edgeperso.engine.scoring import branch_log_probs, log_prob_rows, log_softmax, score_continuations, score_tails
from edgeperso.engine.splice import Splicer
from edgeperso.engine.states import binding
from edgeperso.errors import ModelError, UsageError
from edgeperso.events import Event, emit
from edgeperso.types import Float32

__all__ = ["DEFAULT_N_CTX", "Engine"]

DEFAULT_N_CTX = 4096


class Engine:
    """A loaded model. Safe to use from several threads: calls take turns.

    The context remembers the tokens of the last call; a call whose tokens begin alike evaluates only what is new.
    """

    def __init__(self, model: NativeModel, info: ModelInfo) -> None:
        self._native: NativeModel | None = model
        self._wardrobe = Wardrobe(model)
        self.info = info
        self.lock = threading.RLock()
        self._tickets = itertools.count()
        self._prefix_cache = PrefixCache(model)
        self._splicer: Splicer | None = None
        self._ends: list[int] | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        n_ctx: int = DEFAULT_N_CTX,
        n_threads: int | None = None,
        n_gpu_layers: int | None = None,
    ) -> Engine:
        """Load a GGUF file.

        Args:
            path: the model file.
            n_ctx: tokens of context, at most what the model was trained on.
            n_threads: None takes the machine's physical cores, one less while a small model writes.
            n_gpu_layers: layers on the GPU; None takes all where llama.cpp was built for one, -1 is all.

        Raises:
            ModelNotFound: no such file.
            ModelCorrupt: not GGUF, truncated or damaged.
            ModelUnsupported: llama.cpp does not run this architecture.
            UsageError: a count below 1.
        """
        path = Path(path)
        model = NativeModel(path, n_ctx=n_ctx, n_threads=n_threads, n_gpu_layers=n_gpu_layers)
        template = model.header.metadata.get("tokenizer.chat_template")
        bos, eos = model.token_id(ffi.llama_vocab_bos), model.token_id(ffi.llama_vocab_eos)
        info = ModelInfo(
            name=str(model.header.metadata.get("general.name") or path.stem),
            path=path,
            architecture=model.header.architecture,
            n_params=model.n_params,
            n_ctx=model.n_ctx,
            n_ctx_train=model.n_ctx_train,
            n_vocab=model.n_vocab,
            quantization=model.quantization,
            chat_template=template if isinstance(template, str) and template.strip() else None,
            bos=bos,
            eos=eos,
            bos_text=model.token_text(bos),
            eos_text=model.token_text(eos),
        )
        emit(Event.MODEL_LOADED, n_params=info.n_params, n_ctx=info.n_ctx)
        return cls(model, info)

    def close(self) -> None:
        """Free the model; may be called twice. Generations of it can't go on."""
        with self.lock:
            if self._native is not None:
                self._native.close()
            self._native = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def clear(self) -> None:
        """Forget the tokens that the context remembers: the next call evaluates its whole prompt."""
        with self.lock:
            self._cache.clear()
            if self._splicer is not None:
                self._splicer.clear()

    @property
    def splicer(self) -> Splicer | None:
        """For prompts that are put together from states, in a context of its own; None for models whose states can't
        be moved.

        Raises:
            ModelError: there isn't enough memory for another context.
        """
        with self.lock:
            if self._splicer is None and self._model.can_splice:
                self._splicer = Splicer(BesideModel(self._model), self.lock)
            return self._splicer

    def begin_with(self, tokens: Sequence[int], state: bytes | None = None) -> bool:
        """Expect calls whose tokens begin with ``tokens``: until `clear` these are evaluated by themselves, and the
        rest after them, so that an answer is the same to the last digit whether or not ``state`` was there.

        Args:
            state: what `prefix_state` gave for the same tokens under the same `state_binding`, whole.

        Returns:
            Whether the context holds them now.
        """
        with self.lock:
            return self._cache.begin_with(tokens, state)

    def prefix_state(self, tokens: Sequence[int]) -> bytes | None:
        """The state of ``tokens`` if the context begins with them and the model can give it. Some ten to a hundred KB
        a token; it tells what the tokens say to whoever has the model."""
        with self.lock:
            return self._cache.state(tokens)

    def state_binding(self, model_sha256: str, splicer: Splicer | None = None) -> str:
        """What a state depends on beside its tokens, as 64 hex digits (`states.binding`); ``model_sha256`` is
        `ModelInfo.sha256`. States of a ``splicer`` have another than those of the engine itself."""
        with self.lock:
            settings = self._model.settings if splicer is None else splicer.settings
            return binding(model_sha256, settings, self.worn)

    def wear(self, stack: Sequence[Worn]) -> None:
        """Run with the adapters of ``stack``, and no others; with none for an empty one.

        LoRAs add up, each times its scale; of soft prompts there is at most one, before the first token. It takes its
        length of the context (``info.n_ctx`` becomes less). Whatever fails, what was worn before is worn still. When
        the stack changes, what the context held is dropped: other weights computed it. Adapters worn lately are kept
        loaded by their key, so that a change between them takes no more than a millisecond.

        Raises:
            AdapterInvalid: not an adapter (see `adapter_from_bytes`).
            AdapterMismatch: made for another model.
            UsageError: too many adapters, one twice, or a scale out of range.
        """
        with self.lock:
            model = self._model
            if not self._wardrobe.wear(stack, self.info.base_sha256):
                return
            self._cache.disown()
            self.info = replace(self.info, n_ctx=model.n_ctx - self._wardrobe.virtual_tokens)
            emit(Event.ADAPTERS_WORN, adapters=len(self.worn), virtual_tokens=self._wardrobe.virtual_tokens)

    @property
    def worn(self) -> tuple[Worn, ...]:
        """The stack as it was given to `wear`."""
        return self._wardrobe.worn

    @property
    def bos(self) -> list[int]:
        """What a fresh sequence begins with; empty for models that begin with nothing."""
        with self.lock:
            return [self.info.bos] if self.info.bos is not None and self._model.adds_bos() else []

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """``text`` as token ids, without a BOS. Only with ``special`` do control tokens written out in the text
        (``<|im_start|>``) become control tokens: never set it for words that are not the program's own."""
        with self.lock:
            return self._model.tokenize(text, special=special)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of ``tokens``; control tokens have none, bytes that are not UTF-8 show as U+FFFD."""
        with self.lock:
            self._model.check_tokens(tokens)
            return b"".join(map(self._model.piece, tokens)).decode("utf-8", "replace")

    def generate(
        self,
        tokens: Sequence[int],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        sampling: Sampling | None = None,
        schema: Mapping[str, object] | None = None,
        cancel: threading.Event | None = None,
    ) -> Generation:
        """Go on from ``tokens``. Nothing is computed before the first piece is asked for.

        Args:
            tokens: the prompt, 1 or more, with `bos` where there is one.
            max_tokens: at most so many are generated, 1 or more; prompt and answer together must fit ``n_ctx``.
            stop: texts that end the answer and are not part of it.
            sampling: greedy where not given.
            schema: a JSON schema that the answer will fit (unless ``max_tokens`` cuts it off).
            cancel: once set, the generation ends before the next token, also during the prompt.

        Raises:
            EmptyQuestion: no tokens.
            QuestionTooLong: prompt and answer don't fit the context.
            UsageError: a token id that the model lacks, an empty stop text, an unusable schema.
        """
        prompt = list(tokens)
        if max_tokens < 1 or not all(stop):
            raise UsageError("max_tokens must be 1 or more, and no stop text may be empty.")
        with self.lock:
            model = self._model
            check_prompt(self._model, prompt, max_tokens)
            sampler = Sampler(model, sampling or Sampling(), schema)
            ticket = next(self._tickets)
        return Generation(self, prompt, sampler, ticket=ticket, max_tokens=max_tokens, stop=tuple(stop), cancel=cancel)

    def quote(
        self,
        tokens: Sequence[int],
        sources: Sequence[str],
        *,
        max_tokens: int = 14,
        accept: Accept = bool,
        cancel: threading.Event | None = None,
    ) -> QuotedAnswer:
        """Go on from ``tokens`` with a run of words out of ``sources``, and nothing else.

        Args:
            accept: whether a run of words can be an answer; any by default.

        Raises:
            As `generate`.
        """
        prompt = list(tokens)
        with self.lock:
            check_prompt(self._model, prompt, 0)
        return QuotedAnswer(self, prompt, sources, max_tokens=max_tokens, accept=accept, cancel=cancel)

    def score(self, prefix: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[Score]:
        """How likely each continuation is right after ``prefix``, which is evaluated once.

        Raises:
            EmptyQuestion: no prefix.
            QuestionTooLong: the prefix with the longest continuation doesn't fit the context.
            UsageError: a token id that the model lacks.
        """
        with self.lock:
            check_prompt(self._model, prefix, max(map(len, continuations), default=0))
            for continuation in continuations:
                self._model.check_tokens(continuation)
            self._evaluate(prefix)
            return score_continuations(self._model, continuations)

    def score_tails(
        self, prefix: Sequence[int], branches: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[Score]:
        """How likely each tail is after ``prefix`` and its own context; ``branches`` are (context, tail), none empty.

        The prefix is evaluated once and is what the context holds afterwards.

        Raises:
            As `score`; QuestionTooLong also for a branch of more than 512 tokens.
        """
        if not all(context and tail for context, tail in branches):
            raise UsageError("A context and a tail must have tokens.")
        with self.lock:
            check_prompt(self._model, prefix, max((len(c) + len(t) for c, t in branches), default=0))
            self._cache.hold(list(prefix))
            return score_tails(self._model, branches)

    def next_log_probs(self, tokens: Sequence[int]) -> Float32:
        """``float32[n_vocab]``: the log-probability (nats) of each token to come right after ``tokens``.

        Raises:
            As `score`.
        """
        with self.lock:
            check_prompt(self._model, tokens, 0)
            self._evaluate(tokens)
            return log_softmax(self._model.logits())

    def log_probs(self, prefix: Sequence[int], tokens: Sequence[int]) -> Float32:
        """``float32[len(tokens), n_vocab]``: the log-probabilities (nats) of what may come at each place of ``tokens``
        after ``prefix``. Rows are large: keep ``tokens`` to some hundreds.

        Raises:
            As `score`; UsageError for no tokens.
        """
        if not tokens:
            raise UsageError("There are no tokens to give log-probabilities for.")
        with self.lock:
            check_prompt(self._model, prefix, len(tokens))
            self._model.check_tokens(tokens)
            self._evaluate(prefix)
            return log_prob_rows(self._model, tokens)

    def branch_log_probs(self, prefix: Sequence[int], branches: Sequence[Sequence[int]]) -> list[Float32]:
        """For each branch the log-probabilities (nats, ``float32[n_vocab]``) of what may come after prefix and branch.

        The prefix is evaluated once, also over several calls; short branches share calls of llama.cpp.

        Args:
            branches: an empty one asks what follows the prefix.

        Raises:
            As `score`; QuestionTooLong also for a branch of more than 512 tokens.
        """
        with self.lock:
            check_prompt(self._model, prefix, max(map(len, branches), default=0))
            for branch in branches:
                self._model.check_tokens(branch)
            self._evaluate(prefix)
            return branch_log_probs(self._model, branches)

    def end_tokens(self) -> list[int]:
        """The tokens by which the model may end an answer."""
        with self.lock:
            if self._ends is None:
                model = self._model
                self._ends = [token for token in range(model.n_vocab) if model.is_end(token)]
            return self._ends

    # ---- for generations -----------------------------------------------------------------------------------------

    def advance(self, tokens: list[int], ticket: int | None, cancel: threading.Event | None) -> Advance:
        """Make the context hold exactly ``tokens``, the last one just evaluated. Call it under `lock`.

        ``ticket`` names the generation that asks: while no other call came between, its tokens need no comparing.
        """
        return self._cache.advance(tokens, ticket, cancel)

    def is_end(self, token: int) -> bool:
        with self.lock:
            return self._model.is_end(token)

    def piece(self, token: int) -> bytes:
        with self.lock:
            return self._model.piece(token)

    # ---- inside --------------------------------------------------------------------------------------------------

    @property
    def _model(self) -> NativeModel:
        if self._native is None:
            raise ModelError("The engine is closed.", hint="Open it again.")
        return self._native

    @property
    def _cache(self) -> PrefixCache:
        _ = self._model  # a closed engine says so
        return self._prefix_cache

    def _evaluate(self, tokens: Sequence[int]) -> None:
        self.advance(list(tokens), None, None)
