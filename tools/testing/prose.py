"""Checks the prose of documents, docstrings and comments against `prose.toml`."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("prose.toml")

#: "What went wrong:" begins the docstring of a regression test.
OPENING = re.compile(r"(What(?! went wrong:)|Who|Whose|Whoever|Whom)\b")
#: Parts of a document that are not prose.
OFF = re.compile(r"<!-- prose: off -->.*?<!-- prose: on -->", re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    .*$", re.MULTILINE)
NAME = re.compile(r"`[^`\n]*`|\]\([^)]*\)|https?://\S+")


@dataclass
class Text:
    """A paragraph, or one comment."""

    line: int
    text: str
    is_docstring: bool = False


def blank(match: re.Match[str]) -> str:
    """As many lines without anything on them."""
    return "\n" * match.group().count("\n")


def document(text: str) -> Iterator[Text]:
    """The paragraphs of a document, without code and names."""
    text = OFF.sub(blank, text)
    text = FENCE.sub(blank, text)
    text = INDENTED.sub("", text)
    text = NAME.sub("`", text)
    line = 1
    for part in re.split(r"(\n\s*\n)", text):
        if part.strip():
            yield Text(line, part)
        line += part.count("\n")


def swift(text: str) -> Iterator[Text]:
    """The comments of a Swift file, each with its lines joined."""
    first, lines, marker = 0, list[str](), ""
    for number, line in enumerate([*text.split("\n"), ""], 1):
        match = re.match(r"\s*(///|//)(?!/) ?(.*)", line)
        if lines and (not match or match[1] != marker):
            yield Text(first, NAME.sub("`", "\n".join(lines)), marker == "///")
            lines = []
        if match:
            if not lines:
                first, marker = number, match[1]
            lines.append(match[2])


def python(text: str) -> Iterator[Text]:
    """The docstrings and comments of a Python file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                line = node.body[0].lineno
                yield Text(line, NAME.sub("`", docstring), is_docstring=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comment = token.string.lstrip("#")
            yield Text(token.start[0], NAME.sub("`", comment.lstrip(": ")), comment.startswith(":"))


def json_descriptions(text: str) -> Iterator[Text]:
    """The summaries and descriptions of a JSON document that has each on a line of its own."""
    for number, line in enumerate(text.split("\n"), 1):
        if match := re.match(r'\s*"(?:summary|description)": "(.*)",?$', line):
            yield Text(number, NAME.sub("`", match[1]), is_docstring=True)


def shell(text: str) -> Iterator[Text]:
    """The comments of a shell script, each with its lines joined."""
    first, lines = 0, list[str]()
    for number, line in enumerate([*text.split("\n"), ""], 1):
        match = re.match(r"\s*#(?!!) ?(.*)", line)
        if match:
            first = first if lines else number
            lines.append(match[1])
        elif lines:
            yield Text(first, NAME.sub("`", "\n".join(lines)))
            lines = []


READERS = {
    ".md": document,
    ".json": json_descriptions,
    ".swift": swift,
    ".py": python,
    "": shell,
}
#: Files that are always checked.
DOCUMENTS = re.compile(r"(.*\.md|docs/.*\.json|tools/[\w-]+)")


def main() -> int:
    rules = tomllib.loads(LIST.read_text())
    phrases = [
        (re.compile(rule["find"], re.IGNORECASE | re.DOTALL), rule["use"], "documents" in rule)
        for rule in rules["phrase"]
    ]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    failures = 0
    for name in listed:
        file = ROOT / name
        reader = READERS.get(file.suffix)
        is_document = bool(DOCUMENTS.fullmatch(name))
        in_comments = is_document or name.startswith(tuple(rules["comments"]))
        in_docstrings = is_document or name.startswith(tuple(rules["docstrings"]))
        if not reader or not file.is_file() or not (in_comments or in_docstrings):
            continue
        for text in reader(file.read_text()):
            found = []
            if in_docstrings and text.is_docstring and (match := OPENING.match(text.text)):
                found.append(
                    (0, match[0], "begin with a noun phrase or a verb in the third person")
                )
            if in_comments:
                for pattern, use, for_documents in phrases:
                    if is_document or not for_documents:
                        found += [(m.start(), m.group(), use) for m in pattern.finditer(text.text)]
            for start, words, use in found:
                line = text.line + text.text.count("\n", 0, start)
                print(f'{name}:{line}: "{words}": {use}')
            failures += len(found)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
