"""Adapters and what is known of them, as dictionaries for ``--json`` and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from edgeperso.cli.frame import Run
from edgeperso.times import day_of
from edgeperso.types import AdapterForm, Objective

if TYPE_CHECKING:
    from edgeperso.vault.adapters import StoredAdapter, WornRow

__all__ = [
    "adapter_dict",
    "adapter_lines",
    "adapter_name",
    "form_of",
    "learnt_from",
    "left_out",
    "show_gate",
    "state_of",
    "training_lines",
    "worn_dict",
]

_REASONS: Final = {
    "personal_not_better": "On your newest texts it is not better by more than chance.",
    "general_worse": "On general texts it may be worse than the bound allows.",
}
_SKIPPED: Final = {
    "secret": "with what looks like a secret or contact data",
    "others": "by others",
    "superseded": "superseded",
    "document": "documents (--kind document takes them)",
    "short": "too short",
    "recalled": "that repeat what was recalled",
    "outside": "outside the filter",
    "repeated": "repetitions",
}
_STOPPED: Final = {"done": "", "budget": "; ended by its time"}


def adapter_name(one: StoredAdapter) -> str:
    """``Adapter 3 (reviews)``"""
    return f"Adapter {one.id} ({one.name})"


def adapter_dict(one: StoredAdapter) -> dict[str, Any]:
    """An adapter for ``--json``, without its weights, its report and what it was trained on."""
    return {
        "id": one.id,
        "name": one.name,
        "form": one.form.value,
        "objective": one.objective.value,
        "granularity": one.granularity.value,
        "state": one.state.value,
        "base": {"name": one.base_name, "sha256": one.base_sha256},
        "rank": one.rank,
        "alpha": one.alpha,
        "evidence": one.evidence,
        "parents": list(one.parents),
        "created_ms": one.created_ms,
        "bytes": one.size_bytes,
        "erased": not one.has_payload,
    }


def worn_dict(row: WornRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "granularity": row.granularity.value,
        "adapter_id": row.adapter_id,
        "scale": row.scale,
        "since_ms": row.since_ms,
        "overruled": row.overruled,
    }


def adapter_lines(one: StoredAdapter, worn: WornRow | None) -> Iterator[tuple[str, str]]:
    """What an adapter is."""
    yield ("name", one.name)
    yield ("form", form_of(one))
    yield ("for", one.granularity.value)
    yield ("state", state_of(one, worn))
    yield ("base", f"{one.base_name} ({one.base_sha256[:12]}…)")
    yield ("made", day_of(one.created_ms))
    yield ("size", f"{one.size_bytes / 1e6:.2f} MB")
    if one.parents:
        yield ("comes from", ", ".join(map(str, one.parents)))
    if one.report.get("relearns"):
        yield ("in place of", str(one.report["relearns"]))


def training_lines(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How an adapter was trained; nothing for one that wasn't trained here."""
    trained, plan = report.get("trained"), report.get("plan")
    if trained and plan:
        stopped = _STOPPED.get(trained["stopped"], "")
        yield ("training", f"{trained['steps']:,} steps, {trained['tokens']:,} tokens{stopped}")
        yield ("plan", f"{plan['epochs']} epochs, rate {plan['rate']:g}, seed {plan['seed']}")
    if report.get("skipped"):
        yield ("left out", left_out(report["skipped"]))


def learnt_from(one: StoredAdapter) -> str:
    """``258 texts``; a dash where it isn't known."""
    if not one.evidence:
        return "–"
    what = "adapters" if "members" in one.report else "pairs" if one.objective is Objective.DPO else "texts"
    return f"{one.evidence:,} {what}"


def form_of(one: StoredAdapter) -> str:
    shape = f"LoRA, rank {one.rank}" if one.form is AdapterForm.LORA else f"soft prompt, {one.rank} tokens"
    return f"{shape}, of pairs" if one.objective is Objective.DPO else shape


def state_of(one: StoredAdapter, worn: WornRow | None) -> str:
    if worn is not None:
        return f"worn at {worn.scale:.2f}" + (", against the gate" if worn.overruled else "")
    return one.state.value if one.has_payload else f"{one.state.value}, erased"


def _nats(value: float | None) -> str:
    """``3.214``; a dash for what is no number."""
    return "–" if value is None else f"{value:.3f}"


def gate_lines(gate: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """What the gate measured (`GateReport.as_dict`), as a table for people."""
    yield ("", "before", "after", "with 95 % certainty")
    if gate["held_out"]:
        yield (
            f"your newest {gate['held_out']}",
            _nats(gate["personal_before"]),
            _nats(gate["personal_after"]),
            f"better by {_nats(gate['gain_low'])} to {_nats(gate['gain_high'])}; must be above 0",
        )
    yield (
        "general texts",
        _nats(gate["general_before"]),
        _nats(gate["general_after"]),
        f"worse by at most {_nats(gate['general_high'])}; {gate['general_bound']:.2f} is allowed",
    )


def show_gate(run: Run, gate: Mapping[str, Any]) -> None:
    """What the gate measured, and what it had against the adapter."""
    run.out.rows(gate_lines(gate))
    if gate["accuracy_before"] is not None:
        run.out.answer(
            f"Pairs in the right order: {gate['accuracy_before']:.0%} before, {gate['accuracy_after']:.0%} after."
        )
    for reason in gate["reasons"]:
        run.out.note(_REASONS.get(reason, reason), "yellow")


def left_out(skipped: Mapping[str, int]) -> str:
    """``3 too short, 1 by others``"""
    return ", ".join(f"{count:,} {_SKIPPED.get(word, word)}" for word, count in skipped.items())
