"""The model as the store holds it: bytes, what they rest on, and when they are refused.

Only skops reads a model, and only with our own classes: no pickle is ever loaded.
"""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

from expectations.contract import Contract
from expectations.errors import InputError
from expectations.parts import KINDS
from tasks.keeping import trusted_types
from tasks.model import SegmentModel

# How many numbers of a version must agree, so that a model computes what it did when it was fitted.
MUST_AGREE: Mapping[str, int] = MappingProxyType({"scikit-learn": 2, "numpy": 1})
NOTED = (*MUST_AGREE, "scipy", "skops")
AGAIN = (
    "Roll back to an earlier publication (`resegment rollback RUN_ID`), restore the store from a "
    "backup, or run the month with --refit always"
)


class StoredModel(NamedTuple):
    """A model's file, and what it says beside it.

    `segment_ids` has the id of each K-means position; `columns` and `fingerprint` say under which
    contract it was fitted, `versions` with which libraries, and `fitted_by` in which run.
    """

    sha256: str
    content: bytes
    segment_ids: tuple[str, ...]
    columns: tuple[str, ...]
    fingerprint: str
    versions: Mapping[str, str]
    space: str
    k: int
    fitted_by: str


def pack(
    model: SegmentModel, contract: Contract, segment_ids: Sequence[str], space: str, fitted_by: str
) -> StoredModel:
    """Turn a fitted model into what the store holds.

    `segment_ids` are in the order of K-means' positions. Raises `ValueError` where their number
    is not the model's.
    """
    import skops.io

    k = model[-1].n_clusters
    if len(segment_ids) != k:
        raise ValueError(f"{len(segment_ids)} segment ids for the {k} segments of a model")
    return stored_as(skops.io.dumps(model), contract, segment_ids, space, fitted_by)


def stored_as(
    content: bytes, contract: Contract, segment_ids: Sequence[str], space: str, fitted_by: str
) -> StoredModel:
    """What the store holds of a model that was fitted here and written as `content`."""
    return StoredModel(
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
        segment_ids=tuple(segment_ids),
        columns=tuple(contract.kept),
        fingerprint=contract.fingerprint(),
        versions={name: version(name) for name in NOTED},
        space=space,
        k=len(segment_ids),
        fitted_by=fitted_by,
    )


def unpack(stored: StoredModel, contract: Contract | None = None) -> SegmentModel:
    """Load a stored model, if it is what was stored, safe, and fits contract and libraries.

    Raises `InputError` that says why it is refused and what to do.
    """
    _refuse_changed(stored)
    _refuse_other_versions(stored)
    if contract is not None:
        _refuse_other_contract(stored, contract)
    return _load(stored)


def _called(stored: StoredModel) -> str:
    return f"the model of run {stored.fitted_by}"


def _refuse_changed(stored: StoredModel) -> None:
    if hashlib.sha256(stored.content).hexdigest() != stored.sha256:
        raise InputError(
            f"{_called(stored)} is not what was stored (its sha256 differs): the store was "
            f"tampered with or is damaged. {AGAIN}."
        )


def _refuse_other_versions(stored: StoredModel) -> None:
    for name, numbers in MUST_AGREE.items():
        then, now = stored.versions.get(name, ""), version(name)
        if then.split(".")[:numbers] != now.split(".")[:numbers]:
            wanted = ".".join(then.split(".")[:numbers])
            install = f"Install {name} {wanted}" if then else f"Install the {name} of that time"
            raise InputError(
                f"{_called(stored)} was fitted with {name} {then or 'of an unknown version'} and "
                f"{now} is installed, where it may compute something else. {install}, or run the "
                "month with --refit always."
            )


def _refuse_other_contract(stored: StoredModel, contract: Contract) -> None:
    if contract.fingerprint(stored.columns) != stored.fingerprint:
        raise InputError(
            f"{_called(stored)} belongs to another contract than {contract.name}: "
            f"{_what_changed(stored, contract)}. Give the contract of that run with --contract, "
            "or run the month with --refit always."
        )


def _what_changed(stored: StoredModel, contract: Contract) -> str:
    """Name the change. A hash does not tell it, but one column's can be found by trying."""
    gone = [name for name in stored.columns if name not in contract.kept]
    if gone:
        return f"it has no {', '.join(gone)}, which the model was fitted under"
    for name, kind, use in product(stored.columns, KINDS, ("segment", "describe")):
        column = contract.columns[name]
        before = column.model_copy(update={"kind": kind, "use": use})
        columns = {**contract.columns, name: before}
        tried = contract.model_copy(update={"columns": columns})
        if tried.fingerprint(stored.columns) == stored.fingerprint:
            then, now = f"{kind} (use: {use})", f"{column.kind} (use: {column.use})"
            return f"{name} was {then} and is {now} now"
    return "the id's column, or kind or use of several columns, are others now"


def _load(stored: StoredModel) -> SegmentModel:
    import skops.io

    if not zipfile.is_zipfile(BytesIO(stored.content)):
        raise InputError(
            f"{_called(stored)} is no skops file (a pickle, perhaps, which is never loaded). "
            f"{AGAIN}."
        )
    try:
        unknown = sorted(
            set(skops.io.get_untrusted_types(data=stored.content)) - set(trusted_types())
        )
        if unknown:
            raise InputError(
                f"{_called(stored)} names types that are not ours, and is not loaded: "
                f"{', '.join(unknown)}. {AGAIN}."
            )
        model = skops.io.loads(stored.content, trusted=trusted_types())
    except InputError:
        raise
    except Exception as error:  # a damaged file breaks skops in many ways
        raise InputError(
            f"{_called(stored)} cannot be read ({type(error).__name__}): the file is damaged, or "
            f"no skops file. {AGAIN}."
        ) from None
    if not isinstance(model, SegmentModel) or model[-1].n_clusters != len(stored.segment_ids):
        raise InputError(
            f"{_called(stored)} holds no segmentation with {len(stored.segment_ids)} segments. "
            f"{AGAIN}."
        )
    return model
