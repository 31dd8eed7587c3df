"""Metrics as thin, typed functions over well-kept libraries: a place for each concept.

`text` scores answers word by word, `choice` labels and numbers, `ranking` rankings, `agreement` two judges of the same
items; `intervals` says how sure a figure is, with people as what is resampled. Functions give the value of one item
where they can, so that `intervals` can resample it. The libraries are those of the ``[eval]`` extra (`extra`), which
recall, the other plain rank measures and the bootstrap do without.
"""
