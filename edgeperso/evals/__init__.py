"""Evaluation: data-set readers, metrics and runners, over the very parts that answer."""
