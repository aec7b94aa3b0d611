"""Writes `src/reprise/core/_constants.py` from `docs/guide/openrpc.json`.

    python generate_constants.py            writes the file
    python generate_constants.py --check    compares it, and exits with 1 where it is another

`tests/test_constants.py` makes the same comparison.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
TARGET = PACKAGE / "src" / "reprise" / "core" / "_constants.py"

HEADER = '''"""The protocol's names, codes, limits and ranges.

Generated from docs/guide/openrpc.json by generate_constants.py. Do not edit it: change the
description of the protocol, and generate it again.
"""

from __future__ import annotations

from typing import Final

from .ranges import Option, Range
'''

#: Numbers beside the draft options: the constant, and the path of its schema in the description.
RANGES = {
    "TOKEN": "schemas.Token",
    "RETENTION_TOKENS": "schemas.Retention.properties.tokens",
    "RETENTION_SEQUENCES": "schemas.Retention.properties.sequences",
    "RETENTION_AGE_S": "schemas.Retention.properties.age_s",
    "DEPTH": "corpus.create.depth",
    "DURABILITY_MS": "corpus.create.durability_ms",
    "CORPUS_VOCABULARY": "corpus.create.vocabulary",
    "LEAD_IN": "corpus.create.lead_in",
    "BUDGET": "session.step.budget",
    "VERIFY_COST": "schemas.TimePerToken",
    "BATCH": "session.step.batch",
    "TTL_S": "session.open.ttl_s",
}
#: Words among which a caller chooses.
CHOICES = {"SHARES": "session.open.share", "DURABILITIES": "corpus.create.durability"}


def description() -> dict[str, Any]:
    """The description of the protocol, wherever it stands under `docs`."""
    (path,) = (PACKAGE.parents[1] / "docs").rglob("openrpc.json")
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def constants(openrpc: Mapping[str, Any]) -> str:
    """The text of the generated file."""
    return "\n".join([HEADER, *_lines(openrpc)]) + "\n"


def _lines(openrpc: Mapping[str, Any]) -> Iterator[str]:
    components = openrpc["components"]
    schemas = components["schemas"]
    methods = {method["name"]: _params(method) for method in openrpc["methods"]}
    yield ""
    yield "class Method:"
    yield '    """The names of the methods."""'
    yield ""
    for name in sorted(methods):
        yield f'    {_constant(name)}: Final = "{name}"'
    yield ""
    yield ""
    yield "#: The code of each kind of error."
    yield "ERROR_CODES: Final = {"
    for kind, error in components["errors"].items():
        yield f'    "{kind}": {error["code"]},'
    yield "}"
    yield ""
    yield "#: The default of each limit. `server.info` tells those of a service."
    yield "LIMITS: Final = {"
    for name, limit in schemas["Limits"]["properties"].items():
        yield f'    "{name}": {_number(limit["default"])},'
    yield "}"
    yield ""
    yield "# The options of a draft."
    for name in (
        "max_tokens",
        "max_factor",
        "max_offset",
        "min_probability",
        "min_match",
        "vocabulary",
    ):
        yield f"{name.upper()}: Final = {_range(schemas[name])}"
    yield f"POLICIES: Final = {_words(schemas['policy']['enum'])}"
    yield ""
    yield "# Settings of corpora and sessions, and token ids."
    for name, path in RANGES.items():
        yield f"{name}: Final = {_range(_found(path, schemas, methods))}"
    for name, path in CHOICES.items():
        yield f"{name}: Final = {_words(_found(path, schemas, methods)['enum'])}"
    yield ""
    yield "#: Reasons for which a step had no draft, as `client.report` has them."
    reasons = [name for name in methods["client.report"] if name not in ("engine", "steps")]
    yield f"MISSED: Final = {_words(reasons)}"
    yield ""
    corpus = schemas["CorpusName"]
    yield "#: Characters in a corpus's name at most, and the pattern of one."
    yield f"CORPUS_NAME_CHARACTERS_MAX: Final = {corpus['maxLength']}"
    yield f'CORPUS_NAME_PATTERN: Final = r"{corpus["pattern"]}"'


def _params(method: Mapping[str, Any]) -> dict[str, Any]:
    return {param["name"]: param["schema"] for param in method["params"]}


def _found(path: str, schemas: Mapping[str, Any], methods: Mapping[str, Any]) -> Any:
    if path.startswith("schemas."):
        found: Any = schemas
        for name in path.split(".")[1:]:
            found = found[name]
        return found
    method, _, param = path.rpartition(".")
    return methods[method][param]


def _constant(name: str) -> str:
    return name.replace(".", "_").upper()


def _range(schema: Mapping[str, Any]) -> str:
    kind = float if schema["type"] == "number" else int
    names = [name for name in ("minimum", "maximum", "default") if name in schema]
    numbers = ", ".join(_number(kind(schema[name])) for name in names)
    return f"{'Option' if 'default' in schema else 'Range'}({numbers})"


def _number(value: float) -> str:
    return f"{value:_}"


def _words(words: list[str]) -> str:
    return "(" + ", ".join(f'"{word}"' for word in words) + ")"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare the file, write nothing")
    is_check: bool = parser.parse_args().check
    text = constants(description())
    if not is_check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(
        f"{TARGET} is not what docs/guide/openrpc.json says; run this without --check",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
