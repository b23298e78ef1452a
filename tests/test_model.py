"""The model assigns one customer as it assigns all, and is stored with what it knows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.confidence import confidence_of, gaps_between
from tasks.keeping import keep, load
from tasks.model import SegmentModel
from tests.test_clustering import SIZES, clustered, raw_customers


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return raw_customers(*SIZES, spread=2.5)[0]


@pytest.fixture(scope="module", params=["none", "pca"])
def model(request: pytest.FixtureRequest, raw: pd.DataFrame) -> SegmentModel:
    return clustered(raw, len(SIZES), request.param).learned["model.skops"]


def test_a_customer_alone_gets_the_segment_and_confidence_of_the_batch(
    model: SegmentModel, raw: pd.DataFrame
) -> None:
    together, typical = model.assign(raw), model.is_typical(raw)
    for row in range(0, len(raw), 17):
        alone = model.assign(raw.iloc[[row]])
        assert alone.segment[0] == together.segment[row]
        assert alone.runner_up[0] == together.runner_up[row]
        assert alone.confidence[0] == pytest.approx(together.confidence[row], abs=1e-6)
        assert model.is_typical(raw.iloc[[row]])[0] == typical[row]


def test_confidence_is_that_of_the_curve_at_the_gap(model: SegmentModel, raw: pd.DataFrame) -> None:
    distances = model[-1].transform(model[:-1].transform(raw))
    curve = pd.DataFrame({"gap": model.confidence_gaps_, "confidence": model.confidence_})
    found = model.assign(raw)
    np.testing.assert_allclose(found.confidence, confidence_of(gaps_between(distances), curve))
    assert (found.segment == model.predict(raw)).all()
    assert (found.segment != found.runner_up).all()
    assert len(np.unique(found.confidence)) > 3


def test_it_is_stored_whole_and_without_an_id(
    model: SegmentModel, raw: pd.DataFrame, tmp_path: Path
) -> None:
    keep(tmp_path / "model.skops", model)
    content = (tmp_path / "model.skops").read_bytes()
    assert not [one for one in raw.iloc[:, 0] if one.encode() in content]
    again = load(tmp_path / "model.skops")
    assert isinstance(again, SegmentModel)
    for one, other in zip(model.assign(raw), again.assign(raw), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.is_typical(raw), again.is_typical(raw))


def test_a_customer_like_nobody_is_told(model: SegmentModel, raw: pd.DataFrame) -> None:
    assert model.is_typical(raw).mean() >= 0.97
    nowhere = raw.iloc[[0]].assign(a=50.0, b=1e11, c=-50.0)
    assert not model.is_typical(nowhere)[0]
