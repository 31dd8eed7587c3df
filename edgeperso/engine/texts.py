"""Texts of our own that models are measured on."""

from __future__ import annotations

__all__ = ["PROMPTS", "SAMPLE_TEXT"]

SAMPLE_TEXT = (
    "The bakery opened at six, long before the street was awake. By the time the first tram came round the corner, two "
    "trays of rolls were cooling on the rack and the windows had gone white with steam. Marit weighed the flour by "
    "hand, as her father had done, and wrote the weight of every batch in a blue notebook that nobody else was allowed "
    "to touch. On Thursdays she closed early to teach the cello to three children from the house next door. None of "
    "them practised. She did not mind much: she liked the sound of the strings being tuned, and the way the youngest "
    "counted out loud through the rests. In spring the river rose and the cellar had to be emptied again. They carried "
    "the sacks upstairs, sixteen of them, and stacked them along the wall under the clock. When it was done they ate "
    "what was left of the bread with butter and salt, and talked about going away for a week, to the coast, or to a "
    "city where nobody baked anything at all."
)

PROMPTS = (
    "Note: I am allergic to peanuts.\nQuestion: Which food am I allergic to?\nAnswer: You are allergic to",
    "Note: My sister Ines marries on 14 June in Porto.\nQuestion: When is the wedding?\nAnswer: The wedding is on",
    "Note: The cat Pixel takes half a pill each morning.\nQuestion: What is the cat called?\nAnswer: The cat is called",
    "Question: What is the capital of France?\nAnswer: The capital of France is",
    "Days of the week: Monday, Tuesday, Wednesday,",
    "1, 2, 3, 4, 5, 6,",
    "The sea is",
    "To make bread you need",
)
"""What a model is asked to go on from when its answers are compared with another's."""
