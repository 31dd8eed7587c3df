"""Without the ``[eval]`` extra: a clear error where it is needed, and no need where it isn't."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from edgeperso.errors import ExtraMissing, UsageError
from edgeperso.evals.metrics import agreement, choice, intervals, ranking, text

LIBRARIES = ("nltk", "pytrec_eval", "rouge_score", "sacrebleu", "scipy", "sklearn")
NEEDY: list[Callable[[], object]] = [
    lambda: agreement.kendall_tau_b([1, 2], [1, 2]),
    lambda: agreement.partial_spearman([1, 2], [1, 2], [1, 2]),
    lambda: agreement.quadratic_weighted_kappa([1, 2], [1, 2], low=1, high=2),
    lambda: agreement.spearman([1, 2], [1, 2]),
    lambda: choice.accuracy([1], [1]),
    lambda: choice.macro_f1([1], [1]),
    lambda: choice.mean_absolute_error([1], [1]),
    lambda: choice.root_mean_squared_error([1], [1]),
    lambda: intervals.mcnemar([True], [False]),
    lambda: intervals.wilcoxon([1], [2], ["a"]),
    lambda: ranking.ndcg_at([1], [1], 1),
    lambda: text.corpus_bleu(["a"], ["a"]),
    lambda: text.meteor_no_synonyms("a", "a"),
    lambda: text.rouge("a", "a"),
    lambda: text.sentence_bleu("a", "a"),
    lambda: text.token_f1("a", "a"),
]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def forget() -> None:
        for cached in (text._rouge_scorer, text._porter, text._tokenizers):
            cached.cache_clear()

    forget()
    for name in LIBRARIES:
        monkeypatch.setitem(sys.modules, name, None)
        for loaded in [one for one in sys.modules if one.startswith(f"{name}.")]:
            monkeypatch.setitem(sys.modules, loaded, None)
    yield
    forget()


@pytest.mark.parametrize("measure", NEEDY)
def test_a_missing_extra_is_named(bare: None, measure: Callable[[], object]) -> None:
    with pytest.raises(ExtraMissing) as caught:
        measure()
    assert isinstance(caught.value, UsageError)
    assert (caught.value.code, caught.value.exit_code) == ("extra_missing", 2)
    assert 'pip install "edgeperso[eval]"' in caught.value.hint
    assert any(name in caught.value.message for name in LIBRARIES)
    assert caught.value.__cause__ is None


def test_the_base_install_measures_recall_and_its_interval(bare: None) -> None:
    recalls = [ranking.recall_at([1, 2], {2}, k) for k in (1, 2)]
    assert intervals.bootstrap_mean(recalls, range(2)).value == 0.5
    assert ranking.hit_at([1], [1], 1) == ranking.reciprocal_rank([1], [1]) == 1.0


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, edgeperso.evals.experiments.locomo\n"
        "from edgeperso.evals.metrics import agreement, choice, intervals, ranking, text\n"
        "print(*sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(LIBRARIES) & set(out.split()) == set()
