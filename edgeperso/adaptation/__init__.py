"""Adapters that learn the person: from examples over training and the gate to what the engine wears."""
