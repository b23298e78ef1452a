"""One seed per run, one named child of it per (stage, candidate, resample)."""

import hashlib

import numpy as np


def child_seed(seed: int, *name: str | int) -> int:
    """A seed below 2**32 for the child called `name`; another name gives an independent one."""
    words = np.frombuffer(hashlib.sha256(repr(name).encode()).digest(), dtype="<u4")
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(int(word) for word in words))
    return int(sequence.generate_state(1)[0])
