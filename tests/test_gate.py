"""The gate's four answers, what it refuses to believe, and that it names no customer."""

import gc
import json
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from expectations import rules
from expectations.contract import Contract
from expectations.gate import REASONS, Asked, Verdict, check
from expectations.rules import REFUSED, ROW, ROW_TESTS, TABLE_TESTS, UNREADABLE, Limits, Rule
from expectations.verdict import MOST_SENTENCES
from tasks.ingestion import SourceOptions, fetched_table, read_customers

Change = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def raw(month_of_600: pd.DataFrame, ccdata: Contract) -> pd.DataFrame:
    return read_customers(fetched_table(month_of_600, "sample"), ccdata, SourceOptions()).table


@pytest.fixture(scope="module")
def asked(ccdata: Contract) -> tuple[Rule, ...]:
    return rules.raw_rules(ccdata, Limits())


@pytest.fixture
def refusal(raw: pd.DataFrame, asked: tuple[Rule, ...]) -> Callable[..., Verdict]:
    """The raw gate's verdict on the month with one change; it must refuse."""

    def ask(change: Change, *more: Any) -> Verdict:
        verdict = check("raw", change(raw.copy(), *more), asked)
        assert verdict.answer == "refuse"
        return verdict

    return ask


def with_values(table: pd.DataFrame, column: str, value: Any, rows: int = 1) -> pd.DataFrame:
    """The table with a value in the first so many rows of a column."""
    values = table[column].to_numpy(object, copy=True)
    values[:rows] = value
    dtype = None if isinstance(value, str) and table[column].dtype == float else table[column].dtype
    return table.assign(**{column: pd.Series(values, index=table.index, dtype=dtype)})


def outcome(verdict: Verdict, rule: str) -> Asked:
    (one,) = [one for one in verdict.asked if one.rule == rule]
    return one


def broken(verdict: Verdict) -> dict[str, int | None]:
    """Rules that did not hold, without those that merely warn."""
    return {one.rule: one.broken_rows for one in verdict.failed if one.severity != "warn"}


# ------------------------------------------------------------------------------ the four answers
SMALL = pd.DataFrame({"a": [0.0, 1.0, 2.0]})


def small_rule(severity: str, high: float, id_: str = "a.between") -> Rule:
    arguments = {"low": 0.0, "high": high}
    return Rule(id_, "between", ("a",), severity, "a is small", arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("severity", ["set_aside", "warn", "ask", "refuse"])
def test_what_holds_passes(severity: str) -> None:
    verdict = check("s", SMALL, [small_rule(severity, 2)])
    assert (verdict.answer, verdict.failed, verdict.evaluated) == ("pass", (), 1)
    assert verdict.message() == ""


@pytest.mark.parametrize(
    ("severity", "answer"),
    [("set_aside", "warn"), ("warn", "warn"), ("ask", "ask"), ("refuse", "refuse")],
)
def test_what_does_not_hold_has_the_consequence_of_its_severity(severity: str, answer: str) -> None:
    assert check("s", SMALL, [small_rule(severity, 1)]).answer == answer


def test_the_gravest_consequence_decides() -> None:
    severities = ["warn", "ask", "refuse"]
    for count, answer in enumerate(severities, 1):
        many = [small_rule(one, 1, one) for one in severities[:count]]
        assert check("s", SMALL, many[::-1]).answer == answer


@pytest.mark.parametrize(
    ("severity", "rows"), [("set_aside", 1), ("warn", 0), ("ask", 0), ("refuse", 1)]
)
def test_rows_that_must_not_go_on_are_kept_as_evidence(severity: str, rows: int) -> None:
    refused = check("s", SMALL, [small_rule(severity, 1)]).refused
    assert refused["a"].tolist() == [2.0] * rows
    assert refused[REASONS].tolist() == ["a.between"] * rows


# -------------------------------------------------------------------- what it refuses to believe
def test_no_rules_refuse() -> None:
    verdict = check("s", SMALL, [])
    assert (verdict.answer, verdict.evaluated) == ("refuse", 0)
    assert "no rule was evaluated" in verdict.message()


def test_rules_of_which_none_could_be_evaluated_refuse() -> None:
    verdict = check("s", SMALL.rename(columns={"a": "b"}), [small_rule("warn", 1)])
    assert (verdict.answer, verdict.evaluated) == ("refuse", 0)


def test_a_rule_on_a_missing_column_refuses_whatever_its_severity() -> None:
    lost = Rule("b.between", "between", ("b",), "warn", "b is small", {"low": 0.0, "high": 1.0})
    verdict = check("s", SMALL, [small_rule("refuse", 2), lost])
    assert verdict.answer == "refuse"
    assert verdict.message().startswith("s: cannot tell whether b is small (b is missing).")


def test_a_rule_on_a_doubled_column_refuses() -> None:
    doubled = pd.concat([SMALL, SMALL + 5], axis=1)
    verdict = check("s", doubled, [small_rule("warn", 2)])
    assert verdict.answer == "refuse"
    assert "a is there 2 times" in verdict.message()


@pytest.mark.parametrize("column", ["CUST_ID", "BALANCE", ROW, UNREADABLE])
def test_doubled_columns_refuse_at_raw(column: str, refusal: Callable[..., Verdict]) -> None:
    verdict = refusal(lambda table: pd.concat([table, table[[column]]], axis=1))
    assert f"{column} is there 2 times" in verdict.message()


@pytest.mark.parametrize("column", ["CUST_ID", "BALANCE", ROW, UNREADABLE])
def test_missing_columns_refuse_at_raw(column: str, refusal: Callable[..., Verdict]) -> None:
    verdict = refusal(lambda table: table.drop(columns=column))
    assert f"{column} is missing" in verdict.message()


def test_columns_in_another_order_or_unasked_for_refuse(refusal: Callable[..., Verdict]) -> None:
    verdict = refusal(lambda table: table[table.columns[::-1]])
    assert "once each (found: another order)" in verdict.message()
    verdict = refusal(lambda table: table.assign(extra=1.0))
    assert "(found: 1 that nobody asked for)" in verdict.message()


def test_a_wrong_type_decides_first(refusal: Callable[..., Verdict]) -> None:
    verdict = refusal(lambda table: table.assign(BALANCE=table["BALANCE"].astype(str)))
    assert outcome(verdict, "BALANCE.type").evaluated
    assert outcome(verdict, "BALANCE.type").observed == "str"
    assert not outcome(verdict, "BALANCE.between").evaluated
    assert outcome(verdict, "BALANCE.between").observed == "BALANCE has the wrong type"
    assert not outcome(verdict, "balance_within_limit").evaluated
    assert "it does not hold that BALANCE is a number (found: str)" in verdict.message()


def test_a_wrong_type_decides_on_an_empty_table_too(refusal: Callable[..., Verdict]) -> None:
    verdict = refusal(lambda table: table.head(0).assign(BALANCE=pd.Series([], dtype="str")))
    assert not outcome(verdict, "BALANCE.between").evaluated


def test_an_exception_inside_a_result_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    # text in a numeric rule, with no type rule in front: Great Expectations raises
    monkeypatch.setitem(ROW_TESTS, "between", lambda t, *_, **__: pd.Series(False, index=t.index))
    table = pd.DataFrame({"a": ["C10001", "C10002"]})
    verdict = check("s", table, [small_rule("warn", 1), Rule("n", "not_null", ("a",), "warn", "")])
    assert verdict.answer == "refuse"
    assert outcome(verdict, "n").evaluated
    assert outcome(verdict, "a.between").observed == "it could not be computed"


def test_an_exception_in_a_mask_refuses() -> None:
    table = pd.DataFrame({UNREADABLE: ["no JSON"]})
    unread = Rule("a.readable", "readable", (UNREADABLE,), "set_aside", "", {"column": "a"})
    assert check("s", table, [unread]).answer == "refuse"


@pytest.mark.parametrize("severity", ["set_aside", "warn", "ask"])
def test_a_mask_that_counts_otherwise_than_its_expectation_refuses(
    severity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_too_many = pd.Series([True, False, True])
    monkeypatch.setitem(ROW_TESTS, "between", lambda *_, **__: one_too_many)
    verdict = check("s", SMALL, [small_rule(severity, 1)])
    assert verdict.answer == "refuse"
    assert "asked in two ways, the answers are 2 and 1" in verdict.message()


def test_a_table_rule_that_answers_otherwise_than_its_expectation_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TABLE_TESTS, "row_count", lambda *_, **__: True)
    count = Rule("rows", "row_count", (), "warn", "there are 9 rows", {"low": 9, "high": 9})
    verdict = check("s", SMALL, [count])
    assert verdict.answer == "refuse"
    assert "the answers are True and False" in verdict.message()


def test_text_in_an_object_column_is_no_text_column() -> None:
    table = pd.DataFrame({"a": pd.Series(["x", "y"], dtype=object)})
    is_text = Rule("a.type", "has_type", ("a",), "warn", "a is text", {"types": rules.TEXT})
    assert check("s", table, [is_text]).answer == "refuse"


def test_an_index_with_doubles_changes_nothing(raw: pd.DataFrame, asked: tuple[Rule, ...]) -> None:
    table = with_values(raw, "BALANCE", -1.0, rows=3).set_axis([7] * len(raw))
    verdict = check("raw", table, asked)
    assert broken(verdict) == {"BALANCE.between": 3}
    assert verdict.refused[ROW].tolist() == raw[ROW].head(3).tolist()


# ------------------------------------------------------------------------- what never slips through
def test_an_empty_table_refuses(
    raw: pd.DataFrame, ccdata: Contract, refusal: Callable[..., Verdict]
) -> None:
    verdict = refusal(lambda table: table.head(0))
    assert "there are between 100 and 50,000,000 rows (found: 0)" in verdict.message()
    nobody = raw["CUST_ID"].head(0)
    empty = raw.head(0).drop(columns=UNREADABLE)
    for stage, table, stage_rules in (
        ("clean", empty, rules.clean_rules(ccdata, 0)),
        ("scaled", empty[["CUST_ID"]], rules.scaled_rules(nobody, "CUST_ID", ())),
        ("embedding", empty[["CUST_ID"]], rules.embedding_rules(nobody, "CUST_ID", ())),
    ):
        assert "there are customers (found: 0)" in check(stage, table, stage_rules).message()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, 1e300])
def test_no_impossible_number_stays_in(
    value: float, raw: pd.DataFrame, asked: tuple[Rule, ...]
) -> None:
    verdict = check("raw", with_values(raw, "BALANCE", value), asked)
    rule = "BALANCE.not_null" if np.isnan(value) else "BALANCE.between"
    assert broken(verdict) == {rule: 1}
    assert verdict.refused[ROW].tolist() == [raw[ROW].iloc[0]]


@pytest.mark.parametrize("value", ["NULL", "nan", "", "12"])
def test_no_text_stands_for_a_number(value: str, refusal: Callable[..., Verdict]) -> None:
    assert "BALANCE.type" in broken(refusal(with_values, "BALANCE", value))


@pytest.mark.parametrize("dtype", ["bool", "boolean", "int64", "Float64", "float32", "category"])
def test_only_float64_is_a_number(dtype: str, refusal: Callable[..., Verdict]) -> None:
    def retyped(table: pd.DataFrame) -> pd.DataFrame:
        flags = (table["PRC_FULL_PAYMENT"] > 0.5).astype(float)
        return table.assign(PRC_FULL_PAYMENT=flags.astype(bool).astype(dtype))

    assert "PRC_FULL_PAYMENT.type" in broken(refusal(retyped))


@pytest.mark.parametrize("value", ["NULL", "", "c10001", "C1000", "C10001\n", "C1000\u0661", None])
def test_no_malformed_id_stays_in(
    value: str | None, raw: pd.DataFrame, asked: tuple[Rule, ...]
) -> None:
    verdict = check("raw", with_values(raw, "CUST_ID", value), asked)
    assert broken(verdict) == {"CUST_ID.not_null" if value is None else "CUST_ID.matches": 1}


def test_all_rows_of_a_doubled_id_are_set_aside(raw: pd.DataFrame, asked: tuple[Rule, ...]) -> None:
    verdict = check("raw", with_values(raw, "CUST_ID", raw["CUST_ID"].iloc[-1], rows=2), asked)
    assert broken(verdict) == {"CUST_ID.unique": 3}
    assert len(verdict.refused) == 3


def test_a_column_without_any_value_refuses(refusal: Callable[..., Verdict]) -> None:
    verdict = refusal(with_values, "CREDIT_LIMIT", np.nan, 600)
    assert {"CREDIT_LIMIT.null_share", "CREDIT_LIMIT.varies"} <= set(broken(verdict))
    verdict = refusal(with_values, "CUST_ID", None, 600)
    assert broken(verdict)["CUST_ID.not_null"] == 600
    assert outcome(verdict, "CUST_ID.matches").held  # a gap has one reason


def test_a_constant_column_refuses(refusal: Callable[..., Verdict]) -> None:
    verdict = refusal(with_values, "TENURE", 12.0, 600)
    assert broken(verdict) == {"TENURE.varies": None}
    assert "say use: describe for TENURE" in verdict.message()


def test_a_candidate_without_a_smallest_share_is_not_chosen() -> None:
    candidates = pd.DataFrame(
        {"k": [3, 4], "silhouette": [0.2, 0.3], "inertia": [9.0, 8.0], "eta_squared": 0.5},
    ).assign(smallest_share=[0.2, np.nan], chosen=[False, True], survival=1.0, bootstrap_ari=1.0)
    verdict = check("selection", candidates, rules.selection_rules(0.05, 0.9, 0.9, 0))
    assert broken(verdict) == {"smallest_share.not_null": 1}


def test_a_profile_without_a_segment_or_with_the_name_of_another_refuses() -> None:
    profiles = pd.DataFrame(
        {"segment": ["S01", None], "name": ["Spenders", "Others"], "size": [6, 4],
         "share": [0.6, 0.4], "value_share": np.nan}
    )  # fmt: skip
    asked = rules.publication_rules(("S01", "S02"), 10)
    assert broken(check("publication", profiles, asked)) == {"segment.not_null": 1}
    one_name = profiles.assign(segment=["S01", "S02"], name="Spenders")
    assert broken(check("publication", one_name, asked)) == {"name.unique": 2}


def test_thirty_customers_scaled_well_pass_their_gate() -> None:
    # scikit-learn divides by n, the gate by n - 1: with few rows the two differ by a percent
    ids = pd.Series([f"C{number:05d}" for number in range(30)], dtype="str")
    values = np.random.default_rng(0).normal(size=(30, 3))
    table = pd.DataFrame((values - values.mean(axis=0)) / values.std(axis=0), columns=[*"xyz"])
    table.insert(0, "id", ids)
    assert check("scaled", table, rules.scaled_rules(ids, "id", (*"xyz",))).answer == "pass"


def test_fewer_than_three_features_are_no_stable_segmentation() -> None:
    ids = pd.Series([f"C{number:05d}" for number in range(30)], dtype="str")
    values = np.tile([1.0, -1.0], 15)
    table = pd.DataFrame({"id": ids, "x": values, "y": values})
    told = "Left out: z (noise: the others explain 0.1% of it)."
    verdict = check("scaled", table, rules.scaled_rules(ids, "id", ("x", "y"), told))
    assert broken(verdict) == {"features": None}
    assert "No stable segmentation. Left out: z" in verdict.message()
    only_ids = check("scaled", table[["id"]], rules.scaled_rules(ids, "id", (), told))
    assert broken(only_ids) == {"features": None}


def test_no_stable_candidate_refuses_with_the_reason_of_each() -> None:
    candidates = pd.DataFrame(
        {"k": [3, 4], "silhouette": 0.2, "inertia": 9.0, "eta_squared": 0.5, "survival": 0.4},
    ).assign(smallest_share=0.2, bootstrap_ari=0.5, chosen=False)
    why = "no stable segmentation: 3 fails: its weakest segment was found again in 2 of 7"
    verdict = check("selection", candidates, rules.selection_rules(0.05, 0.9, 0.9, 0, why))
    assert broken(verdict) == {"chosen.once": None}
    assert "No stable segmentation: 3 fails: its weakest" in verdict.message()
    assert "--segments N" in verdict.message()


@pytest.mark.parametrize(("pinned", "answer"), [(0, "refuse"), (4, "warn")])
@pytest.mark.parametrize("name", ["smallest_share", "survival", "bootstrap_ari"])
def test_a_chosen_candidate_below_a_threshold_refuses_unless_it_was_asked_for(
    name: str, pinned: int, answer: str
) -> None:
    candidates = pd.DataFrame(
        {"k": [3, 4], "silhouette": 0.2, "inertia": 9.0, "eta_squared": 0.5, "survival": 1.0},
    ).assign(smallest_share=0.2, bootstrap_ari=1.0, chosen=[False, True])
    for row, expected in ((0, "pass"), (1, answer)):
        candidates_below = candidates.assign(**{name: np.where(candidates.index == row, 0.01, 1)})
        rules_asked = rules.selection_rules(0.05, 0.9, 0.9, pinned)
        assert check("selection", candidates_below, rules_asked).answer == expected


# ---------------------------------------------------------------------------------------- at bounds
@pytest.mark.parametrize(
    ("rows", "answer"), [(2, "refuse"), (3, "pass"), (5, "pass"), (6, "refuse")]
)
def test_a_row_count_may_lie_on_its_bounds(rows: int, answer: str) -> None:
    count = Rule("rows", "row_count", (), "refuse", "", {"low": 3, "high": 5})
    assert check("s", pd.DataFrame({"a": range(rows)}), [count]).answer == answer


@pytest.mark.parametrize(("gaps", "refuses"), [(0, False), (6, False), (7, True)])
def test_a_share_of_gaps_may_lie_on_its_bound(
    gaps: int, refuses: bool, raw: pd.DataFrame, asked: tuple[Rule, ...]
) -> None:
    table = with_values(with_values(raw, "CREDIT_LIMIT", 5000.0, 600), "CREDIT_LIMIT", 50.0, 9)
    verdict = check("raw", with_values(table, "CREDIT_LIMIT", np.nan, gaps), asked)
    assert ("CREDIT_LIMIT.null_share" in broken(verdict)) is refuses
    assert (verdict.answer == "refuse") is refuses


@pytest.mark.parametrize(
    ("rows", "share", "answer"),
    [(5, 0.01, "warn"), (6, 0.01, "warn"), (7, 0.01, "refuse"), (1, 0, "refuse"), (300, 1, "warn")],
)
def test_rows_are_set_aside_while_they_are_few(
    rows: int, share: float, answer: str, raw: pd.DataFrame, ccdata: Contract
) -> None:
    stage_rules = rules.raw_rules(ccdata, Limits(max_quarantine_share=share))
    verdict = check("raw", with_values(raw, "PAYMENTS", -1.0, rows), stage_rules)
    assert verdict.answer == answer
    assert len(verdict.refused) == rows


@pytest.mark.parametrize(
    ("last", "failed"),
    [
        (600, []),
        (857, []),  # 600 is 70.0 % of it
        (858, ["rows.change"]),
        (462, []),  # 600 is 129.9 % of it
        (461, ["rows.change"]),
        (1800, ["rows.change"]),
        (1801, ["rows.change", "rows.factor"]),
        (200, ["rows.change"]),
        (199, ["rows.change", "rows.factor"]),
    ],
)
def test_the_row_count_is_held_against_last_month(
    last: int, failed: list[str], raw: pd.DataFrame, ccdata: Contract
) -> None:
    only = [r for r in rules.raw_rules(ccdata, Limits(), last) if r.id.startswith("rows")]
    verdict = check("raw", raw, only)
    assert [one.rule for one in verdict.failed] == failed
    expected = {0: "pass", 1: "warn", 2: "refuse"}
    assert verdict.answer == expected[len(failed)]


def test_without_a_last_month_nothing_is_held_against_it(asked: tuple[Rule, ...]) -> None:
    assert not [one.id for one in asked if one.id.startswith("rows.")]


# ------------------------------------------------------------------------------ what it tells
def test_a_refused_row_has_every_reason(raw: pd.DataFrame, asked: tuple[Rule, ...]) -> None:
    table = with_values(with_values(raw, "BALANCE", -1.0), "TENURE", 7.5)
    table = with_values(table, UNREADABLE, json.dumps({"PAYMENTS": "x"}))
    table = with_values(table, "PAYMENTS", np.nan)
    refused = check("raw", table, asked).refused
    assert refused.columns.tolist() == [*raw.columns, REASONS]
    assert refused[REASONS].tolist() == [
        "BALANCE.between, PAYMENTS.readable, PAYMENTS.not_null, TENURE.whole"
    ]
    assert refused.drop(columns=REASONS).equals(table.head(1))


def test_a_row_that_only_warns_stays_in(raw: pd.DataFrame, asked: tuple[Rule, ...]) -> None:
    verdict = check("raw", with_values(raw, "CASH_ADVANCE_FREQUENCY", 1.5, 0), asked)
    assert verdict.refused.empty
    table = raw.assign(BALANCE=raw["CREDIT_LIMIT"].fillna(1.0) + 1)
    verdict = check("raw", table, asked)
    assert outcome(verdict, "balance_within_limit").broken_rows > 500
    assert (verdict.answer, len(verdict.refused)) == ("warn", 0)


def test_a_refusal_says_what_where_how_many_and_what_to_do(
    raw: pd.DataFrame, refusal: Callable[..., Verdict]
) -> None:
    verdict = refusal(with_values, "BALANCE", -1.0, 30)
    assert verdict.message() == (
        "raw: 30 of 600 rows break a rule, but at most 1.00% of the rows are set aside "
        "(30 of 600 rows break 'BALANCE lies in 0 to 1e+09' "
        f"(first: row {raw[ROW].iloc[0]})). "
        "Fix the extract, or raise the limit max_quarantine_share."
    )


def test_a_refusal_names_the_commonest_reasons(refusal: Callable[..., Verdict]) -> None:
    def spoilt(table: pd.DataFrame) -> pd.DataFrame:
        for rows, column in ((30, "BALANCE"), (40, "PAYMENTS"), (50, "PURCHASES"), (5, "TENURE")):
            table = with_values(table, column, -1.0, rows)
        return table

    message = refusal(spoilt).message()
    assert "50 of 600 rows break a rule" in message
    assert message.index("PURCHASES") < message.index("PAYMENTS") < message.index("BALANCE")
    assert "TENURE" not in message


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        (lambda t: t.head(99), "(found: 99)", "Send the whole month, or change rows in"),
        (
            lambda t: with_values(t, "MINIMUM_PAYMENTS", np.nan, 300),
            "at most 10.0% of MINIMUM_PAYMENTS are missing (found: 0.",
            "raise max_null_share of MINIMUM_PAYMENTS in the contract",
        ),
        (
            lambda t: t.assign(BALANCE=t["BALANCE"].astype("float32")),
            "BALANCE is a number (found: float32)",
            "report it",
        ),
    ],
)
def test_every_refusal_has_a_remedy(
    change: Change, says: str, remedy: str, refusal: Callable[..., Verdict]
) -> None:
    message = refusal(change).message()
    assert says in message
    assert remedy in message


def test_many_broken_rules_are_told_in_a_few_sentences(refusal: Callable[..., Verdict]) -> None:
    numbers = ["BALANCE", "PURCHASES", "PAYMENTS", "TENURE", "CASH_ADVANCE", "CREDIT_LIMIT"]
    verdict = refusal(lambda table: table.assign(**dict.fromkeys(numbers, 7.0)))
    assert verdict.message().count("raw: ") == MOST_SENTENCES
    assert "more rules do not hold.)" in verdict.message()
    assert len(verdict.message()) < 1500


def test_the_first_row_is_the_line_in_the_source(
    raw: pd.DataFrame, asked: tuple[Rule, ...]
) -> None:
    table = raw.assign(BALANCE=raw["BALANCE"].where(raw.index != 41, -1.0))
    assert outcome(check("raw", table, asked), "BALANCE.between").first_row == raw[ROW].iloc[41]
    assert outcome(check("s", SMALL, [small_rule("warn", 1)]), "a.between").first_row == 3


# ----------------------------------------------------------------------------- no customer in it
SECRET = "Erika Mustermann, 1987"
SECRET_NUMBER = 48151623.42


def spoilt_in_every_way(raw: pd.DataFrame) -> Sequence[pd.DataFrame]:
    """Tables that break as many rules as possible around a secret text and a secret number."""
    text = with_values(with_values(raw, "CUST_ID", SECRET, 9), "BALANCE", -SECRET_NUMBER, 9)
    return (
        text,
        text.assign(BALANCE=SECRET),  # a wrong type
        text.assign(**{UNREADABLE: SECRET}),  # a mask that raises, with the text in its exception
        text.assign(TENURE=pd.Series([SECRET, 5.0] * 300, dtype=object)),
        text.assign(CUST_ID=pd.Categorical(text["CUST_ID"], ordered=True)),
        with_values(text, "TENURE", SECRET_NUMBER, 600).rename(columns={"PAYMENTS": SECRET}),
    )


def test_a_verdict_names_no_customer(raw: pd.DataFrame, ccdata: Contract) -> None:
    stage_rules = rules.raw_rules(ccdata, Limits(), 5000)
    known = [SECRET, "Mustermann", "48151623", "4.81516e+07", *raw["CUST_ID"]]
    for table in spoilt_in_every_way(raw):
        verdict = check("raw", table, stage_rules)
        assert verdict.answer == "refuse"
        told = json.dumps(verdict.summary()) + verdict.message() + repr(verdict)
        assert [word for word in known if word in told] == []


def test_what_great_expectations_says_of_an_exception_stays_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TABLE_TESTS, "mean", lambda *_, **__: True)  # the mask does not stop it
    monkeypatch.setitem(TABLE_TESTS, "total", lambda *_, **__: True)
    table = pd.DataFrame({"a": pd.Series([SECRET, 1.0], dtype=object)})
    for test in ("mean", "total"):
        rule = Rule("r", test, ("a",), "warn", "a is small", {"low": 0.0, "high": 1.0})
        verdict = check("s", table, [rule])
        assert verdict.answer == "refuse"
        assert SECRET not in json.dumps(verdict.summary()) + verdict.message()


def test_a_summary_is_json_with_counts(raw: pd.DataFrame, asked: tuple[Rule, ...]) -> None:
    verdict = check("raw", with_values(raw, "BALANCE", -1.0), asked)
    summary = json.loads(json.dumps(verdict.summary(), allow_nan=False))
    assert {name: summary[name] for name in ("stage", "verdict", "rows", "evaluated")} == {
        "stage": "raw", "verdict": "warn", "rows": 600, "evaluated": len(asked),
    }  # fmt: skip
    (first, *_) = [one for one in summary["failed"] if one["severity"] == "set_aside"]
    assert (first["rule"], first["broken_rows"]) == ("BALANCE.between", 1)
    assert REFUSED not in verdict.refused


# --------------------------------------------------------------------------- how it behaves
def test_eight_gates_at_once_count_each_its_own_table(
    raw: pd.DataFrame, asked: tuple[Rule, ...]
) -> None:
    def count(rows: int) -> tuple[int | None, int]:
        verdict = check("raw", with_values(raw, "BALANCE", -1.0, rows), asked)
        return outcome(verdict, "BALANCE.between").broken_rows, len(verdict.refused)

    planted = [1, 2, 3, 4, 5, 6, 20, 300]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(count, planted)) == [(rows, rows) for rows in planted]


def test_a_huge_cell_is_refused_quickly(raw: pd.DataFrame, asked: tuple[Rule, ...]) -> None:
    check("raw", raw, asked)  # imports
    table = with_values(raw, "CUST_ID", "C" + "1" * 1_000_000)
    started = time.perf_counter()
    verdict = check("raw", table, asked)
    assert time.perf_counter() - started < 5
    assert broken(verdict) == {"CUST_ID.matches": 1}
    assert len(json.dumps(verdict.summary()) + verdict.message()) < 10_000


def test_a_table_is_not_changed(raw: pd.DataFrame, asked: tuple[Rule, ...]) -> None:
    table = with_values(raw, "BALANCE", -1.0)
    before = table.copy()
    check("raw", table, asked)
    pd.testing.assert_frame_equal(table, before)


def test_a_gate_leaves_nothing_behind_and_calls_nobody(
    raw: pd.DataFrame, asked: tuple[Rule, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    check("raw", raw, asked)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    check("raw", raw, asked)
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_a_gate_is_silent(
    raw: pd.DataFrame,
    asked: tuple[Rule, ...],
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    huge = {"PURCHASES": -1.7e308, "ONEOFF_PURCHASES": 1.7e308, "INSTALLMENTS_PURCHASES": 1.7e308}
    spoilt = raw.assign(**huge)
    grouped = Rule("id", "matches", ("CUST_ID",), "warn", "", {"pattern": "(C|D)[0-9]{5}"})
    assert check("raw", spoilt, [*asked, grouped]).answer == "refuse"
    assert capfd.readouterr() == ("", "")
    assert [str(one.message) for one in recwarn if one.category is not DeprecationWarning] == []
