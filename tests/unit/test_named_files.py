"""Every file that a comment, a docstring or a page of the project names is in the project: a reader can go and look."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = "md|py|sql|yaml|yml|toml|lock|json|msgpack"
# A name, perhaps with folders before it; behind it comes neither more of a name nor a call or a member.
NAMED = re.compile(rf"(?<![\w./<>{{}}*-])((?:\.{{1,2}}/)*(?:[\w.-]+/)*[\w-][\w.-]*\.(?:{SUFFIXES}))(?![\w/(-]|\.\w)")
ENDING = re.compile(rf"\.(?:{SUFFIXES})\b")
URL = re.compile(r"\w+://\S+")
SKIPPED = ("__pycache__", "asyncapi-3.1.0")  # others wrote what is in there

ELSEWHERE = {
    "endpoints.json": "made by the service when it is ready",
    "openapi.json": "made by the service: /openapi.json",
    "asyncapi.json": "made by the service: /asyncapi.json",
    "sitecustomize.py": "made beside a copy of the project by a test",
    "life.json": "what a measurement writes where it is told to",
}
# Migrations that were applied never change, since their checksums are kept: they name what is docs/contract.md, or has another
# name, today.
AS_APPLIED = {
    *(f"storage/migrations/{name}.sql: spec.md" for name in ("0001_orders", "0003_catalogue", "0009_codes")),
    "storage/migrations/0011_recounts.sql: storage/figures.py",
    "storage/migrations/0015_reference_versions.sql: flush.py",
}


def names_in(text: str) -> Iterator[str]:
    """Give the files that a text names; what is in a URL is none of ours."""
    for found in NAMED.finditer(URL.sub(" ", text)):
        yield found[1]


def python_texts(source: str) -> Iterator[str]:
    """Give the comments and docstrings of a module."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node, clean=False) or ""


def sql_texts(source: str) -> Iterator[str]:
    """Give the comments of a migration, those that PostgreSQL keeps included."""
    yield from re.findall(r"--.*", source)
    yield from re.findall(r"comment on [^;]*?is\s+'((?:[^']|'')*)'", source)


def texts_of(file: Path) -> Iterator[str]:
    """Give what a file says to people."""
    source = file.read_text(encoding="utf-8")
    if ENDING.search(source) is None:
        return  # most name no file, and reading Python takes its time
    match file.suffix:
        case ".py" | "":
            yield from python_texts(source)
        case ".sql":
            yield from sql_texts(source)
        case _:
            yield source


def files_below(root: Path) -> Iterator[Path]:
    """Give all files of the project; hidden folders hold what was made, not written."""
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in SKIPPED]
        yield from (Path(folder, name) for name in names)


class Files:
    """The files that there are, to be found by path or by name alone."""

    def __init__(self, root: Path, files: list[Path]) -> None:
        self._root = root
        self._names = {file.name for file in files}

    def has(self, name: str, beside: Path) -> bool:
        """Tell whether a file of this name is there, for a text that stands in a file ``beside`` it."""
        if "/" not in name:
            return name in self._names or name in ELSEWHERE
        folders = (self._root, beside.parent)
        return PurePosixPath(name).name in ELSEWHERE or any((folder / name).is_file() for folder in folders)


def missing(root: Path) -> list[str]:
    """Give what is named and not there, with the file that names it."""
    files = [*files_below(root)]
    known = Files(root, files)
    return [
        f"{file.relative_to(root)}: {name}"
        for file in files
        if file.suffix in (".py", ".sql", ".md") or file.name == "dev"
        for text in texts_of(file)
        for name in names_in(text)
        if not known.has(name, file)
    ]


def test_every_file_that_is_named_exists() -> None:
    assert [each for each in missing(ROOT) if each not in AS_APPLIED] == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a/b.py", '"""As gone.md says."""\n'),
        ("a/b.py", "x = 1  # see a/gone.py\n"),
        ("a/b.py", 'def f() -> None:\n    """See ../gone.sql."""\n'),
        ("a/b.sql", "-- see gone.yaml\n"),
        ("a/b.sql", "comment on table a is\n    'It''s in gone.md';\n"),
        ("a/b.md", "[more](other/gone.md#part)\n"),
        ("a/b.md", "`b/b.md` is elsewhere.\n"),
    ],
)
def test_a_name_of_nothing_is_found(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert len(missing(tmp_path)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "as b.md says",
        "(a/b.md)",
        "[this](b.md#part)",
        "https://example.test/gone.md",
        "`endpoints.json`",
        "config.yaml_text and a.b.pyx",
    ],
)
def test_what_is_there_and_what_is_no_name_of_a_file_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.md").write_text(text, encoding="utf-8")
    assert missing(tmp_path) == []


def test_strings_that_nobody_reads_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('x = "gone.md"\n', encoding="utf-8")
    assert missing(tmp_path) == []
