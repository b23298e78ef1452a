"""Both faces of every rule agree on every table, and each rule can be broken."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from expectations import rules
from expectations.comparing import population_stability, row_hashes
from expectations.contract import Contract, parse_contract
from expectations.gate import check
from expectations.rules import (
    REFUSED,
    ROW,
    ROW_TESTS,
    TABLE_TESTS,
    UNREADABLE,
    WITNESSES,
    Limits,
    Rule,
)
from expectations.suites import EXPECTATIONS, build_suite, with_witnesses
from tasks.ingestion import SourceOptions, fetch, read_customers

TESTS = {**ROW_TESTS, **TABLE_TESTS}
LARGEST = float(np.finfo(float).max)

# ------------------------------------------------------------------- columns of many kinds
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
SMALL = st.floats(-2, 2)
HUGE = st.sampled_from([LARGEST, -LARGEST, 1e300, 5e-324, -0.0, 0.0, 2.0**53 + 2])
WORDS = st.sampled_from(
    ["", " ", "a", "b", "NULL", "nan", "C10001", "C10002", "C10001\n", "C1000\u0661", "\n", "1"]
)
NOTES = st.sampled_from(['{"mixed": "x"}', '{"*": "a,b"}', '{"other": "1"}', "{}"])

KINDS: dict[str, tuple[st.SearchStrategy, Any]] = {
    "numbers": (NUMBERS, float),
    "small": (SMALL, float),
    "gaps": (SMALL | st.just(np.nan), float),
    "huge": (HUGE, float),
    "halves": (st.sampled_from([0.0, -0.0, 0.5, 1.0]), float),
    "constant": (st.just(2.0), float),
    "nothing": (st.just(np.nan), float),
    "whole": (st.integers(-3, 3), "int64"),
    "single": (st.floats(-2, 2, width=32), "float32"),
    "truth": (st.booleans(), bool),
    "flags": (st.booleans() | st.none(), "boolean"),
    "nullable": (SMALL | st.none(), "Float64"),
    "words": (WORDS, "str"),
    "texts": (st.text(max_size=3) | st.none(), "str"),
    "no_text": (st.none(), "str"),
    "notes": (NOTES | st.none(), "str"),
    "labels": (st.sampled_from(["a", "b"]) | st.none(), "category"),
    "letters": (st.sampled_from(["a", "b"]), object),
    "mixed": (SMALL | WORDS | st.none() | st.booleans(), object),
    "none": (st.none(), object),
}


@st.composite
def tables(draw: st.DrawFn, rows: int) -> pd.DataFrame:
    """Four columns of any kind, with this many rows."""
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=4, max_size=4, unique=True))
    columns = {}
    for kind in kinds:
        elements, dtype = KINDS[kind]
        values = draw(st.lists(elements, min_size=rows, max_size=rows))
        columns[kind] = pd.Series(values, index=range(rows), dtype=dtype)
    return pd.DataFrame(columns)


# For each test: the columns beside the first that it reads, and arguments worth trying.
TRIED: dict[str, tuple[int, list[dict[str, Any]]]] = {
    "not_null": (0, [{}]),
    "between": (0, [{"low": 0.0, "high": 1.0}, {"low": -LARGEST, "high": LARGEST}]),
    "whole": (0, [{}]),
    "unique": (0, [{}]),
    "matches": (0, [{"pattern": "C[0-9]{5}"}, {"pattern": ".+"}, {"pattern": "(a|C)(?!x).*"}]),
    "one_of": (0, [{"values": ("a", "C10001")}]),
    "readable": (0, [{"column": "mixed"}]),
    "sum": (2, [{"tolerance": 0.0}, {"tolerance": 0.5}]),
    "together": (2, [{}]),
    "at_most": (1, [{"factor": 1.0}, {"factor": 1.5}]),
    "equals": (0, [{"values": pd.Series([1.0, 0.5] * 20)}, {"values": pd.Series(["a"])}]),
    "between_where": (1, [{"low": 0.0, "high": 1.0}]),
    "common": (0, [{"low": 0.1}, {"low": 0.6}]),
    "has_columns": (3, [{}]),
    "column_count": (0, [{"low": 1}, {"low": 8}, {"low": 40}]),
    "has_type": (0, [{"types": ("float64",)}, {"types": ("str",)}, {"types": ("boolean", "bool")}]),
    "row_count": (0, [{"low": 1}, {"low": 0, "high": 2}]),
    "distinct": (0, [{"low": 2}, {"low": 1, "high": 1}]),
    "null_share": (0, [{"high": 0.0}, {"high": 0.3}, {"high": 0.58}, {"high": 1.0}]),
    "flagged": (0, [{"low": 0.0, "high": 1.0}, {"low": 0.5, "high": 1.0}]),
    "mean": (0, [{"low": -1.0, "high": 1.0}]),
    "deviation": (0, [{"low": 0.0, "high": 1.0}, {"low": 1e-6, "high": LARGEST}]),
    "total": (0, [{"low": 0.0, "high": 0.0}, {"low": -5.0, "high": 5.0}]),
    "psi": (
        0,
        [
            {"edges": (0.0, 1.0), "shares": (0.2, 0.5, 0.3), "high": 0.25},
            {"edges": (0.5,), "shares": (0.0, 1.0), "high": 4.0},
            {"edges": (), "shares": (1.0,), "high": 0.0},
        ],
    ),
    "changed": (
        1,
        [
            {"hashes": pd.Series([1, 2], index=["a", "C10001"]), "low": 0.5},
            {"hashes": pd.Series([3, 4, 5], index=[0.0, 0.5, 2.0]), "low": 1.0},
            {"hashes": pd.Series([], dtype="int64"), "low": 0.5},
        ],
    ),
}


def rules_over(columns: Sequence[str]) -> list[Rule]:
    """Every test, on every column with its neighbours."""
    made = []
    for place, _ in enumerate(columns):
        turned = (*columns[place:], *columns[:place])
        for test, (more, tried) in TRIED.items():
            read = () if test in ("row_count", "column_count") else turned[: 1 + more]
            made += [
                Rule(f"{test} {number} on {turned[0]}", test, read, "warn", "", arguments)
                for number, arguments in enumerate(tried)
            ]
    return made


def ask_plainly(rule: Rule, table: pd.DataFrame) -> int | bool | None:
    """Rows that break the rule, or whether the table holds it; None where that cannot be told."""
    try:
        rule.witness(table)
        return int(rule.broken(table).sum()) if rule.is_about_rows else rule.holds(table)
    except Exception:
        return None


def ask_great_expectations(
    table: pd.DataFrame, asked: Sequence[Rule]
) -> dict[str, int | bool | None]:
    """The same from Great Expectations, by rule."""
    import great_expectations as gx

    witnesses = {rule.id: rule.witness(table) for rule in asked}
    nobody = pd.Series(False, index=table.index)
    batch = (
        gx.get_context(mode="ephemeral")
        .data_sources.add_pandas("tables")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": with_witnesses(table, witnesses, nobody)})
    )
    answers: dict[str, int | bool | None] = {}
    for result in batch.validate(build_suite("tables", asked), result_format="BASIC").results:
        rule = result.expectation_config.meta["rule"]
        if result.exception_info.get("raised_exception", True):
            answers[rule] = None
        else:
            answers[rule] = result.result.get("unexpected_count", bool(result.success))
            if rule.split()[0] in TABLE_TESTS:
                answers[rule] = bool(result.success)
    return answers


def test_every_test_has_both_faces_and_is_tried_here() -> None:
    assert set(EXPECTATIONS) == set(TESTS) == set(TRIED) == set(EXAMPLES)
    assert not set(ROW_TESTS) & set(TABLE_TESTS)
    assert set(WITNESSES) <= set(TESTS)


@pytest.mark.filterwarnings("ignore:This pattern is interpreted")
@pytest.mark.parametrize("rows", [0, 1, 2, 40])
@settings(
    deadline=None,
    max_examples=8,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_mask_and_expectation_give_one_answer_on_every_table(
    rows: int, data: st.DataObject
) -> None:
    table = data.draw(tables(rows))
    asked = rules_over(list(table.columns))
    with np.errstate(all="ignore"):
        plain = {rule.id: ask_plainly(rule, table) for rule in asked}
        computable = [rule for rule in asked if plain[rule.id] is not None]
        found = ask_great_expectations(table, computable)
    differing = [rule for rule in computable if plain[rule.id] != found[rule.id]]
    undecided = [rule for rule in differing if found[rule.id] is None or is_lenient(rule, table)]
    assert differing == undecided, [(r.id, plain[r.id], found[r.id]) for r in differing]
    assert_refused(table, [r for r in asked if r not in computable or r in undecided])


def is_lenient(rule: Rule, table: pd.DataFrame) -> bool:
    """Whether Great Expectations takes a column's values for its type, where we do not."""
    return rule.test == "has_type" and table[rule.columns[0]].dtype in ("object", "Float64")


def assert_refused(table: pd.DataFrame, undecided: Sequence[Rule]) -> None:
    """What one face cannot answer is not evaluated, and so refuses."""
    if undecided:
        verdict = check("any", table, undecided)
        assert verdict.answer == "refuse"
        assert [one.rule for one in verdict.asked if one.evaluated] == []


# ------------------------------------------------------------------- each rule can be broken
def rule(test: str, *columns: str, **arguments: Any) -> Rule:
    return Rule(test, test, columns, "warn", f"{test} holds", arguments)


A, B, C = ("a", "b", "c")
SOME = [0.25, 0.5, 2.0]
LAST_MONTH = pd.DataFrame({B: [1.0, 2.0, 3.0], C: [np.nan, 0.0, 4.0]})
HASHES = row_hashes(LAST_MONTH, (B, C)).to_list()

# A rule, a table that keeps it, one that breaks it, and how many rows do (None: no single ones).
EXAMPLES: dict[str, tuple[Rule, dict[str, list], dict[str, list], int | None]] = {
    "not_null": (rule("not_null", A), {A: SOME}, {A: [0.25, None, None]}, 2),
    "between": (rule("between", A, low=0.25, high=2), {A: SOME}, {A: [0.2, np.inf, 2.0]}, 2),
    "whole": (rule("whole", A), {A: [1.0, -2.0, None]}, {A: SOME}, 2),
    "unique": (rule("unique", A), {A: ["x", "y", None, None]}, {A: ["x", "y", "x"]}, 2),
    "matches": (
        rule("matches", A, pattern="C[0-9]|D"),
        {A: ["C1", "C2", "D", None]},
        {A: ["C1", "C1\n", "xC1", "C12", "C\u0661", ""]},
        5,
    ),
    "one_of": (rule("one_of", A, values=("x",)), {A: ["x", None]}, {A: ["x", "X", ""]}, 2),
    "readable": (
        rule("readable", A, column="b"),
        {A: ['{"c": "b"}', None]},
        {A: ['{"b": "?"}', None, '{"*": "?"}']},
        2,
    ),
    "sum": (
        rule("sum", A, B, C, tolerance=0.01),
        {A: [0.3, 5.0, None, 9.0], B: [0.1, 2.0, 1.0, 1.0], C: [0.2, 2.995, 1.0, None]},
        {A: [0.3, 5.0], B: [0.1, 2.0], C: [0.2, 2.98]},
        1,
    ),
    "together": (
        rule("together", A, B, C),
        {A: [1.0, 0.0, None, 1.0], B: [2.0, 0.0, 1.0, 0.0], C: [0.5, 0.0, 0.0, None]},
        {A: [1.0, 0.0], B: [2.0, 0.0], C: [0.0, 0.5]},
        2,
    ),
    "at_most": (
        rule("at_most", A, B, factor=2.0),
        {A: [2.0, 0.0, None, 9.0], B: [1.0, 0.0, 1.0, None]},
        {A: [2.1, 1.0], B: [1.0, 0.0]},
        2,
    ),
    "equals": (
        rule("equals", A, values=pd.Series(["x", "y"])),
        {A: ["x", "y"]},
        {A: ["y", "x"]},
        2,
    ),
    "between_where": (
        rule("between_where", A, B, low=0.5, high=1.0),
        {A: [0.0, 0.5], B: [False, True]},
        {A: [0.5, 0.0], B: [False, True]},
        1,
    ),
    "common": (rule("common", A, low=0.3), {A: [*"xxyyz", "z"]}, {A: [*"xxxz"]}, 1),
    "has_columns": (rule("has_columns", A, B), {A: [1.0], B: [1.0]}, {B: [1.0], A: [1.0]}, None),
    "column_count": (rule("column_count", low=2), {A: SOME, B: SOME}, {A: SOME}, None),
    "has_type": (rule("has_type", A, types=("float64",)), {A: SOME}, {A: [1, 2]}, None),
    "row_count": (rule("row_count", low=2, high=3), {A: SOME}, {A: [1.0]}, None),
    "distinct": (rule("distinct", A, low=2), {A: SOME}, {A: [1.0, 1.0, None]}, None),
    "null_share": (
        rule("null_share", A, high=0.5),
        {A: [1.0, None]},
        {A: [1.0, None, None]},
        None,
    ),
    "flagged": (
        rule("flagged", A, low=0.5, high=1.0),
        {A: [True, False]},
        {A: [True, False, False]},
        None,
    ),
    "mean": (rule("mean", A, low=0.0, high=1.0), {A: SOME}, {A: [0.5, 2.0]}, None),
    "deviation": (rule("deviation", A, low=0.5, high=1.5), {A: SOME}, {A: [1.0, 1.0]}, None),
    "total": (rule("total", A, low=2.75, high=2.75), {A: SOME}, {A: [2.0, 0.5]}, None),
    "psi": (
        rule("psi", A, edges=(1.0,), shares=(0.5, 0.5), high=0.25),
        {A: [0.0, 1.0, 2.0, 3.0, None]},
        {A: [0.0, 2.0, 3.0, 4.0, None]},  # .25 ln 2 + .25 ln 1.5 = .27
        None,
    ),
    "changed": (
        rule("changed", A, B, C, low=0.5, hashes=pd.Series(HASHES, index=["k", "l", "m"])),
        {A: ["k", "l", "new"], B: [1.0, 2.5, 2.0], C: [None, 0.0, 9.0]},
        {A: ["k", "m", "l"], B: [1.0, 3.0, 2.0], C: [None, 4.5, -0.0]},
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("test", list(EXAMPLES))
def test_each_rule_holds_on_one_table_and_breaks_on_another(test: str) -> None:
    asked, good, bad, broken = EXAMPLES[test]
    assert check("good", pd.DataFrame(good), [asked]).answer == "pass"
    verdict = check("bad", pd.DataFrame(bad), [asked])
    (failed,) = verdict.failed
    assert (verdict.answer, failed.evaluated, failed.broken_rows) == ("warn", True, broken)


@pytest.mark.parametrize("test", ["mean", "deviation", "total", "distinct", "null_share", "psi"])
def test_nothing_is_known_of_a_column_without_a_value(test: str) -> None:
    bins = {"edges": (), "shares": (1.0,), "high": 1.0}
    arguments = {"null_share": {"high": 0.9}, "psi": bins}.get(test, {"low": 1, "high": 5})
    asked = rule(test, A, **arguments)
    for values in ([], [None], [None, None]):
        table = pd.DataFrame({A: pd.Series(values, dtype=float)})
        assert check("empty", table, [asked]).answer == "warn"


@pytest.mark.parametrize("test", ["between", "whole", "unique", "matches", "one_of", "common"])
def test_a_gap_breaks_not_null_and_nothing_else(test: str) -> None:
    dtype = "str" if test in ("matches", "one_of") else float
    table = pd.DataFrame({A: pd.Series([None, None, None], dtype=dtype)})
    verdict = check("gaps", table, [EXAMPLES[test][0], rule("not_null", A)])
    assert [(one.rule, one.broken_rows) for one in verdict.failed] == [("not_null", 3)]


@pytest.mark.parametrize("share", [0.07, 0.29, 0.58, 0.94])
def test_a_share_of_gaps_may_be_as_large_as_is_said(share: float) -> None:
    asked = rule("null_share", A, high=share)
    gaps = round(share * 100)
    for count, answer in ((gaps, "pass"), (gaps + 1, "warn")):
        table = pd.DataFrame({A: [None] * count + [1.0] * (100 - count)}, dtype=float)
        assert check("gaps", table, [asked]).answer == answer


def test_a_mask_keeps_the_index_of_its_table() -> None:
    doubled = pd.DataFrame({UNREADABLE: ['{"a": "?"}', None, '{"b": "?"}']}, index=[7, 7, 3])
    broken = rules.Rule("r", "readable", (UNREADABLE,), "warn", "", {"column": "a"}).broken(doubled)
    assert broken.index.tolist() == [7, 7, 3]
    assert broken.tolist() == [True, False, False]


def test_a_category_and_a_flag_keep_their_type_through_parquet(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "plan": pd.Series(["a", None], dtype="str"),
            "card": pd.Series([True, None], dtype="boolean"),
        }
    )
    table.to_parquet(tmp_path / "raw.parquet", index=False)
    kept = pd.read_parquet(tmp_path / "raw.parquet")
    asked = [
        Rule("plan.type", "has_type", ("plan",), "refuse", "text", {"types": rules.TEXT}),
        Rule("card.type", "has_type", ("card",), "refuse", "y/n", {"types": rules.YES_OR_NO}),
        Rule("plan.one_of", "one_of", ("plan",), "refuse", "known", {"values": ("a",)}),
    ]
    assert check("raw", kept, asked).answer == "pass"


# ------------------------------------------------------------------------- the rules of a stage
SHOP = b"""
name: shop
id: {column: client}
columns:
  spent: {kind: money, max_null_share: 0.2}
  visits: {kind: count, max_null_share: 0.5}
  share: {kind: share, warn_high: 0.5}
  region: {kind: category, values: [north, south]}
  member: {kind: flag, max_null_share: 0.1}
  no_mail: {kind: flag, use: objection}
rules:
  - {name: visits_cost, test: together, columns: [spent, visits], severity: set_aside}
""".replace(b"  share:", b"  repeat_share:")


@pytest.fixture(scope="module")
def shop() -> Contract:
    return parse_contract(SHOP, "shop")


def bins_for(contract: Contract) -> dict[str, Any]:
    bins = {"edges": [0.5], "shares": [0.5, 0.5]}
    return {"columns": dict.fromkeys(contract.numeric, bins)}


def stages_of(contract: Contract) -> dict[str, Iterable[Rule]]:
    ids, name = pd.Series(["x", "y"]), contract.id.column
    return {
        "raw": rules.raw_rules(contract, Limits(), 600),
        "clean": rules.clean_rules(contract, 600),
        "scaled": rules.scaled_rules(ids, name, contract.features),
        "selection": rules.selection_rules(0.05, 0.9, 0.9, 0),
        "embedding": rules.embedding_rules(ids, name, ("z1", "z2")),
        "segments": rules.segments_rules(ids, name, ("S01", "S02"), 0.05, False),
        "publication": rules.publication_rules(("S01", "S02"), 600),
        "raw, against last month": [
            *rules.drift_rules(contract, Limits(), bins_for(contract)),
            *rules.unchanged_rules(contract, Limits(), pd.Series(HASHES, index=[*"klm"])),
        ],
    }


def test_ids_are_unique_within_a_stage(ccdata: Contract, shop: Contract) -> None:
    for contract in (ccdata, shop):
        for stage, asked in stages_of(contract).items():
            ids = [one.id for one in asked]
            assert len(ids) == len(set(ids)), stage


def test_every_rule_asks_a_known_test_and_says_what_must_hold(
    ccdata: Contract, shop: Contract
) -> None:
    for contract in (ccdata, shop):
        for asked in stages_of(contract).values():
            for one in asked:
                assert one.test in TESTS
                assert one.says.strip()


def test_every_kept_column_must_be_readable_typed_and_there(
    ccdata: Contract, shop: Contract
) -> None:
    for contract in (ccdata, shop):
        asked = {one.id: one for one in rules.raw_rules(contract, Limits())}
        for name, column in {contract.id.column: None, **contract.kept}.items():
            assert (asked[f"{name}.type"].test, asked[f"{name}.type"].severity) == (
                "has_type", "refuse",
            )  # fmt: skip
            assert asked[f"{name}.readable"].severity == "set_aside"
            if column is not None and column.max_null_share:
                assert asked[f"{name}.null_share"].arguments == {"high": column.max_null_share}
                assert f"{name}.not_null" not in asked
            else:
                assert asked[f"{name}.not_null"].severity == "set_aside"
            if column is not None and column.is_numeric:
                assert asked[f"{name}.between"].severity == "set_aside"


def test_an_objection_column_is_in_no_rule(shop: Contract) -> None:
    for asked in stages_of(shop).values():
        assert not [one.id for one in asked if "no_mail" in one.columns]


def test_scoring_asks_the_row_rules_of_the_raw_gate(ccdata: Contract) -> None:
    raw = {one.id: one for one in rules.raw_rules(ccdata, Limits())}
    for one in rules.row_rules(ccdata):
        assert raw[one.id] == one
    aside = {one.id for one in raw.values() if one.severity == "set_aside"}
    assert aside <= {one.id for one in rules.row_rules(ccdata)}


def test_a_filled_gap_is_asked_for_its_bounds_only(shop: Contract) -> None:
    asked = {one.id: one for one in rules.clean_rules(shop, 600)}
    assert {"visits.between", "visits.not_null", "visits.type", "spent.between"} <= set(asked)
    assert not {"visits.whole", "visits_cost"} & set(asked)  # a median is no observation
    assert {one.severity for one in asked.values()} == {"refuse"}
    assert "member.not_null" not in asked  # a flag's gap is not filled


def test_clean_asks_what_could_be_broken_where_nothing_is_filled(ccdata: Contract) -> None:
    asked = {one.id for one in rules.clean_rules(ccdata, 600)}
    assert {"PURCHASES_TRX.whole", "cash_advance_together", "CUST_ID.unique"} <= asked
    assert "purchases_add_up" not in asked


# ------------------------------------------------------------------------- against last month
def test_a_column_may_shift_by_just_as_much_as_is_said() -> None:
    then, now = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)
    index = population_stability(then, now)
    assert index == pytest.approx(2 * 0.3 * np.log(2.5))
    table = pd.DataFrame({A: [0.0] * 2 + [1.0] * 3 + [2.0] * 5 + [np.nan] * 4})
    for high, answer in ((index + 1e-9, "pass"), (index - 1e-9, "warn")):
        asked = rule("psi", A, edges=(0.0, 1.0), shares=then, high=high)
        assert check("raw", table, [asked]).answer == answer


def test_a_new_value_beyond_all_bins_counts_as_a_shift_and_stays_finite() -> None:
    index = population_stability((1.0, 0.0), (0.9, 0.1))
    assert index == pytest.approx(0.1 * np.log(0.1 / 1e-4) - 0.1 * np.log(0.9))
    assert population_stability((1.0, 0.0), (1.0, 0.0)) == 0
    assert population_stability((1.0, 0.0), (0.0, 1.0)) == pytest.approx(2 * np.log(1e4))


def test_drift_warns_then_asks_of_the_columns_that_both_months_have(shop: Contract) -> None:
    reference = {"columns": {"spent": {"edges": [10.0], "shares": [0.5, 0.5]}, "gone": {}}}
    asked = rules.drift_rules(shop, Limits(), reference)
    assert [(one.id, one.columns, one.severity) for one in asked] == [
        ("spent.psi_warn", ("spent",), "warn"), ("spent.psi_ask", ("spent",), "ask"),
    ]  # fmt: skip
    for above, answer in ((5, "pass"), (7, "warn"), (8, "ask")):  # PSI 0, .17 and .42
        table = pd.DataFrame({"spent": [0.0] * (10 - above) + [20.0] * above})
        verdict = check("raw", table, asked)
        assert verdict.answer == answer
    assert "unit" in verdict.failed[-1].remedy
    assert verdict.failed[-1].observed == f"{0.3 * np.log(4):.6g}"


def customers(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.gamma(2, 50, (rows, 2)).round(2), columns=[B, C])
    return table.assign(**{A: [f"K{row:04d}" for row in range(rows)]})


def test_a_month_in_which_hardly_anybody_changed_is_marked() -> None:
    then = customers(200)
    hashes = row_hashes(then, (B, C)).set_axis(then[A])
    asked = rule("changed", A, B, C, hashes=hashes, low=0.05)
    for changed, answer in ((9, "warn"), (10, "pass")):
        now = then.assign(**{C: then[C] + (np.arange(200) < changed)}).sample(frac=1)
        joined = pd.DataFrame({A: ["new1", "new2"], B: [1.0, 2.0], C: [1.0, 2.0]})
        assert check("raw", pd.concat([now, joined]), [asked]).answer == answer


def test_where_nobody_is_known_nobody_can_be_unchanged() -> None:
    now = customers(5)
    for known in ([], ["other"]):
        hashes = pd.Series([7] * len(known), index=known, dtype="int64")
        assert (
            check("raw", now, [rule("changed", A, B, C, hashes=hashes, low=1.0)]).answer == "pass"
        )


def test_hashes_that_differ_in_their_last_digit_differ() -> None:
    """As floats, which hold 53 bits, these two would be one."""
    now = customers(1)
    hash_ = int(row_hashes(now, (B, C)).iloc[0])
    near = pd.Series([hash_ ^ 1], index=now[A])
    assert check("raw", now, [rule("changed", A, B, C, hashes=near, low=1.0)]).answer == "pass"
    same = pd.Series([hash_], index=now[A])
    assert check("raw", now, [rule("changed", A, B, C, hashes=same, low=1.0)]).answer == "warn"


def test_a_row_hash_rests_on_numbers_and_their_order_alone() -> None:
    table = pd.DataFrame({B: [0.0, 1.5, np.nan], C: [2.0, np.nan, -3.0]}, index=[5, 5, 2])
    # what stands in the stores: other hashes would call every customer changed
    stored = [2132695140716214126, -4381762222574905808, 1559713907029802422]
    assert row_hashes(table, (B, C)).tolist() == stored
    odd = np.array([-0.0, 1.5, np.nan])
    odd[2:].view("uint64")[:] |= np.uint64(7)  # another NaN
    other = pd.DataFrame({"x": odd, "y": pd.array([2, None, -3], dtype="Int64")})
    assert row_hashes(other, ("x", "y")).tolist() == stored
    assert row_hashes(table, (C, B)).tolist() != stored
    assert row_hashes(table, (B, C)).index.tolist() == [5, 5, 2]


# ------------------------------------------------------------------------- the reference table
def test_the_reference_table_breaks_what_is_known_and_nothing_else(
    reference_csv: Path, ccdata: Contract
) -> None:
    raw = read_customers(fetch(str(reference_csv)), ccdata, SourceOptions()).table
    asked = rules.raw_rules(ccdata, Limits())
    verdict = check("raw", raw, asked)
    assert {one.rule: one.broken_rows for one in verdict.failed} == {
        "CASH_ADVANCE_FREQUENCY.high": 8,
        "purchases_add_up": 19,
        "purchases_counted": 6,
        "purchases_frequent": 1,
        "balance_within_limit": 227,
    }
    assert verdict.answer == "warn"
    assert verdict.evaluated == len(asked)
    assert verdict.refused.empty


def test_the_masks_alone_find_the_same_rows(reference_csv: Path, ccdata: Contract) -> None:
    raw = read_customers(fetch(str(reference_csv)), ccdata, SourceOptions()).table
    counts = {one.id: int(one.broken(raw).sum()) for one in rules.row_rules(ccdata)}
    assert {name: count for name, count in counts.items() if count} == {
        "CASH_ADVANCE_FREQUENCY.high": 8,
        "purchases_add_up": 19,
        "purchases_counted": 6,
        "purchases_frequent": 1,
        "balance_within_limit": 227,
    }
    assert raw.columns[-2:].tolist() == [ROW, UNREADABLE]
    assert REFUSED not in raw
