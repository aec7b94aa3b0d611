"""Reads the structure of Swift source without a compiler: imports, types, a package's targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: The beginnings of comments and strings, whole regular expressions, and the parentheses, one of
#: which ends an interpolation.
MARK = re.compile(r'//|/\*|(?<=[(,=:\s])/(?![\s/*])(?:\\.|[^/\\\n])+/|#*"""|#*"|[()]')
IMPORT = re.compile(
    r"^[ \t]*(?:@\w+(?:\([^)\n]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?"
    r"import\s+(?:(?:struct|class|enum|protocol|typealias|func|var|let)\s+)?(\w+)",
    re.MULTILINE,
)
#: A type's head, an extension's, or a brace.
HEAD = re.compile(
    r"[{}]|(?<![\w.@])(struct|class|enum|actor|protocol|typealias|extension)\s+"
    r"(?!(?:func|var|let|subscript)\b)`?(\w+(?:\.\w+)*)"
)
TARGET = re.compile(r'\.(target|executableTarget|testTarget|systemLibrary)\(\s*name:\s*"([^"]+)"')
#: A dependency of a target: a target's name, a product, or a constant that stands for a product.
DEPENDENCY = re.compile(
    r'\.\w+\(\s*name:\s*"(?P<named>[^"]+)"(?:[^()]|\([^()]*\))*\)|"(?P<plain>[^"]+)"|(?P<constant>\w+)'
)
CONSTANT = re.compile(r'\blet (\w+)[^=\n]*=\s*[\w.]*\.product\(\s*name:\s*"([^"]+)"')


def blank(text: str) -> str:
    """Spaces in place of the text, with its line ends."""
    return re.sub(r"[^\n]", " ", text)


def comment_end(text: str, start: int) -> int:
    """The place after a comment in `/* */`, which may hold others."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def code(text: str, keeps_strings: bool = False) -> str:
    """The text with spaces in place of comments and strings. Code inside an interpolation stays."""
    kept: list[str] = []
    # Each string that an interpolation interrupts: its opening, and the depth of parentheses there.
    interrupted: list[tuple[str, int]] = []
    position = depth = 0
    while match := MARK.search(text, position):
        kept.append(text[position : match.start()])
        start, position = match.span()
        opening = match[0]
        if opening == "//":
            line_end = text.find("\n", start)
            position = len(text) if line_end < 0 else line_end
            kept.append(blank(text[start:position]))
        elif opening == "/*":
            position = comment_end(text, start)
            kept.append(blank(text[start:position]))
        elif opening == ")" and interrupted and depth == 0:
            opening, depth = interrupted.pop()
            position = string_end(text, position, opening, interrupted, depth)
            depth = 0 if text[position - 1] == "(" else depth
            kept.append(blank(text[start:position]))
        elif opening in "()":
            depth += 1 if opening == "(" else -1
            kept.append(opening)
        elif opening[0] == "/":
            kept.append(blank(opening))
        else:
            position = string_end(text, position, opening, interrupted, depth)
            depth = 0 if text[position - 1] == "(" else depth
            kept.append(text[start:position] if keeps_strings else blank(text[start:position]))
    return "".join([*kept, text[position:]])


def string_end(
    text: str, position: int, opening: str, interrupted: list[tuple[str, int]], depth: int
) -> int:
    """The place after a string, or after the parenthesis that begins an interpolation in it."""
    hashes = opening.count("#")
    closing = opening.strip("#") + "#" * hashes
    stop = re.compile(rf"\\{'#' * hashes}(?P<escaped>.)|{closing}", re.DOTALL)
    for match in stop.finditer(text, position):
        if match["escaped"] == "(":
            interrupted.append((opening, depth))
        if match["escaped"] in ("(", None):
            return match.end()
    return len(text)


def line_at(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def imports(text: str) -> Iterator[tuple[str, int]]:
    """The modules that a file imports, each with its line.

    Args:
        text: The file as `code` returns it.
    """
    for match in IMPORT.finditer(text):
        yield match[1], line_at(text, match.start(1))


@dataclass
class Type:
    """One declaration or extension of a type."""

    #: With the names of the types around it.
    name: str
    #: Lines from the head to the closing brace, without the types inside.
    lines: int
    is_top_level: bool
    is_extension: bool
    #: True if no other file sees the declaration.
    is_private: bool


def types(text: str) -> Iterator[Type]:
    """The types that a file declares or extends.

    Args:
        text: The file as `code` returns it.
    """
    # For each open brace, the type that it opens, and the first line.
    scopes: list[tuple[Type | None, int]] = []
    head: tuple[Type, int] | None = None
    for match in HEAD.finditer(text):
        if match[0] == "{":
            scopes.append(head or (None, 0))
            head = None
        elif match[0] == "}" and scopes:
            one, first = scopes.pop()
            if one:
                span = line_at(text, match.start()) - first + 1
                one.lines += span
                outer = next((scope for scope, _ in reversed(scopes) if scope), None)
                if outer:
                    outer.lines -= span
                yield one
        elif match[1]:
            around = [scope.name for scope, _ in scopes if scope]
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            one = Type(
                ".".join([*around[-1:], match[2]]),
                0,
                is_top_level=not scopes,
                is_extension=match[1] == "extension",
                is_private=bool(re.search(r"\b(file)?private\b", before)),
            )
            if match[1] == "typealias":
                yield one
            else:
                head = (one, line_at(text, match.start()))


@dataclass
class Target:
    """A target of Package.swift."""

    name: str
    is_test: bool
    path: str
    line: int
    #: Names of targets and products, each with its line.
    dependencies: dict[str, int] = field(default_factory=dict)


def balanced_end(text: str, start: int) -> int:
    """The place after the bracket that closes the one at `start`."""
    depth = 0
    for match in re.compile(r"[()\[\]]").finditer(text, start):
        depth += 1 if match[0] in "([" else -1
        if depth == 0:
            return match.end()
    return len(text)


def targets(text: str) -> dict[str, Target]:
    """The targets of Package.swift, by their names."""
    text = code(text, keeps_strings=True)
    constants = dict(CONSTANT.findall(text))
    found: dict[str, Target] = {}
    position = 0
    while match := TARGET.search(text, position):
        position = balanced_end(text, text.index("(", match.start()))
        body = text[match.start() : position]
        is_test = match[1] == "testTarget"
        path = re.search(r'\bpath:\s*"([^"]+)"', body)
        folder = path[1] if path else f"{'Tests' if is_test else 'Sources'}/{match[2]}"
        target = Target(match[2], is_test, folder, line_at(text, match.start()))
        if list_start := re.search(r"\bdependencies:\s*(?=\[)", body):
            first = match.start() + list_start.end()
            for item in DEPENDENCY.finditer(text, first, balanced_end(text, first)):
                name = item["named"] or item["plain"] or constants.get(item["constant"], "")
                if name:
                    target.dependencies[name] = line_at(text, item.start())
        found[target.name] = target
    return found
