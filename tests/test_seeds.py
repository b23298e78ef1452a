"""Children of the run's seed: independent by name, and the same wherever they are asked for."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.seeds import child_seed

ROOT = Path(__file__).resolve().parents[1]


def test_a_child_is_the_same_in_every_process() -> None:
    code = "from tasks.seeds import child_seed; print(child_seed(7, 'selection', 'pca', 5))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert told == {str(child_seed(7, "selection", "pca", 5))}


def test_children_stay_what_they_were_so_that_old_runs_can_be_replayed() -> None:
    assert child_seed(0, "clustering") == 4181713674
    assert child_seed(0, "selection", "none", 7) == 216127439


def test_every_name_and_every_seed_has_a_child_of_its_own() -> None:
    names: list[tuple[str | int, ...]] = [("a", "b"), ("ab",), ("a", "b", ""), ("b", "a")]
    names += [(1,), ("1",), (), ("stage", 11), ("stage", 1, 1)]
    names += [("resample", number) for number in range(2000)]
    children = [child_seed(seed, *name) for seed in (0, 1) for name in names]
    assert len(set(children)) == len(children)
    assert all(0 <= child < 2**32 for child in children)


@pytest.mark.parametrize("varied", ["seed", "number"])
def test_neighbouring_children_draw_independent_numbers(varied: str) -> None:
    children = [
        child_seed(n, "audit") if varied == "seed" else child_seed(0, "resample", n)
        for n in range(30)
    ]
    drawn = np.array([np.random.default_rng(child).normal(size=4000) for child in children])
    between = np.corrcoef(drawn)[np.triu_indices(30, 1)]
    assert np.abs(between).max() < 5 / np.sqrt(4000)
    assert np.std(np.array(children) / 2**32) == pytest.approx(12**-0.5, abs=0.12)
