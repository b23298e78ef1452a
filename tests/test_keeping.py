"""Files are there whole or not at all, and hold what was put in."""

import hashlib
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from skops.io.exceptions import UntrustedTypesFoundException

from tasks.embedding import EmbeddingOptions, fit_space
from tasks.keeping import keep, load, sha256_of
from tasks.scaling import LogColumns

TABLE = pd.DataFrame(
    {
        "id": pd.array(["C00001", "C00002", None], dtype="str"),
        "amount": [1.5, np.nan, -0.0],
        "flag": pd.array([True, None, False], dtype="boolean"),
        "certain": [True, False, True],
        "count": pd.array([1, None, 2**53 + 1], dtype="Int64"),
        "row": [2, 3, 4],
        "nothing": pd.array([None] * 3, dtype="str"),
    }
)


class Interrupted(Exception):
    """What stops a writer in the middle."""


class Stranger(TransformerMixin, BaseEstimator):
    """A class that nobody has declared as trusted."""

    def fit(self, X: np.ndarray, y: None = None) -> "Stranger":
        self.n_features_in_ = X.shape[1]
        return self


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def keep_as(path: Path, value: Any) -> Path:
    keep(path, value)
    return path


def test_tables_keep_values_types_and_gaps(tmp_path: Path) -> None:
    for rows in (TABLE, TABLE[:0]):
        pd.testing.assert_frame_equal(load(keep_as(tmp_path / "table.parquet", rows)), rows)


def test_json_keeps_numbers_texts_lists_and_mappings(tmp_path: Path) -> None:
    told = {"k": 7, "share": 0.1, "none": None, "name": "Möbel | <b>", "list": [1, [True]]}
    path = keep_as(tmp_path / "log.json", told)
    assert load(path) == told
    assert "Möbel" in path.read_text(encoding="utf-8")


def test_json_keeps_numpy_and_paths_as_their_plain_values(tmp_path: Path) -> None:
    told = {"k": np.int64(7), "ok": np.bool_(True), "x": np.float32(0.5), "p": tmp_path}
    path = keep_as(tmp_path / "log.json", {**told, "month": pd.Period("2026-10", "M")})
    assert load(path) == {"k": 7, "ok": True, "x": 0.5, "p": str(tmp_path), "month": "2026-10"}


@pytest.mark.parametrize("number", [np.nan, float("inf"), np.float32("nan"), -np.inf])
def test_json_refuses_what_is_no_number(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        keep(tmp_path / "log.json", {"stages": [{"log": {"silhouette": number}}]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [TABLE, TABLE["id"], {1, 2}, pd.NA, pd.NaT, object()])
def test_json_refuses_what_it_could_only_print(value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=f"a {type(value).__name__} is no JSON value"):
        keep(tmp_path / "log.json", {"value": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.html", "trace.txt"])
def test_texts_are_kept_as_utf_8(name: str, tmp_path: Path) -> None:
    assert keep_as(tmp_path / name, "Größe\n").read_bytes() == "Größe\n".encode()


def test_a_figure_is_kept_as_a_png(tmp_path: Path) -> None:
    picture = load(keep_as(tmp_path / "figures" / "one.png", Figure(figsize=(2, 1))))
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
    assert width == 2 * height > 200


def figure(seed: int = 0, name: str = "one") -> Figure:
    drawn = Figure(figsize=(3, 2))
    ax = drawn.subplots()
    ax.plot([1, 2, 3], marker="o", label=name)
    ax.pcolormesh(np.random.default_rng(seed).random((4, 4)), rasterized=True)
    ax.set_title(name, loc="left")
    return drawn


def ids_of(svg: bytes) -> list[str]:
    return re.findall(rb'<[^>]* id="([^"]*)"', svg)


def test_in_an_svg_text_stays_text_of_any_script(tmp_path: Path) -> None:
    name = '客户 & مرحبا < id="x"'
    picture = load(keep_as(tmp_path / "one.svg", figure(name=name)))
    texts = [one.text for one in ElementTree.fromstring(picture).iter() if one.tag.endswith("text")]
    assert name in texts
    assert b"DejaVu" not in picture


def test_an_svg_tells_nothing_of_when_and_with_what_it_was_made(tmp_path: Path) -> None:
    picture = load(keep_as(tmp_path / "one.svg", figure()))
    assert not re.search(rb"<dc:|[Mm]atplotlib v|20[0-9]{2}-[0-9]{2}", picture)


def test_no_two_figures_on_a_page_have_an_id_in_common(tmp_path: Path) -> None:
    pictures = [load(keep_as(tmp_path / f"{n}.svg", figure(seed=n))) for n in range(2)]
    one, other = (ids_of(picture) for picture in pictures)
    assert len(set(one)) == len(one) > 0
    assert not set(one) & set(other)


def test_what_an_svg_refers_to_is_in_it(tmp_path: Path) -> None:
    picture = load(keep_as(tmp_path / "one.svg", figure()))
    wanted = {*re.findall(rb'href="#([^"]*)"', picture), *re.findall(rb"url\(#([^)]*)\)", picture)}
    assert wanted == set(ids_of(picture))


def test_figures_kept_side_by_side_are_those_of_one_after_the_other(tmp_path: Path) -> None:
    names = [f"{n}.{suffix}" for n in range(4) for suffix in ("svg", "png")]
    settings = dict(rcParams)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda n: keep(tmp_path / "a" / n, figure(int(n[0]))), names))
    assert together == [keep(tmp_path / "b" / n, figure(int(n[0]))) for n in names]
    assert dict(rcParams) == settings


@pytest.mark.parametrize("suffix", ["svg", "png"])
@pytest.mark.filterwarnings("error")
def test_a_letter_that_matplotlib_cannot_draw_is_no_reason_for_a_warning(
    suffix: str, tmp_path: Path
) -> None:
    assert keep(tmp_path / f"one.{suffix}", figure(name="客户 हिन्दी 😀"))


@pytest.mark.parametrize("space", ["none", "pca"])
def test_a_fitted_pipeline_computes_the_same_after_loading(space: str, tmp_path: Path) -> None:
    X = np.random.default_rng(0).lognormal(size=(60, 4))
    logged = LogColumns([0, 2]).fit(X)
    embedder = fit_space(space, logged.transform(X), EmbeddingOptions(width=2), 0)
    model = Pipeline([("transform", logged), ("embed", embedder)])
    loaded = load(keep_as(tmp_path / "model.skops", model))
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))


def test_a_model_that_names_a_foreign_class_is_not_loaded(tmp_path: Path) -> None:
    X = np.eye(3)
    model = Pipeline([("pca", PCA(1)), ("stranger", Stranger())]).fit(X)
    path = keep_as(tmp_path / "model.skops", model)
    with pytest.raises(UntrustedTypesFoundException, match=r"test_keeping\.Stranger"):
        load(path)


def test_a_pickle_under_a_models_name_is_not_loaded(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    trap = tmp_path / "model.skops"
    trap.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(BadZipFile):
        load(trap)
    assert not sprung.exists()
    pickle.loads(trap.read_bytes())
    assert sprung.exists()  # the trap itself is in order


class HalfWritten:
    """A figure whose writer stops in the middle, after a look at what others can read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: bytes | None = None

    def savefig(self, file: BinaryIO, **_: Any) -> None:
        file.write(b"\x89PNG half of it")
        file.flush()
        self.seen = self.path.read_bytes() if self.path.exists() else None
        raise Interrupted


def test_a_writer_that_stops_half_way_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = keep_as(tmp_path / "one.png", Figure())
    before, half = path.read_bytes(), HalfWritten(path)
    with pytest.raises(Interrupted):
        keep(path, half)
    assert path.read_bytes() == half.seen == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_stops_half_way_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    half = HalfWritten(tmp_path / "one.png")
    with pytest.raises(Interrupted):
        keep(half.path, half)
    assert half.seen is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["table.parquet", "log.json", "one.png", "one.svg"])
def test_the_same_content_gives_the_same_bytes_and_another_gives_others(
    name: str, tmp_path: Path
) -> None:
    contents: dict[str, tuple[Any, Any, Any]] = {
        "table.parquet": (TABLE, TABLE.copy(), TABLE.assign(row=[2, 3, 5])),
        "log.json": ({"k": 7}, {"k": 7}, {"k": 8}),
        "one.png": (figure(), figure(), figure(seed=1)),
        "one.svg": (figure(), figure(), figure(seed=1)),
    }
    one, same, other = (keep(tmp_path / str(i) / name, c) for i, c in enumerate(contents[name]))
    assert one == same != other
    assert one == hashlib.sha256((tmp_path / "0" / name).read_bytes()).hexdigest()


def test_a_file_of_several_blocks_has_the_hash_of_all_of_them(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(5 * 2**19 + 1)
    (tmp_path / "big").write_bytes(content)
    assert sha256_of(tmp_path / "big") == hashlib.sha256(content).hexdigest()


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    keep(tmp_path / "run" / "log.json", json.loads("{}"))
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
