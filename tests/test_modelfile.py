"""A stored model is loaded as it was, or refused with words that say what to do."""

import hashlib
import pickle
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.preprocessing import FunctionTransformer

from expectations.contract import Contract
from expectations.errors import InputError
from tasks import modelfile
from tasks.model import SegmentModel
from tasks.modelfile import StoredModel, pack, unpack
from tasks.scaling import build_scaler
from tasks.typicality import Typicality
from tests.planted import ID, planted_segments

CURVE = pd.DataFrame({"gap": [0.0, 0.5, 2.0], "confidence": [0.5, 0.8, 1.0]})
COLUMNS: Mapping[str, Any] = {
    "a": {"kind": "score"},
    "b": {"kind": "score"},
    "c": {"kind": "score"},
    "noise": {"kind": "score", "use": "describe"},
}


def contract_with(columns: Mapping[str, Any], id_column: str = ID) -> Contract:
    given = {"name": "planted", "id": {"column": id_column}, "columns": dict(columns)}
    return Contract.model_validate(given)


CONTRACT = contract_with(COLUMNS)


@pytest.fixture(scope="module")
def customers() -> pd.DataFrame:
    return planted_segments(60, 90, 120)[0]


@pytest.fixture(scope="module")
def model(customers: pd.DataFrame) -> SegmentModel:
    scaler = build_scaler(["a", "b", "c"], CONTRACT).fit(customers)
    X = scaler.transform(customers)
    kmeans = KMeans(3, n_init=3, random_state=0).fit(X)
    embedder = FunctionTransformer(feature_names_out="one-to-one").fit(X)
    assembled = SegmentModel([*scaler.steps, ("embed", embedder), ("kmeans", kmeans)])
    return assembled.with_judgement(CURVE, Typicality().fit(X))


@pytest.fixture(scope="module")
def stored(model: SegmentModel) -> StoredModel:
    return pack(model, CONTRACT, ["S04", "S02", "S09"], "none", "2026-03-0a1b2c3d")


def with_content(stored: StoredModel, content: bytes) -> StoredModel:
    """A store in which somebody also mended the hash."""
    return stored._replace(content=content, sha256=hashlib.sha256(content).hexdigest())


def refusal(stored: StoredModel, contract: Contract | None = None) -> str:
    with pytest.raises(InputError) as raised:
        unpack(stored, contract)
    told = str(raised.value)
    assert "the model of run 2026-03-0a1b2c3d" in told and "--refit always" in told
    return told


def test_a_stored_model_assigns_as_it_did(
    model: SegmentModel, stored: StoredModel, customers: pd.DataFrame
) -> None:
    again = unpack(stored, CONTRACT)
    for one, other in zip(model.assign(customers), again.assign(customers), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.is_typical(customers), again.is_typical(customers))
    assert stored.k == 3 and stored.segment_ids == ("S04", "S02", "S09")
    assert stored.columns == tuple(COLUMNS) and stored.versions["scikit-learn"]


def test_ids_must_be_as_many_as_segments(model: SegmentModel) -> None:
    with pytest.raises(ValueError, match="2 segment ids for the 3 segments"):
        pack(model, CONTRACT, ["S01", "S02"], "none", "x")


def test_a_changed_byte_is_refused(stored: StoredModel) -> None:
    content = bytearray(stored.content)
    content[len(content) // 2] ^= 1
    told = refusal(stored._replace(content=bytes(content)))
    assert "sha256 differs" in told and "rollback" in told and "backup" in told


class Trap:
    """Sets a mark when it is unpickled."""

    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return spring, ()


def spring() -> None:
    Trap.sprung = True


@pytest.mark.parametrize("content", [pickle.dumps(Trap()), b"", b"PK\x03\x04 and no more"])
def test_a_pickle_or_another_file_is_refused_and_never_loaded(
    stored: StoredModel, content: bytes
) -> None:
    assert "no skops file" in refusal(with_content(stored, content))
    assert "sha256 differs" in refusal(stored._replace(content=content))
    assert not Trap.sprung


def test_a_cut_or_overwritten_file_is_refused_even_under_its_own_hash(stored: StoredModel) -> None:
    middle = len(stored.content) // 2
    for content in (
        stored.content[:middle],
        stored.content[:middle] + bytes(2000) + stored.content[middle + 2000 :],
        stored.content.replace(b'"__module__": "sklearn', b'"__module__": "sklearm'),
    ):
        assert content != stored.content
        refusal(with_content(stored, content))


def test_a_type_that_is_not_ours_is_named_and_not_loaded(stored: StoredModel) -> None:
    told = refusal(with_content(stored, skops.io.dumps(Trap())))
    assert "test_modelfile.Trap" in told
    assert not Trap.sprung


def test_something_that_is_no_segmentation_or_has_other_segments_is_refused(
    stored: StoredModel,
) -> None:
    content = skops.io.dumps(KMeans(3))
    assert "holds no segmentation" in refusal(with_content(stored, content))
    assert "with 2 segments" in refusal(stored._replace(segment_ids=("S01", "S02")))


@pytest.mark.parametrize(
    ("name", "number", "fits"),
    [
        ("scikit-learn", 2, True),  # the third number may differ
        ("scikit-learn", 1, False),
        ("scikit-learn", 0, False),
        ("numpy", 1, True),
        ("numpy", 0, False),
        ("skops", 0, True),  # noted, not asked for
    ],
)
def test_a_model_of_other_library_versions_is_refused_where_it_may_compute_something_else(
    stored: StoredModel, name: str, number: int, fits: bool
) -> None:
    numbers = stored.versions[name].split(".")
    numbers[number] = str(int(re.sub("[^0-9].*", "", numbers[number])) + 1)
    other = stored._replace(versions={**stored.versions, name: ".".join(numbers)})
    if fits:
        unpack(other)
        return
    told = refusal(other)
    kept = {"scikit-learn": 2, "numpy": 1}[name]
    assert f"Install {name} {'.'.join(numbers[:kept])}," in told


def test_a_model_that_does_not_say_its_versions_is_refused(stored: StoredModel) -> None:
    assert "unknown version" in refusal(stored._replace(versions={}))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"a": {"kind": "money"}}, "a was score (use: segment) and is money (use: segment) now"),
        ({"noise": {"kind": "score"}}, "noise was score (use: describe) and is score (use: segm"),
        ({"c": None}, "it has no c,"),
        ({"noise": {"kind": "score", "use": "ignore"}}, "it has no noise,"),
        ({"a": {"kind": "money"}, "b": {"kind": "money"}}, "several columns"),
    ],
)
def test_a_model_of_another_contract_is_refused_and_the_change_is_named(
    stored: StoredModel, changed: Mapping[str, Any], told: str
) -> None:
    columns = {name: one for name, one in {**COLUMNS, **changed}.items() if one}
    assert told in refusal(stored, contract_with(columns))


def test_a_model_under_another_id_is_refused(stored: StoredModel) -> None:
    assert "the id's column" in refusal(stored, contract_with(COLUMNS, "client"))


def test_a_new_column_other_bounds_or_another_order_change_nothing(
    stored: StoredModel, customers: pd.DataFrame
) -> None:
    columns = {
        "new": {"kind": "money"},
        **dict(reversed(COLUMNS.items())),
        "a": {"kind": "score", "low": -5, "high": 99, "max_null_share": 0.5, "aliases": ["alpha"]},
    }
    contract = contract_with(columns)
    assert contract.fingerprint(stored.columns) == stored.fingerprint
    assert contract.fingerprint() != stored.fingerprint
    assert len(unpack(stored, contract).assign(customers.assign(new=1.0)).segment) == 270


def test_the_libraries_that_must_agree_are_noted() -> None:
    assert set(modelfile.MUST_AGREE) <= set(modelfile.NOTED)
