"""What the bundled model is not: one with a BOS and no chat template."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.engine import Engine, bench, best_file, optimize, render_chat
from edgeperso.engine.likeness import Likeness, Reference
from edgeperso.engine.machine import cpu_name, physical_cores, resident_bytes
from edgeperso.engine.speed import Speed
from edgeperso.errors import DiskFull, ModelError, ReadOnly


def test_a_model_without_a_chat_template_still_generates(tiny_path: Path) -> None:
    with Engine.open(tiny_path, n_threads=1) as engine:
        assert engine.info.chat_template is None
        assert render_chat(engine.info, []) is None
        assert engine.bos == [1]
        generation = engine.generate(engine.bos + engine.tokenize("Hi"), max_tokens=8)
        list(generation)
        assert generation.stats.stopped in {"length", "end"}


def test_the_context_is_no_longer_than_the_model_was_trained_on(tiny_path: Path) -> None:
    with Engine.open(tiny_path, n_ctx=100_000, n_threads=1) as engine:
        assert engine.info.n_ctx == engine.info.n_ctx_train == 1024


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_both_families_and_shared_heads_run(
    gguf_files: SimpleNamespace, tmp_path: Path, architecture: str, groups: int
) -> None:
    path = tmp_path / "model.gguf"
    shape = gguf_files.TinyShape(architecture=architecture, heads=4, groups=groups)
    path.write_bytes(gguf_files.tiny_model(shape))
    with Engine.open(path, n_threads=1) as engine:
        assert engine.info.architecture == architecture
        assert np.isfinite(engine.next_log_probs([1, 40, 41])).all()


def test_bench_reports_rates(tiny_path: Path) -> None:
    report = bench(tiny_path)
    assert report.speed.prefill_tok_s > 0
    assert report.speed.decode_tok_s > 0
    assert report.load_ms > 0
    assert report.name == "tiny"


def test_the_machine_is_described() -> None:
    assert 1 <= physical_cores() <= 4096
    assert cpu_name()
    assert resident_bytes() > 1_000_000


# ---- optimize: the choosing, with speeds and likenesses given ------------------------------------------------------

SAME = Likeness(mean_kl=0.001, noise_kl=0.001, top1=1.0, overruled=0, answer_tokens=10)
OTHER = Likeness(mean_kl=0.5, noise_kl=0.001, top1=0.5, overruled=3, answer_tokens=10)
ORIGINAL = Speed(100.0, 50.0)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Speeds and likenesses by layout, in place of measurements."""
    given = SimpleNamespace(speeds={}, likenesses={})

    class FakeReference:
        def __init__(self, engine: Engine) -> None:
            assert engine.info.name == "tiny"

        def compare(self, engine: Engine) -> Likeness:
            return given.likenesses.get(engine.info.quantization, SAME)

    def speeds(engines: list[Engine], **_options: object) -> list[Speed]:
        return [ORIGINAL, *(given.speeds[engine.info.quantization] for engine in engines[1:])]

    target = sys.modules["edgeperso.engine.optimize"]
    monkeypatch.setattr(target, "Reference", FakeReference)
    monkeypatch.setattr(target, "measure_speeds", speeds)
    return given


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_fastest_with_unchanged_answers_is_kept_and_found_again(tiny_path: Path, module: SimpleNamespace) -> None:
    module.speeds = {"Q8_0": Speed(200.0, 50.0), "BF16": Speed(400.0, 50.0), "Q4_0": Speed(999.0, 99.0)}
    module.likenesses = {"Q4_0": OTHER}
    report = optimize(tiny_path)
    assert (report.layout, report.changed, report.prefill_gain, report.decode_gain) == ("BF16", True, 4.0, 1.0)
    assert [candidate.speed is None for candidate in report.candidates] == [False, False, True]
    assert files(tiny_path.parent) == {"tiny.gguf", "tiny.optimized-BF16.gguf", "tiny.optimized-BF16.json"}
    assert best_file(tiny_path) == report.path
    with Engine.open(report.path, n_threads=1) as engine:
        assert engine.info.quantization == "BF16"


def test_of_two_about_equally_fast_the_smaller_wins(tiny_path: Path, module: SimpleNamespace) -> None:
    module.speeds = {"Q8_0": Speed(400.0, 50.0), "BF16": Speed(410.0, 50.0)}
    module.likenesses = {"Q4_0": OTHER}
    assert optimize(tiny_path).layout == "Q8_0"


def test_a_model_that_is_best_as_it_is_stays_alone(tiny_path: Path, module: SimpleNamespace) -> None:
    module.speeds = {"Q8_0": Speed(101.0, 50.0), "BF16": Speed(90.0, 50.0)}
    module.likenesses = {"Q4_0": OTHER}
    report = optimize(tiny_path)
    assert (report.path, report.changed, report.prefill_gain) == (tiny_path, False, 1.0)
    assert files(tiny_path.parent) == {"tiny.gguf"}
    assert best_file(tiny_path) == tiny_path


def test_progress_is_told(tiny_path: Path, module: SimpleNamespace) -> None:
    module.likenesses = dict.fromkeys(("Q8_0", "BF16", "Q4_0"), OTHER)
    seen: list[tuple[str, int, int | None]] = []
    optimize(tiny_path, progress=lambda *step: seen.append(step))
    assert seen == [("optimize", done, 3) for done in range(4)]


@pytest.fixture
def optimized(tiny_path: Path, module: SimpleNamespace) -> Path:
    module.speeds = {"Q8_0": Speed(400.0, 50.0)}
    module.likenesses = {"Q4_0": OTHER, "BF16": OTHER}
    return optimize(tiny_path).path


def test_an_altered_file_is_not_used(tiny_path: Path, optimized: Path) -> None:
    data = bytearray(optimized.read_bytes())
    data[-1] ^= 1
    optimized.write_bytes(data)
    assert best_file(tiny_path) == tiny_path


def test_a_file_made_from_another_original_is_not_used(tiny_path: Path, optimized: Path) -> None:
    data = bytearray(tiny_path.read_bytes())
    data[-1] ^= 1
    tiny_path.write_bytes(data)
    assert best_file(tiny_path) == tiny_path


def test_a_copied_file_is_used_after_hashing(tiny_path: Path, optimized: Path) -> None:
    data = optimized.read_bytes()
    optimized.unlink()
    optimized.write_bytes(data)
    assert best_file(tiny_path) == optimized


@pytest.mark.parametrize("record", ["", "[]", "{", '{"version": 1}', '{"version": 1, "cpu": "x", "source": 3}'])
def test_a_damaged_record_counts_for_nothing(tiny_path: Path, optimized: Path, record: str) -> None:
    optimized.with_suffix(".json").write_text(record)
    assert best_file(tiny_path) == tiny_path


def test_figures_from_another_processor_count_for_nothing(tiny_path: Path, optimized: Path) -> None:
    record = optimized.with_suffix(".json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"cpu": "another"}))
    assert best_file(tiny_path) == tiny_path


def test_a_missing_file_beside_its_record_counts_for_nothing(tiny_path: Path, optimized: Path) -> None:
    optimized.unlink()
    assert best_file(tiny_path) == tiny_path


def test_a_failure_leaves_nothing(tiny_path: Path, module: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    target = sys.modules["edgeperso.engine.optimize"]
    monkeypatch.setattr(target, "measure_speeds", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        optimize(tiny_path)
    assert files(tiny_path.parent) == {"tiny.gguf"}


def test_no_room_is_said_before_anything_is_written(
    tiny_path: Path, module: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=100))
    with pytest.raises(DiskFull):
        optimize(tiny_path)
    assert files(tiny_path.parent) == {"tiny.gguf"}


def test_a_folder_that_cannot_be_written_is_said(tiny_path: Path, module: SimpleNamespace) -> None:
    with pytest.raises(ReadOnly):
        optimize(tiny_path, "/proc/nowhere")


def test_a_file_that_cannot_be_made_is_an_error_of_ours(
    tiny_path: Path, module: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = sys.modules["edgeperso.engine.native"]
    monkeypatch.setattr(native.ffi, "llama_model_quantize", lambda *_args: 1)
    with pytest.raises(ModelError):
        optimize(tiny_path)
    assert files(tiny_path.parent) == {"tiny.gguf"}


def test_the_rule_of_unchanged_answers() -> None:
    assert Likeness(0.0059, 0.003, 0.9, 0, 100).unchanged
    assert not Likeness(0.0061, 0.003, 1.0, 0, 100).unchanged
    assert not Likeness(0.0, 0.003, 1.0, 1, 100).unchanged
    assert Likeness(0.0039, 0.0, 1.0, 0, 100).unchanged


def test_a_real_comparison_tells_rounding_from_another_model(
    tiny_path: Path, gguf_files: SimpleNamespace, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf_files.gguf(gguf_files.tiny_metadata(), gguf_files.tiny_tensors(seed=1)))
    with Engine.open(tiny_path, n_threads=1) as engine, Engine.open(other, n_threads=1) as stranger:
        reference = Reference(engine)
        assert reference.compare(engine).unchanged
        assert not reference.compare(stranger).unchanged
