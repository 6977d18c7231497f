"""What ARCHITECTURE.md says of the source, as far as the source itself tells; imports have a contract of their own."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

from tap_asana_export import sdk
from tap_asana_export.settings import Settings
from tap_asana_export.tap import SETTINGS

PACKAGE = Path(__file__).parents[1] / "tap_asana_export"
MODULES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
OURS = {name: tree for name, tree in MODULES.items() if not name.startswith("sandbox/")}


def texts_of(tree: ast.Module) -> list[str]:
    """The texts in a module's code, its docstrings left out."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [value for value in constants if isinstance(value, str) and value not in docstrings]


@pytest.mark.parametrize(
    "mark", ["/exports/resource", "/exports/graph", "/jobs/", "opt_fields", "Retry-After", "Content-Range", "next_page"]
)
def test_nothing_but_the_room_asana_knows_its_urls_and_headers(mark: str) -> None:
    knowing = {name for name, tree in OURS.items() if any(mark in text for text in texts_of(tree))}
    assert {name for name in knowing if not name.startswith("asana/")} <= {"errors.py"}


def test_nothing_but_the_room_records_decodes_lines() -> None:
    decoding = {name for name, tree in OURS.items() if "json.Decoder" in ast.unparse(tree)}
    assert {name for name in decoding if not name.startswith("records/")} <= {"output/parquet.py"}


def test_only_the_place_for_it_uses_private_names_of_the_sdk() -> None:
    private = re.compile(r"\bsinger_sdk(\.\w+)*\._[a-z]|from singer_sdk[\w.]* import (.*, )?_")
    using = {name for name, tree in MODULES.items() if private.search(ast.unparse(tree))}
    assert using == {"sdk.py"}


def test_the_private_names_of_the_sdk_are_as_the_tap_knows_them() -> None:
    assert {name: list(inspect.signature(getattr(sdk, name)).parameters) for name in sdk.__all__} == {
        "flatten_key": ["key_name", "parent_keys", "separator", "max_key_length"],
        "parse_environment_config": ["config_schema", "prefix", "dotenv_path"],
    }


def test_no_two_classes_share_a_name() -> None:
    names = Counter(node.name for tree in OURS.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_the_typed_settings_are_those_of_the_tap() -> None:
    of_the_sdk = {"batch_config", "stream_maps"}
    assert Settings.__annotations__.keys() == SETTINGS.to_dict()["properties"].keys() | of_the_sdk


@pytest.mark.parametrize("room", ["asana", "records"])
def test_others_import_only_what_a_room_gives_away(room: str) -> None:
    inside = re.compile(rf"from tap_asana_export\.{room}\.|import tap_asana_export\.{room}\.")
    using = {name for name, tree in OURS.items() if inside.search(ast.unparse(tree))}
    assert {name for name in using if not name.startswith(f"{room}/")} == set()
