"""A reader finds a thing by its name: one class a name, and folders short enough to be read at a glance."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

SRC = Path(__file__).parents[2] / "src/mezzotint"
MAX_MODULES = 20


def modules() -> list[Path]:
    return [file for file in SRC.rglob("*.py") if "migrations" not in file.parts]


def test_a_class_name_exists_once() -> None:
    where: defaultdict[str, set[str]] = defaultdict(set)
    for file in modules():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                where[node.name].add(str(file.relative_to(SRC)))
    assert {name: files for name, files in where.items() if len(files) > 1} == {}


def test_no_folder_has_more_than_twenty_modules() -> None:
    sizes = Counter(str(file.parent.relative_to(SRC)) for file in modules() if file.name != "__init__.py")
    assert {folder: num for folder, num in sizes.items() if num > MAX_MODULES} == {}
