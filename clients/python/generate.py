"""Writes the parts of the package that come from the server's /openapi.json.

    python generate.py OPENAPI_JSON DIRECTORY

`models.py` has a TypedDict for each of its schemas, `operations.py` its operations by id. `.ci/generated` runs this
and fails where the repository has something else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HEAD = '"""What the server\'s /openapi.json says, written by generate.py: not to be changed by hand."""'
CONFIG = Path(__file__).with_name("pyproject.toml")
METHODS = ("get", "post", "put", "patch", "delete")
# What of a schema is for people, and so no difference between two.
PROSE = ("description", "example", "examples", "title")


def folded(schema: Any, names: dict[str, str]) -> Any:
    """A schema in which each copy of a named one is a reference to it, so that it becomes one class and not many."""
    if isinstance(schema, list):
        return [folded(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = names.get(shape(schema))
    if name is not None:
        return {"$ref": f"#/components/schemas/{name}"}
    return {key: folded(value, names) for key, value in schema.items()}


def shape(schema: Any) -> str:
    """A schema without its prose, as text: equal for equal ones."""

    def bare(value: Any, is_schema: bool) -> Any:
        if isinstance(value, list):
            return [bare(each, is_schema) for each in value]
        if not isinstance(value, dict):
            return value
        kept = {key: each for key, each in value.items() if not (is_schema and key in PROSE)}
        return {key: bare(each, key != "properties") for key, each in kept.items()}

    return json.dumps(bare(schema, True), sort_keys=True)


def prepared(openapi: dict[str, Any]) -> dict[str, Any]:
    """The document with its inlined schemas folded."""
    schemas = openapi["components"]["schemas"]
    objects = {shape(each): name for name, each in schemas.items() if each.get("type") == "object"}
    inside = {name: {key: folded(value, objects) for key, value in each.items()} for name, each in schemas.items()}
    return {**openapi, "components": {**openapi["components"], "schemas": inside}}


def write_models(openapi: dict[str, Any], path: Path) -> None:
    """Writes a TypedDict for each schema."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "openapi.json"
        source.write_text(json.dumps(prepared(openapi)))
        command = [sys.executable, "-W", "ignore", "-m", "datamodel_code_generator", "--input", str(source)]
        command += ["--input-file-type", "openapi", "--output", str(path), "--custom-file-header", HEAD]
        command += ["--output-model-type", "typing.TypedDict", "--target-python-version", "3.11"]
        command += ["--no-use-closed-typed-dict", "--enum-field-as-literal", "all"]
        command += ["--use-standard-collections", "--use-union-operator", "--use-single-line-docstring"]
        # So that Python itself knows which keys are required.
        command += ["--disable-future-imports"]
        command += ["--use-schema-description", "--use-field-description", "--disable-timestamp"]
        subprocess.run(command, check=True)


def write_operations(openapi: dict[str, Any], path: Path) -> None:
    """Writes the operations by id."""
    found = sorted(
        (operation["operationId"], method.upper(), route)
        for route, methods in openapi["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    )
    ids = ", ".join(repr(operation) for operation, _, _ in found)
    lines = [HEAD, "", "from typing import Literal, TypeAlias", "", f"OperationId: TypeAlias = Literal[{ids}]"]
    lines += ['"""Name of an operation."""', "", "OPERATIONS: dict[OperationId, tuple[str, str]] = {"]
    lines += [f"    {operation!r}: ({method!r}, {route!r})," for operation, method, route in found]
    lines += ["}", '"""Method and path of each operation."""', ""]
    path.write_text("\n".join(lines))


def main(source: Path, directory: Path) -> None:
    """Writes both files."""
    openapi = json.loads(source.read_text())
    written = [directory / "models.py", directory / "operations.py"]
    write_models(openapi, written[0])
    write_operations(openapi, written[1])
    ruff = [sys.executable, "-m", "ruff"]
    names = [str(path) for path in written]
    # Only what is safe; the linter of the package says what is left.
    subprocess.run([*ruff, "check", "--quiet", "--fix-only", "--config", str(CONFIG), *names], check=True)
    subprocess.run([*ruff, "format", "--quiet", "--config", str(CONFIG), *names], check=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
