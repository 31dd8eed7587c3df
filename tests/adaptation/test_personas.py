"""Personas: groups of adapters that add alike, their mean, and whom they suit."""

from __future__ import annotations

import numpy as np
import pytest

from edgeperso.adaptation.personas import Card, card_of, centroid, group, nearest, persona_of
from edgeperso.adaptation.stacking import cosine, distance, merged
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.errors import AdapterInvalid, AdapterMismatch, EmbedderMismatch, UsageError
from edgeperso.types import Float32


def lora(seed: int, rank: int = 2, base: str = "0" * 64) -> Lora:
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((rank, 16)), random.standard_normal((24, rank))
    return Lora(base, "llama", 4.0, {"blk.0.attn_v": LoraPair(a.astype(np.float32), b.astype(np.float32))})


def near(kind: int, seed: int) -> Lora:
    """An adapter of a kind, with something of its own."""
    return merged([(lora(kind), 1.0), (lora(1000 + seed), 0.4)])


def test_adapters_are_grouped_by_what_they_add() -> None:
    kinds = [0, 1, 0, 2, 1, 0, 2, 0, 1]
    adapters = [near(kind, seed) for seed, kind in enumerate(kinds)]
    expected = [[0, 2, 5, 7], [1, 4, 8], [3, 6]]
    assert group(adapters, most=6) == expected
    assert all(group(adapters, most=6, seed=seed) == expected for seed in range(5))


def test_groups_do_not_go_by_size() -> None:
    """A weak and a strong adapter of one kind belong together."""
    adapters = [merged([(near(seed % 2, seed), scale)]) for seed, scale in enumerate((1.0, 9.0, 0.01, 0.2, 5.0, 0.02))]
    assert group(adapters, most=3) == [[0, 2, 4], [1, 3, 5]]


def test_no_more_groups_than_asked_for() -> None:
    adapters = [near(kind, seed) for seed, kind in enumerate([0, 1, 2, 0, 1, 2])]
    assert len(group(adapters, most=2)) <= 2
    assert group(adapters, most=1) == [[0, 1, 2, 3, 4, 5]]


def test_without_structure_there_is_one_group() -> None:
    assert group([lora(seed) for seed in range(8)], most=4) == [[0, 1, 2, 3, 4, 5, 6, 7]]


def test_few_and_equal_adapters_group() -> None:
    assert group([], most=3) == []
    assert group([lora(1)], most=3) == [[0]]
    assert group([lora(1), lora(2)], most=3) == [[0, 1]]
    assert group([lora(1)] * 5, most=3) == [[0, 1, 2, 3, 4]]
    nothing = merged([(lora(1), 0.0)])
    groups = group([nothing, lora(1), nothing, lora(1)], most=3)
    assert sorted(place for members in groups for place in members) == [0, 1, 2, 3]


def test_groups_need_room_and_one_base() -> None:
    with pytest.raises(UsageError):
        group([lora(1)], most=0)
    with pytest.raises(AdapterMismatch):
        group([lora(1), lora(2, base="1" * 64)], most=2)


def test_a_persona_is_the_mean_of_its_members() -> None:
    members = [near(3, seed) for seed in range(6)]
    persona = persona_of(members)
    mean = merged([(member, 1 / 6) for member in members])
    assert persona.pairs["blk.0.attn_v"].rank == 4
    assert cosine(persona, mean) > 0.97
    assert cosine(persona, lora(3)) > max(cosine(member, lora(3)) for member in members)


def test_the_mean_is_of_products_not_of_factors() -> None:
    """Two members that add the same with opposite factors: averaged apart, nothing would be left."""
    one = lora(1)
    pair = one.pairs["blk.0.attn_v"]
    other = Lora(one.base_sha256, "llama", 4.0, {"blk.0.attn_v": LoraPair(-pair.a, -pair.b)})
    persona = persona_of([one, other])
    assert distance(persona, one) < 1e-5 * np.linalg.norm(pair.b @ pair.a)
    assert persona.pairs["blk.0.attn_v"].rank == 2
    with pytest.raises(UsageError):
        persona_of([])


def vector(*values: float) -> Float32:
    return np.array(values, np.float32)


def test_the_nearest_persona_points_the_same_way() -> None:
    personas = [("runner", vector(1, 0, 0)), ("cook", vector(0, 3, 0.1)), ("old", vector(1, 1))]
    assert nearest(vector(0.2, 0.5, 0), personas) == "cook"
    assert nearest(vector(9, 0.5, 0), personas) == "runner"


def test_nobody_is_near_what_points_elsewhere() -> None:
    assert nearest(vector(1, 0), []) is None
    assert (
        nearest(vector(1, 0), [(1, vector(-1, 0)), (2, vector(0, 1)), (3, vector(0, 0)), (4, vector(1, 0, 0))]) is None
    )
    assert nearest(vector(0, 0), [(1, vector(1, 0))]) is None


def test_a_card_is_the_direction_of_a_persons_texts() -> None:
    card = card_of("e", np.array([[10, 0], [0, 0.1], [0, 0]], np.float32))
    np.testing.assert_allclose(card.vector, [0.5**0.5, 0.5**0.5], rtol=1e-6)
    assert card.vector.dtype == np.float32
    for nothing in (np.zeros((0, 3), np.float32), np.array([[1, 0], [-2, 0]], np.float32)):
        with pytest.raises(AdapterInvalid):
            card_of("e", nothing)


def test_a_personas_card_is_the_centre_of_its_members() -> None:
    cards = [Card("e", vector(1, 0)), Card("e", vector(0, 1))]
    np.testing.assert_allclose(centroid(cards).vector, [0.5**0.5, 0.5**0.5], rtol=1e-6)
    for other in (Card("f", vector(0, 1)), Card("e", vector(0, 1, 0))):
        with pytest.raises(EmbedderMismatch):
            centroid([*cards, other])
    with pytest.raises(UsageError):
        centroid([])


def test_a_card_survives_storage() -> None:
    card = card_of("minilm", np.random.default_rng(0).standard_normal((3, 384)).astype(np.float32))
    again = Card.from_dict(card.as_dict())
    assert again.embedder == "minilm"
    np.testing.assert_allclose(again.vector, card.vector, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"embedder": "e"},
        {"embedder": "", "vector": [1.0]},
        {"embedder": 3, "vector": [1.0]},
        {"embedder": "e", "vector": []},
        {"embedder": "e", "vector": [0.0, 0.0]},
        {"embedder": "e", "vector": [1.0, float("nan")]},
        {"embedder": "e", "vector": [1.0, float("inf")]},
        {"embedder": "e", "vector": ["1"]},
        {"embedder": "e", "vector": {"0": 1.0}},
        {"embedder": "e", "vector": [1.0] * 20000},
    ],
)
def test_a_malformed_card_is_refused(card: dict[str, object]) -> None:
    with pytest.raises(AdapterInvalid):
        Card.from_dict(card)
