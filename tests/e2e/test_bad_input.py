"""What goes wrong at a person's desk: each ends with an exit code, an error code and advice, and loses nothing."""

from __future__ import annotations

import shutil
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def vault(shell, tmp_path: Path) -> Path:
    """A vault with one memory, opened by ``me.key``."""
    assert shell("init", "--key-file", "me.key").returncode == 0
    assert shell("remember", "My dentist is Dr Amrani.").returncode == 0
    return tmp_path / "vault"


def test_two_processes_at_once_both_get_through(vault: Path, shell, result) -> None:
    done: list[Any] = []
    texts = ("My cat is called Mokka.", "My bank is the Ledger.")
    threads = [threading.Thread(target=lambda t=text: done.append(shell("remember", t, "--json"))) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result(one)["text"] for one in done} == set(texts)
    assert "Mokka" in shell("recall", "cat").stdout
    assert "Ledger" in shell("recall", "bank").stdout


def test_a_damaged_language_model(vault: Path, shell, error, tmp_path: Path) -> None:
    (tmp_path / "torn.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    assert error(shell("ask", "Who?", "--model", "torn.gguf", "--json")) == (5, "model_corrupt")


def test_a_damaged_or_missing_embedder(vault: Path, shell, error, models_dir: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(models_dir / "minilm-int8", models / "minilm-int8")
    onnx = next((models / "minilm-int8").rglob("*.onnx"))
    onnx.write_bytes(onnx.read_bytes()[:1000])
    damaged = shell("recall", "dentist", "--json", EDGEPERSO_MODELS=str(models))
    assert error(damaged) == (5, "model_corrupt")
    onnx.unlink()
    missing = shell("recall", "dentist", "--json", EDGEPERSO_MODELS=str(models))
    assert error(missing) == (5, "model_not_found")
    assert "Amrani" in shell("recall", "dentist").stdout


def test_a_zip_that_leads_out_of_itself(vault: Path, shell, error, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "chat.zip", "w") as archive:
        archive.writestr("../escaped.txt", "x")
        archive.writestr("conversations.json", "[]")
    assert error(shell("import", "chat.zip", "--json")) == (6, "source_unsafe")
    assert not (tmp_path.parent / "escaped.txt").exists()


def test_without_a_safe_keyring_none_is_used(shell, error, tmp_path: Path) -> None:
    refused = shell("init", "--keyring", "--json", PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
    assert error(refused) == (3, "keyring_unavailable")
    assert not (tmp_path / "vault" / "vault.db").exists()
