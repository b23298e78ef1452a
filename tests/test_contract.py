"""A contract says what it must, and a wrong one is told by place and remedy."""

from pathlib import Path

import pytest

from expectations.contract import Contract, load_contract, parse_contract
from expectations.errors import InputError

SHOP = """\
name: shop
id: {column: client, pattern: "[0-9]+"}
value: spent
columns:
  spent: {kind: money, aliases: [Total spent]}
  visits: {kind: count}
  returns: {kind: share, warn_high: 0.5}
  region: {kind: category, values: [north, south]}
  member: {kind: flag}
  no_mail: {kind: flag, use: objection}
  legacy: {kind: money, use: ignore}
rules:
  - {name: visits_cost, test: together, columns: [spent, visits]}
personas:
  - {name: Rare, code: R1, when: {visits: {below: 2}}}
products:
  - {name: Goods, columns: [visits], totals: [spent]}
"""


def refusal(text: str) -> str:
    """What is said of a wrong contract."""
    with pytest.raises(InputError) as caught:
        parse_contract(text.encode(), "shop.yaml")
    return str(caught.value)


def with_column(definition: str) -> str:
    return SHOP.replace("{kind: count}", definition)


def with_rule(rule: str) -> str:
    return SHOP.replace("  - {name: visits_cost, test: together, columns: [spent, visits]}", rule)


def with_persona(persona: str) -> str:
    return SHOP.replace("  - {name: Rare, code: R1, when: {visits: {below: 2}}}", persona)


# ---------------------------------------------------------------------------- a right contract
def test_ccdata_says_what_is_known_of_the_reference_table(ccdata: Contract) -> None:
    assert (ccdata.id.column, ccdata.id.pattern) == ("CUST_ID", "C[0-9]{5}")
    assert len(ccdata.columns) == len(ccdata.numeric) == 17
    assert ccdata.value == "PURCHASES"
    of_kind = {
        kind: {name for name, column in ccdata.columns.items() if column.kind == kind}
        for kind in ("money", "count", "share", "months")
    }
    assert len(of_kind["money"]) == 8
    assert of_kind["count"] == {"CASH_ADVANCE_TRX", "PURCHASES_TRX"}
    assert len(of_kind["share"]) == 6
    assert of_kind["months"] == {"TENURE"}
    assert (ccdata.columns["TENURE"].low, ccdata.columns["TENURE"].high) == (6, 12)
    nullable = {name for name, column in ccdata.columns.items() if column.max_null_share}
    assert nullable == {"CREDIT_LIMIT", "MINIMUM_PAYMENTS"}
    assert "MINIMUM_PAYMENTS" not in ccdata.features
    assert ccdata.columns["CASH_ADVANCE_FREQUENCY"].warn_high == 1


def test_ccdata_rules_warn_where_the_reference_table_itself_breaks_them(ccdata: Contract) -> None:
    assert {rule.name: rule.severity for rule in ccdata.rules} == {
        "cash_advance_together": "set_aside",
        "purchases_add_up": "warn",
        "purchases_counted": "warn",
        "purchases_frequent": "warn",
        "balance_within_limit": "warn",
    }


def test_ccdata_offers_no_credit_where_customers_may_be_in_trouble(ccdata: Contract) -> None:
    assert len(ccdata.personas) == 7
    (care,) = [persona for persona in ccdata.personas if persona.care]
    assert care.code == "C1"
    assert "No credit offer" in care.actions.campaign
    assert [product.name for product in ccdata.products if product.care] == ["Cash advances"]


def test_what_is_not_said_follows_from_the_kind() -> None:
    columns = parse_contract(SHOP.encode(), "shop.yaml").columns
    assert (columns["spent"].low, columns["spent"].high) == (0, 1e9)
    assert columns["spent"].is_logged and not columns["returns"].is_logged
    assert columns["visits"].is_whole and not columns["spent"].is_whole
    assert (columns["returns"].high, columns["returns"].use) == (1, "segment")
    assert (columns["region"].low, columns["region"].use) == (None, "describe")


def test_an_objection_and_an_ignored_column_are_in_no_stage() -> None:
    contract = parse_contract(SHOP.encode(), "shop.yaml")
    assert set(contract.kept) == {"spent", "visits", "returns", "region", "member"}
    assert contract.objections == ("no_mail",)


def test_a_contract_survives_the_manifest(ccdata: Contract) -> None:
    kept = ccdata.model_dump(mode="json", exclude_unset=True)
    again = Contract.model_validate(kept)
    assert again == ccdata
    assert again.sha256 == ccdata.sha256


def test_another_bound_is_another_contract() -> None:
    hashes = {
        parse_contract(text.encode(), "shop.yaml").sha256
        for text in (SHOP, SHOP.replace("warn_high: 0.5", "warn_high: 0.6"))
    }
    assert len(hashes) == 2


# ---------------------------------------------------------------------------- one wrong column
@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ("{kind: mony}", "kind must be 'money', 'count'"),
        ("{kind: [count]}", "not a list"),
        ("{kind: null}", "not nothing"),
        ("{}", "kind is missing"),
        ("count", "must be a mapping such as {a: b}, not 'count'"),
        ("null", "must be a mapping"),
        ("{kind: count, meening: x}", "unknown field meening: did you mean meaning?"),
        ("{kind: count, zzz: x}", "unknown field zzz: known are kind, meaning"),
        ("{kind: count, use: segmnt}", "use must be 'segment'"),
        ("{kind: count, meaning: 5}", "meaning must be text, not 5: put it in quotes"),
        ("{kind: category, values: north}", "values must be a list"),
        ("{kind: category, values: [1]}", "put it in quotes"),
        ("{kind: count, values: [a]}", "values are for a category or text, and this is a count"),
        ("{kind: count, aliases: x}", "aliases must be a list"),
        ("{kind: category, use: segment}", "a category cannot segment customers"),
        ("{kind: count, use: objection}", "an objection is a flag, not a count"),
    ],
)
def test_a_wrong_column_is_named_with_what_is_allowed(definition: str, says: str) -> None:
    message = refusal(with_column(definition))
    assert message.startswith("contract shop.yaml is wrong: column visits: ")
    assert says in message


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ("{kind: count, low: 5, high: 5}", "low 5 must be below high 5"),
        ("{kind: count, low: 6, high: 5}", "low 6 must be below high 5"),
        ("{kind: count, low: null}", "low and high must be numbers"),
        ("{kind: share, warn_high: 1}", "warn_high 1 must lie between low 0 and high 1"),
        ("{kind: share, warn_high: 0}", "warn_high 0 must lie between"),
        ("{kind: category, high: 5}", "a category has no low or high"),
        ("{kind: flag, warn_high: 5}", "a flag has no low or high"),
        ("{kind: count, max_null_share: 1.2}", "max_null_share must be 1 or less, not 1.2"),
        ("{kind: count, max_null_share: -0.1}", "max_null_share must be 0 or more"),
    ],
)
def test_an_impossible_bound_is_refused(definition: str, says: str) -> None:
    message = refusal(with_column(definition))
    assert "column visits: " in message
    assert says in message


@pytest.mark.parametrize("bound", ["low", "high", "warn_high", "max_null_share"])
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "true", "'5'", "[1]", "5x"])
def test_only_a_finite_number_is_a_bound(bound: str, value: str) -> None:
    message = refusal(with_column(f"{{kind: share, {bound}: {value}}}"))
    assert f"column visits: {bound} must be a " in message
    assert "number, not" in message


def test_a_contract_without_a_feature_segments_nothing() -> None:
    text = "name: t\nid: {column: i}\ncolumns:\n  a: {kind: money, use: describe}\n"
    assert "no column has use: segment" in refusal(text)
    assert "columns needs 1 or more" in refusal("name: t\nid: {column: i}\ncolumns: {}\n")


# ---------------------------------------------------------------- rows, rules, personas, products
@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("{low: 10, high: 5}", "rows: impossible bound: low 10 must not be above high 5"),
        ("{low: 0}", "rows.low must be 1 or more, not 0"),
        ("{low: true}", "rows.low must be a whole number, not true"),
        ("{high: 1e3}", "rows.high must be a whole number, not 1000.0"),
        ("{high: .inf}", "rows.high must be a whole number"),
        ("5", "rows must be a mapping"),
    ],
)
def test_an_impossible_row_count_is_refused(rows: str, says: str) -> None:
    assert says in refusal(f"{SHOP}rows: {rows}\n")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{test: sums, total: spent, parts: [visits]}", "test must be one of 'sum', 'together'"),
        ("{total: spent, parts: [visits]}", "test is missing; it says what must hold: sum"),
        ("{test: sum, totl: spent, parts: [visits]}", "unknown field totl: did you mean total?"),
        ("{test: sum, parts: [visits]}", "total is missing"),
        ("{test: sum, total: spent, parts: []}", "parts needs 1 or more"),
        ("{test: together, columns: [spent]}", "columns needs 2 or more"),
        ("{test: together, columns: [spent, spent]}", "names a column twice"),
        ("{test: at_most, smaller: spent, larger: visits, factor: 0}", "factor must be above 0"),
        ("{test: at_most, smaller: spent, larger: visits, factor: .inf}", "finite number"),
        (
            "{test: sum, total: spent, parts: [visits], tolerance: -1}",
            "tolerance must be 0 or more",
        ),
        ("{test: sum, total: spent, parts: [visits], tolerance: true}", "must be a number"),
        ("{test: together, columns: [spent, visits], severity: refuse}", "severity must be"),
    ],
)
def test_a_wrong_rule_is_named(rule: str, says: str) -> None:
    message = refusal(with_rule("  - {name: r, " + rule.removeprefix("{")))
    assert "rule r" in message
    assert says in message
    assert "{" not in message  # no dump of the whole rule


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("spend", "spend, which is not among the columns: did you mean spent?"),
        ("region", "needs a number, but region is a category"),
        ("member", "needs a number, but member is a flag"),
        ("legacy", "legacy, whose use is ignore"),
    ],
)
@pytest.mark.parametrize(
    ("who", "old", "new"),
    [
        ("rule visits_cost", "columns: [spent, visits]", "columns: [visits, COLUMN]"),
        ("persona Rare", "{visits: {below: 2}}", "{COLUMN: {below: 2}}"),
        ("product Goods", "totals: [spent]", "totals: [COLUMN]"),
        ("product Goods", "columns: [visits]", "columns: [COLUMN]"),
        ("value", "value: spent", "value: COLUMN"),
    ],
)
def test_whoever_reads_a_column_needs_a_number_that_is_there(
    who: str, old: str, new: str, column: str, says: str
) -> None:
    message = refusal(SHOP.replace(old, new.replace("COLUMN", column)))
    assert f"{who} " in message
    assert says in message


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("{}", "a condition needs below, at_most, above or at_least"),
        ("{below: null}", "a condition needs"),
        ("{belo: 1}", "unknown field belo: did you mean below?"),
        ("{below: true}", "must be a number, not true"),
        ("{below: .nan}", "must be a finite number"),
        ("{below: 1, at_least: 1}", "no number fulfils this condition"),
        ("{at_most: 1, above: 1}", "no number fulfils this condition"),
        ("{at_most: 1, at_least: 2}", "no number fulfils this condition"),
    ],
)
def test_a_pattern_that_asks_nothing_or_the_impossible_is_refused(
    condition: str, says: str
) -> None:
    message = refusal(with_persona(f"  - {{name: P, code: p, when: {{visits: {condition}}}}}"))
    assert "persona P: " in message
    assert says in message


def test_a_pattern_may_ask_for_one_single_value() -> None:
    once = "  - {name: P, code: p, when: {visits: {at_least: 1, at_most: 1}}}"
    assert parse_contract(with_persona(once).encode(), "shop.yaml").personas[0].code == "p"


# ------------------------------------------------------------------------------------- doubled
@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"{SHOP}name: again\n", "name"),
        (SHOP.replace("  visits: {kind: count}", "  spent: {kind: count}"), "spent"),
        (with_column("{kind: count, low: 1, low: 2}"), "low"),
        (with_persona("  - {name: P, code: p, when: {visits: {below: 1, below: 2}}}"), "below"),
    ],
    ids=["at the top", "among the columns", "inside a column", "inside a condition"],
)
def test_a_doubled_key_is_found_anywhere(text: str, key: str) -> None:
    message = refusal(text)
    assert f'duplicate key "{key}", line ' in message
    assert "Keep one of the two" in message


@pytest.mark.parametrize(
    ("definition", "headers"),
    [
        ("{kind: count, aliases: [SPENT]}", "spent and SPENT"),
        ("{kind: count, aliases: [s.p-e n_t]}", "spent and s.p-e n_t"),
        ("{kind: count, aliases: [total_spent]}", "Total spent and total_spent"),
        ("{kind: count, aliases: [Client]}", "client and Client"),
        ("{kind: count, aliases: [Visits]}", "visits and Visits"),
        ("{kind: count}\n  Vis_its: {kind: count}", "visits and Vis_its"),
    ],
)
def test_two_spellings_of_one_header_are_refused(definition: str, headers: str) -> None:
    assert f"doubled header: {headers} are the same" in refusal(with_column(definition))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            with_rule(
                "  - {name: r, test: together, columns: [spent, visits]}\n"
                "  - {name: r, test: at_most, smaller: spent, larger: visits}"
            ),
            "doubled rule: r",
        ),
        (with_persona("  - {name: P, code: p}\n  - {name: P, code: q}"), "doubled persona: P"),
        (with_persona("  - {name: P, code: p}\n  - {name: Q, code: p}"), "persona's code: p"),
        (f"{SHOP}  - {{name: Goods, columns: [spent]}}\n", "doubled product: Goods"),
    ],
)
def test_no_two_parts_have_one_name(text: str, says: str) -> None:
    assert says in refusal(text)


# --------------------------------------------------------------------------------------- names
@pytest.mark.parametrize("name", ["_row", "_unreadable", "_refused", "_mine"])
def test_names_with_an_underscore_in_front_are_reserved(name: str) -> None:
    for text in (
        SHOP.replace("  visits:", f"  {name}:"),
        SHOP.replace("column: client", f"column: {name}"),
    ):
        assert f"names that start with an underscore are reserved: {name}" in refusal(text)


@pytest.mark.parametrize("name", ["segment", "size", "value_share", "champion_segment"])
def test_a_column_of_a_later_stage_keeps_its_name(name: str) -> None:
    message = refusal(SHOP.replace("  legacy:", f"  {name}:"))
    assert f"choose another name, and give {name} as an alias" in message


@pytest.mark.parametrize("name", ["rows", "columns", "few_refused", "customers"])
def test_a_rule_of_the_gate_keeps_its_name(name: str) -> None:
    rule = f"  - {{name: {name}, test: together, columns: [spent, visits]}}"
    assert f"the gate has a rule {name} of its own" in refusal(with_rule(rule))


def test_the_id_is_no_column() -> None:
    assert "client is the id" in refusal(SHOP.replace("  legacy:", "  client:"))


@pytest.mark.parametrize("name", ["''", "'-'", "'_'", "'. .'"])
def test_a_header_needs_something_to_be_found_by(name: str) -> None:
    message = refusal(SHOP.replace("aliases: [Total spent]", f"aliases: [{name}]"))
    assert "a header needs letters or digits" in message


@pytest.mark.parametrize("name", ["1", "true", "null", "2020-01-31"])
def test_a_name_that_yaml_reads_as_something_else_must_be_quoted(name: str) -> None:
    assert "put it in quotes" in refusal(SHOP.replace("  legacy:", f"  {name}:"))


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("'('", "is no regular expression"),
        ("'*'", "is no regular expression"),
        ("'(?i)c[0-9]+'", "is no regular expression"),  # flags must stand at the very start
        (r"'C\d{5}'", r"\d takes digits of every script: write [0-9]"),
        ("''", "id.pattern must not be empty"),
        ("5", "id.pattern must be text"),
    ],
)
def test_a_bad_id_pattern_is_refused(pattern: str, says: str) -> None:
    assert says in refusal(SHOP.replace('"[0-9]+"', pattern))


def test_unknown_fields_at_the_top_are_named() -> None:
    assert "unknown field persona: did you mean personas?" in refusal(f"{SHOP}persona: []\n")
    assert "name is missing" in refusal(SHOP.replace("name: shop", ""))
    assert "name 'a/b' is not allowed" in refusal(SHOP.replace("name: shop", "name: a/b"))


def test_many_problems_are_told_in_few_words() -> None:
    columns = "".join(f"  c{number}: {{kind: x}}\n" for number in range(20))
    message = refusal(f"name: t\nid: {{column: i}}\ncolumns:\n{columns}")
    assert "; and 15 more." in message
    assert len(message) < 1000


# ---------------------------------------------------------------------------------------- files
@pytest.mark.parametrize(
    "content",
    [b"name: [1", b"a: b: c", b"\x00\x01", bytes(range(256)), b"PAR1\x00\x00", b"[" * 5000,
     "name: caf\xe9".encode("latin-1"), b"name: a\n---\nname: b", b"* x", b"d: 2020-13-45"],
)  # fmt: skip
def test_what_is_not_yaml_is_refused_in_a_few_words(content: bytes) -> None:
    with pytest.raises(InputError, match=r"contract shop.yaml is not readable YAML") as caught:
        parse_contract(content, "shop.yaml")
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"- a\n", b"just text", b"5", b"null"])
def test_what_is_no_mapping_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match=r"holds no mapping: it starts with `name: ...`"):
        parse_contract(content, "shop.yaml")


def test_a_list_that_contains_itself_is_refused() -> None:
    assert "unknown field loop" in refusal(f"{SHOP}loop: &a [*a]\n")


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system [touch {}]", "!!python/object/new:os.system [touch {}]",
     "!!python/name:os.system", "!!python/object/apply:pathlib.Path.touch [{}]"],
)  # fmt: skip
def test_a_contract_runs_nothing(tag: str, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    message = refusal(with_column(tag.format(touched)))
    assert "is not readable YAML in line 6" in message
    assert not touched.exists()


@pytest.mark.parametrize("name", ["nope", "", "/", "x" * 5000, "a\0b", "../contract"])
def test_an_unknown_contract_is_told_with_those_that_are_shipped(name: str) -> None:
    with pytest.raises(InputError, match=r"no such contract or file.*\(ccdata\)"):
        load_contract(name)


def test_a_contract_is_loaded_by_name_or_from_a_file(tmp_path: Path, ccdata: Contract) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    assert load_contract(str(file)).name == "shop"
    assert load_contract("ccdata") == ccdata


def test_an_id_that_the_store_has_no_room_for_matches_no_pattern() -> None:
    import re

    from expectations.parts import LONGEST_ID, anchored
    from tasks.tables import assignments

    assert assignments.c.customer_id.type.length == LONGEST_ID
    assert re.match(anchored(".+"), "x" * LONGEST_ID)
    assert not re.match(anchored(".+"), "x" * (LONGEST_ID + 1))
