"""Edges: which step follows which. No numerics."""
