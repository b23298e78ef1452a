"""The README against the code: its commands, its options, its example, its file names."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def commands() -> dict[str, Any]:
    import typer.main

    from deployments.cli import app

    return typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_every_command_and_no_other_is_in_the_readme() -> None:
    named = set(re.findall(r"^\| `resegment (\w+)", README, flags=re.MULTILINE))
    assert named == set(commands())


def test_every_option_that_the_readme_names_is_one() -> None:
    known = {option for one in commands().values() for p in one.params for option in p.opts}
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    code = " ".join(re.findall(r"`[^`\n]+`", prose))
    named = set(re.findall(r"--[a-z-]+", code))
    assert named <= known
    assert {"--source", "--month", "--segments", "--embedding", "--resume", "--json"} <= named


def test_the_example_contract_is_one() -> None:
    from expectations.contract import parse_contract

    (example,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    contract = parse_contract(re.sub(r"^   ", "", example, flags=re.MULTILINE).encode(), "README")
    assert contract.features == ("revenue", "orders", "return_share")
    assert contract.objections == ("no_profiling",)


def test_the_two_commands_are_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("name", ["manifest.json", "quarantine.parquet", "model.skops"])
def test_the_files_of_a_run_are_called_what_the_code_calls_them(name: str) -> None:
    code = "".join(path.read_text() for path in (ROOT / "tasks").glob("*.py"))
    assert name in README
    assert name in code


def test_the_changelog_tells_of_what_is_not_released() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()
