"""The constants that are generated from the description of the protocol, and their use."""

from __future__ import annotations

from pathlib import Path

import pytest

import generate_constants
import reprise
from reprise.core import _constants
from reprise.core._constants import DEPTH, ERROR_CODES, MAX_TOKENS, MIN_PROBABILITY
from reprise.core.errors import ServiceError


def test_the_file_is_what_the_generator_writes() -> None:
    text = generate_constants.constants(generate_constants.description())
    assert generate_constants.TARGET.read_text(encoding="utf-8") == text, (
        "docs/guide/openrpc.json has changed; run tools/python/generate_constants.py"
    )


def test_a_change_of_the_description_is_a_change_of_the_file() -> None:
    openrpc = generate_constants.description()
    text = generate_constants.constants(openrpc)
    openrpc["components"]["schemas"]["Limits"]["properties"]["steps"]["default"] += 1
    assert generate_constants.constants(openrpc) != text
    openrpc["methods"].append({"name": "server.dance", "params": []})
    assert 'SERVER_DANCE: Final = "server.dance"' in generate_constants.constants(openrpc)


def test_each_kind_of_error_is_a_class() -> None:
    classes = {kind: found.code for kind, found in ServiceError.kinds().items()}
    assert classes == ERROR_CODES


def test_each_method_is_called_somewhere() -> None:
    core = Path(reprise.__file__).parent / "core"
    code = "".join(path.read_text() for path in core.glob("*.py"))
    names = [name for name in vars(_constants.Method) if not name.startswith("_")]
    assert len(names) > 20
    assert [name for name in names if f"Method.{name}" not in code] == []


def test_a_range_holds_its_ends() -> None:
    for value in (DEPTH.minimum, DEPTH.maximum):
        DEPTH.check("depth", value)
        assert DEPTH.clamp(value) == value
    for value, nearest in ((DEPTH.minimum - 1, DEPTH.minimum), (DEPTH.maximum + 1, DEPTH.maximum)):
        with pytest.raises(ValueError, match=r"depth is \d+, expected 2…127"):
            DEPTH.check("depth", value)
        assert DEPTH.clamp(value) == nearest
    with pytest.raises(ValueError, match="min_probability is nan"):
        MIN_PROBABILITY.check("min_probability", float("nan"))
    assert MAX_TOKENS.default == reprise.DraftOptions().max_tokens
