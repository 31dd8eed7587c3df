"""``adapter …`` over a real vault; the weights are never loaded."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from edgeperso.assistant import Personas, assistant, shelf
from edgeperso.errors import Cancelled
from edgeperso.types import AdapterForm, Granularity, Objective
from edgeperso.vault import KeyFile, Vault
from edgeperso.vault.adapters import AdapterState, NewAdapter
from edgeperso.vault.erasure import Receipt

BASE = "ab" * 32
GATE = {
    "personal_before": 3.4, "personal_after": 3.2, "gain_low": 0.05, "gain_high": 0.31, "general_before": 2.8,
    "general_after": 2.81, "general_low": -0.01, "general_high": 0.03, "general_bound": 0.1, "held_out": 9,
    "accuracy_before": None, "accuracy_after": None, "passed": True, "reasons": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch, fake_embedder) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(assistant, "load_embedder", lambda *_: fake_embedder)
    monkeypatch.setattr(assistant.Assistant, "base_sha256", BASE)


@pytest.fixture
def home(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # type: ignore[no-untyped-def]
    folder = tmp_path / "home"
    assert cli("init", "--home", folder, "--key-file", tmp_path / "me.key").code == 0
    monkeypatch.setenv("EDGEPERSO_HOME", str(folder))
    monkeypatch.setenv("EDGEPERSO_KEY_FILE", str(tmp_path / "me.key"))
    return folder


def put(home: Path, name: str, *, memories: tuple[int, ...] = (), **changes: object) -> int:
    """Store an adapter; its id."""
    given: dict[str, object] = {
        "name": name,
        "form": AdapterForm.LORA,
        "objective": Objective.TEXT,
        "granularity": Granularity.USER,
        "base_sha256": BASE,
        "base_name": "tiny",
        "rank": 8,
        "alpha": 16.0,
        "state": AdapterState.READY,
        "evidence": 24,
        "report": {
            "gate": GATE,
            "trained": {"steps": 12, "tokens": 3120, "stopped": "budget", "last_loss": float("nan")},
            "plan": {"epochs": 3, "rate": 1e-3, "seed": 0},
            "skipped": {"others": 2},
        },
    }
    with Vault.open(home, KeyFile(home.parent / "me.key")) as vault:
        return vault.adapters.add(NewAdapter(**{**given, **changes}), b"weights", memories=memories).id  # type: ignore[arg-type]


def states(cli) -> dict[int, object]:  # type: ignore[no-untyped-def]
    return {
        one["id"]: one["worn"] and one["worn"]["scale"] for one in cli("adapter", "list", "--json").json["adapters"]
    }


def test_a_vault_without_adapters_says_how_to_make_one(cli, home: Path) -> None:
    result = cli("adapter", "list")
    assert (result.code, result.out) == (0, "")
    assert "edgeperso train" in result.err
    assert cli("adapter", "list", "--json").json == {"adapters": []}


def test_the_list_shows_what_there_is_and_what_is_worn(cli, home: Path) -> None:
    first, second = put(home, "diary"), put(home, "taste", objective=Objective.DPO, state=AdapterState.REFUSED)
    cli("adapter", "use", first)
    shown = cli("adapter", "list").out
    for part in ("diary", "taste", "LoRA, rank 8", "LoRA, rank 8, of pairs", "worn at 0.75", "refused"):
        assert part in shown
    assert states(cli) == {first: 0.75, second: None}


def test_the_list_says_what_each_learnt_from(cli, home: Path) -> None:
    put(home, "diary")
    put(home, "taste", objective=Objective.DPO)
    put(home, "readers", granularity=Granularity.PERSONA, evidence=3, report={"members": 3})
    put(home, "theirs", evidence=0, report={"imported": True})
    rows = cli("adapter", "list").out.splitlines()[1:]
    learnt = ["24 texts", "24 pairs", "3 adapters", "–"]
    assert all(text in row for row, text in zip(rows, learnt, strict=True))


def test_one_is_shown_by_number_or_by_name_with_what_the_gate_measured(cli, home: Path) -> None:
    cli("remember", "I write short sentences")
    one = put(home, "diary", memories=(1,))
    shown = cli("adapter", "show", one)
    assert shown.code == 0
    for part in ("diary", "1 memories", "0.050 to 0.310", "3,120 tokens; ended by its time", "2 by others", "tiny"):
        assert part in shown.out
    found = cli("adapter", "show", "diary", "--json").json
    assert (found["id"], found["sources"]["memories"]) == (one, [1])
    assert found["report"]["trained"]["last_loss"] is None
    missing = cli("adapter", "show", 99, "--json")
    assert (missing.code, missing.error["code"]) == (1, "not_found")
    assert cli("adapter", "show", "nobody").code == 1


def test_what_is_worn_is_changed_taken_off_and_brought_back(cli, home: Path) -> None:
    first, second = put(home, "one"), put(home, "two")
    assert cli("adapter", "use", first, "--scale", 0.5, "--json").json["worn"]["scale"] == 0.5
    cli("adapter", "use", "two")
    assert states(cli) == {first: None, second: 0.75}
    back = cli("adapter", "rollback")
    assert "Adapter 1 (one) is worn again" in back.out
    assert states(cli) == {first: 0.5, second: None}
    assert cli("adapter", "off", "user").code == 0
    assert states(cli) == {first: None, second: None}
    nothing = cli("adapter", "rollback", "persona", "--json")
    assert nothing.json == {"worn": None}
    assert "none before" in cli("adapter", "rollback", "global").out
    assert cli("adapter", "off", "everybody").code == 2


def test_the_gate_is_overruled_only_knowingly(cli, home: Path) -> None:
    one = put(home, "bad", state=AdapterState.REFUSED)
    refused = cli("adapter", "use", one, "--json")
    assert (refused.code, refused.error["code"], refused.out) == (5, "adapter_refused", "")
    assert states(cli) == {one: None}
    assert cli("adapter", "use", one, "--anyway", "--json").json["worn"]["overruled"] is True
    assert "against the gate" in cli("adapter", "list").out


def test_one_for_another_model_is_refused(cli, home: Path) -> None:
    one = put(home, "foreign", base_sha256="cd" * 32)
    refused = cli("adapter", "use", one, "--json")
    assert (refused.code, refused.error["code"]) == (5, "adapter_mismatch")


def test_deleting_asks_and_says_what_went(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = put(home, "diary")
    unasked = cli("adapter", "delete", one, "--json")
    assert (unasked.code, unasked.error["code"]) == (2, "usage")
    assert "--dry-run" not in unasked.error["hint"]

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert "Nothing was changed" in cli("adapter", "delete", one).err
    assert states(cli) == {one: None}
    assert cli("adapter", "delete", "diary", "--yes", "--json").json == {"deleted": one}
    assert states(cli) == {}


def test_forgetting_takes_off_what_learnt_from_it_and_says_which(cli, home: Path) -> None:
    memory = cli("remember", "Gustav is a sourdough", "--json").json["id"]
    one, other = put(home, "diary", memories=(memory,)), put(home, "other")
    cli("adapter", "use", one)
    assert "1 adapters" in cli("forget", memory, "--dry-run").err
    done = cli("forget", memory, "--yes")
    assert done.code == 0
    assert f"adapter {one} (diary)" in done.err
    assert "relearn" in done.err
    assert states(cli) == {one: None, other: None}
    assert "erased" in cli("adapter", "list").out
    refused = cli("adapter", "use", one, "--anyway", "--json")
    assert (refused.code, refused.error["code"]) == (5, "adapter_refused")


def test_forgetting_can_be_followed_by_learning_anew(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipts = []

    def relearn(_me: object, receipt: Receipt, **_: object) -> list[object]:
        receipts.append(receipt)
        raise Cancelled("The training was stopped.")

    monkeypatch.setattr(assistant.Assistant, "relearn", relearn)
    monkeypatch.setattr(os, "nice", lambda _: 10)
    memory = cli("remember", "Gustav is a sourdough", "--json").json["id"]
    one = put(home, "diary", memories=(memory,))
    stopped = cli("forget", memory, "--yes", "--relearn", "--json")
    assert stopped.code == 130
    assert [receipt.adapter_ids for receipt in receipts] == [(one,)]
    assert stopped.json["receipt"]["memories"] == 1, "what was forgotten is told, whatever becomes of the training"
    assert stopped.json["relearnt"] == []
    monkeypatch.setattr(assistant.Assistant, "relearn", lambda *_, **__: [])
    third = cli("remember", "Something odd", "--json").json["id"]
    put(home, "odd", memories=(third,))
    assert "None was trained anew" in cli("forget", third, "--yes", "--relearn").err
    second = cli("remember", "Something else", "--json").json["id"]
    assert cli("forget", second, "--yes", "--relearn").code == 0, "nothing to learn anew"
    assert len(receipts) == 1


def test_forgetting_what_nothing_learnt_from_speaks_of_no_adapter(cli, home: Path) -> None:
    memory = cli("remember", "Gustav is a sourdough", "--json").json["id"]
    put(home, "other")
    done = cli("forget", memory, "--yes")
    assert "relearn" not in done.err
    assert cli("remember", "x y z", "--json").code == 0
    assert cli("forget", 2, "--yes", "--json").json["receipt"]["adapter_ids"] == []


def test_one_that_came_from_elsewhere_shows_what_is_known_of_it(cli, home: Path) -> None:
    gate = {
        **GATE,
        "held_out": 0,
        "personal_before": None,
        "general_after": None,
        "passed": False,
        "reasons": ["general_worse"],
    }
    one = put(home, "theirs", granularity=Granularity.PERSONA, report={"gate": gate, "imported": True}, evidence=0)
    shown = cli("adapter", "show", one)
    assert "nothing that is still in this vault" in shown.out
    assert "2.800   –" in shown.out
    assert "training" not in shown.out
    assert "worse than the bound allows" in shown.err


def test_making_personas_says_how_many_are_in_none(cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = put(home, "persona-1", granularity=Granularity.PERSONA, evidence=2, report={"members": 2})
    monkeypatch.setattr(shelf, "make_personas", lambda me, paths, most: Personas((me.adapters.show(one),), 3))
    done = cli("adapter", "personas", *"abcde", "--json")
    assert (done.json["left_out"], [made["id"] for made in done.json["personas"]]) == (3, [one])
    assert "3 of 5 adapters are in no persona" in done.err
    monkeypatch.setattr(shelf, "make_personas", lambda *_, **__: Personas((), 0))
    assert cli("adapter", "personas", "a").err == ""
