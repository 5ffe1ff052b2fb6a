"""What generators for TypeScript, Java and Go make of ``/openapi.json``: every operation, amounts of 64 bits, bodies that carry
what was set, and answers that may have more members than are known.

The generators run with the options that they have by themselves, as client teams run them first. But for Go: it has one name space
for the words of all lists, and several lists have ``REFUNDED``, so that what it generates otherwise can't be compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tools.openapi import compile_typescript, generate, typescript

JAVA = Path("src/main/java/org/openapitools/client")
JAVA_FIELD = re.compile(
    r'SERIALIZED_NAME_\w+ = "(?P<name>\w+)";\n.*\n.*\n +private (?P<type>.+?) \w+(?: = (?P<start>.+))?;'
)
GO_FIELD = re.compile(r'^\t\w+ (?P<type>\S+) `json:"(?P<name>\w+)(?P<rest>[^"]*)"', re.MULTILINE)
GO_WORD = re.compile(r"^\t(\w+) \w+ = \"", re.MULTILINE)
GO_DEFAULTS = re.compile(r"WithDefaults\(\) \*(\w+) \{\n\tthis := \w+\{\}\n(.*?)\treturn &this\n\}", re.DOTALL)
JAVA_AMOUNTS = {"Long", "Map<String, Long>"}
GO_AMOUNTS = {"int64", "*int64", "NullableInt64", "map[string]int64"}


@pytest.fixture(scope="module")
def file(document: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_text(json.dumps(document))
    return file


@pytest.fixture(scope="module")
def java(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("java")
    generate(file, "java", folder)
    return folder / JAVA


@pytest.fixture(scope="module")
def go(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    generate(file, "go", folder, "enumClassPrefix=true")
    return folder


def operations(document: Any) -> set[str]:
    return {operation["operationId"] for item in document["paths"].values() for operation in item.values()}


def objects(document: Any) -> dict[str, Any]:
    """The schemas that have members."""
    return {name: each for name, each in document["components"]["schemas"].items() if "properties" in each}


def bodies(document: Any) -> dict[str, Any]:
    return {name: each for name, each in objects(document).items() if each.get("additionalProperties") is False}


def integers(document: Any) -> Iterator[tuple[str, str]]:
    """Schemas and their members that are whole numbers, or have them by name."""
    for name, schema in objects(document).items():
        for member, described in schema["properties"].items():
            options = [described, *described.get("anyOf", []), described.get("additionalProperties", {})]
            if "integer" in {option.get("type") for option in options if isinstance(option, dict)}:
                yield name, member


def java_fields(folder: Path, schema: str) -> dict[str, re.Match[str]]:
    return {found["name"]: found for found in JAVA_FIELD.finditer((folder / f"model/{schema}.java").read_text())}


def go_file(folder: Path, schema: str) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", schema).lower()
    return (folder / f"model_{name}.go").read_text()


def go_fields(folder: Path, schema: str) -> dict[str, re.Match[str]]:
    return {found["name"]: found for found in GO_FIELD.finditer(go_file(folder, schema))}


def test_what_is_looked_at_is_there(document: Any) -> None:
    assert len(operations(document)) == 29
    assert {("TotalsDocument", "total"), ("NewPayment", "amount"), ("Record", "amount")} <= {*integers(document)}
    assert {"NewOrder", "NewItem", "PromotionChange", "NewPercentage", "Shipped"} <= bodies(document).keys()
    assert "OrderDocument" in objects(document).keys() - bodies(document).keys()


def test_types_for_typescript_have_every_operation_and_amounts_are_numbers(document: Any, file: Path) -> None:
    folder = file.parent
    typescript(file, folder / "api.ts")
    lines = ['import type { components, operations } from "./api";', "type Schemas = components['schemas'];"]
    lines += [f"export type Of{name} = operations['{name}'];" for name in sorted(operations(document))]
    numbers = "number | null | undefined | { [key: string]: number }"
    for schema, member in integers(document):
        lines.append(f"export const {schema}_{member}: {numbers} = {{}} as Schemas['{schema}']['{member}'];")
    use = folder / "use.ts"
    use.write_text("\n".join(lines))
    assert compile_typescript(use) == ""
    wrong = [
        "export type OfNone = operations['None'];",
        "export const text: string = {} as Schemas['NewItem']['quantity'];",
    ]
    use.write_text("\n".join([*lines[:2], *wrong]))
    assert re.findall(r"^use.ts\((\d),.*(TS\d+)", compile_typescript(use), re.MULTILINE) == [
        ("3", "TS2339"),
        ("4", "TS2322"),
    ]


def test_a_client_in_java_has_every_operation(document: Any, java: Path) -> None:
    made = {
        name
        for api in java.glob("api/*.java")
        for name in re.findall(r"public ApiResponse<.+> (\w+)WithHttpInfo\(", api.read_text())
    }
    assert made == {name[0].lower() + name[1:] for name in operations(document)}


def test_a_client_in_go_has_every_operation(document: Any, go: Path) -> None:
    made = {
        name
        for api in go.glob("api_*.go")
        for name in re.findall(r"^func \(a \*\w+Service\) (\w+)\(ctx", api.read_text(), re.MULTILINE)
    }
    assert made == operations(document)


def test_no_number_in_java_has_32_bits(document: Any, java: Path) -> None:
    types = {each: java_fields(java, each[0])[each[1]]["type"] for each in integers(document)}
    assert {each: found for each, found in types.items() if found not in JAVA_AMOUNTS} == {}
    assert [path.name for path in java.glob("[am][po]*/*.java") if re.search(r"\bInteger\b", path.read_text())] == []


def test_no_number_in_go_has_32_bits(document: Any, go: Path) -> None:
    types = {each: go_fields(go, each[0])[each[1]]["type"] for each in integers(document)}
    assert {each: found for each, found in types.items() if found not in GO_AMOUNTS} == {}
    for path in [*go.glob("model_*.go"), *go.glob("api_*.go")]:
        assert not re.search(r"int32|Int32", path.read_text()), path.name


def test_no_word_in_go_has_the_name_of_another(document: Any, go: Path) -> None:
    words = [name for path in go.glob("model_*.go") for name in GO_WORD.findall(path.read_text())]
    assert len(words) == sum(len(each.get("enum", ())) for each in document["components"]["schemas"].values())
    assert len(words) == len({*words})


def test_a_body_in_java_begins_with_nothing_that_may_be_left_out(document: Any, java: Path) -> None:
    for name, schema in bodies(document).items():
        fields = java_fields(java, name)
        assert fields.keys() == schema["properties"].keys(), name
        begun = {field for field, found in fields.items() if found["start"] is not None}
        assert begun <= {*schema.get("required", ())}, name
    # What is null is not written unless that is asked for.
    assert "serializeNulls" not in (java / "JSON.java").read_text()


def test_a_body_in_go_begins_with_nothing_and_omits_what_was_not_set(document: Any, go: Path) -> None:
    for name, schema in bodies(document).items():
        fields = go_fields(go, name)
        assert fields.keys() == schema["properties"].keys(), name
        omitted = {field for field, found in fields.items() if "omitempty" in found["rest"]}
        assert omitted == fields.keys() - {*schema.get("required", ())}, name
        assert GO_DEFAULTS.findall(go_file(go, name)) == [(name, "")]


def test_an_answer_may_have_more_members_than_a_client_in_java_or_go_knows(document: Any, java: Path, go: Path) -> None:
    for name in objects(document).keys() - bodies(document).keys():
        assert "is not defined in the" not in (java / f"model/{name}.java").read_text(), name
        assert "DisallowUnknownFields" not in go_file(go, name), name


def test_the_code_of_a_problem_is_any_text(java: Path, go: Path) -> None:
    assert java_fields(java, "ProblemDocument")["code"]["type"] == "String"
    assert go_fields(go, "ProblemDocument")["code"]["type"] == "string"
