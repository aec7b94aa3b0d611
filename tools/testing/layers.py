#!/usr/bin/env python3
"""Holds the layers of the code as `layers.toml` declares them, and writes them into design.md."""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import re
import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import swift_text
import tomllib

DECLARATIONS = "tools/testing/layers.toml"
DOCUMENT = "docs/internals/design.md"
BEGIN = "<!-- layers: begin, written by tools/testing/layers.py --write -->"
END = "<!-- layers: end -->"
STALE = "the layers are not current; tools/testing/layers.py --write writes them"
#: The files that a listing counts.
SOURCE = {".swift", ".c", ".cpp", ".h", ".modulemap"}
#: From this number on, `--counts` names files and types.
LINES_MAX = 400


@dataclass
class File:
    """One Swift file."""

    #: Relative to the repository.
    path: str
    #: The folder inside the module; "." for the module's own.
    folder: str
    #: The text without comments and strings.
    code: str

    @cached_property
    def imports(self) -> dict[str, int]:
        """The imported modules, each with its first line."""
        found: dict[str, int] = {}
        for name, line in swift_text.imports(self.code):
            found.setdefault(name, line)
        return found

    @cached_property
    def types(self) -> list[swift_text.Type]:
        return list(swift_text.types(self.code))


class Code:
    """The targets of Package.swift with their files, and the declarations."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.declared: dict[str, Any] = tomllib.loads((root / DECLARATIONS).read_text())
        self.targets = swift_text.targets((root / "Package.swift").read_text())
        self.files = {name: self.read(target.path) for name, target in self.targets.items()}
        #: Modules are imported under a name without hyphens.
        self.names = {name.replace("-", "_"): name for name in self.targets}
        self.modules: dict[str, dict[str, Any]] = {}
        self.levels: dict[str, int] = {}
        for level, layer in enumerate(self.declared["layer"]):
            for module in layer["modules"]:
                self.modules[module["name"]] = module
                self.levels[module["name"]] = level

    def read(self, folder: str) -> list[File]:
        """The Swift files of a folder."""
        paths = sorted((self.root / folder).rglob("*.swift"))
        return [
            File(
                str(path.relative_to(self.root)),
                str(path.parent.relative_to(self.root / folder)),
                swift_text.code(path.read_text()),
            )
            for path in paths
        ]

    def imported(self, module: str) -> dict[str, str]:
        """The names that a module imports, each with the first place."""
        found: dict[str, str] = {}
        for file in self.files.get(module, []):
            for name, line in file.imports.items():
                found.setdefault(self.names.get(name, name), f"{file.path}:{line}")
        return found


# MARK: Modules


def undeclared(code: Code) -> Iterator[str]:
    """Modules that layers.toml or Package.swift lacks, and permissions that no module uses."""
    for name, target in code.targets.items():
        if not target.is_test and name not in code.modules:
            yield f"Package.swift:{target.line}: {name} is in no layer of layers.toml"
    declared = [rule["modules"] for rule in code.declared.get("never", [])]
    declared += [code.modules, code.declared["folders"]]
    for name in sorted({name for names in declared for name in names} - code.targets.keys()):
        yield f"{DECLARATIONS}: Package.swift has no target {name}"
    permitted = {name: module["only"] for name, module in code.modules.items() if "only" in module}
    arrows = [
        (module, name)
        for name, modules in [*permitted.items(), *code.declared["packages"].items()]
        for module in modules
    ]
    arrows += [
        (module, name) for module, names in code.declared["exceptions"].items() for name in names
    ]
    for module, name in arrows:
        if name not in code.imported(module):
            yield f"{DECLARATIONS}: {module} may import {name}, but no file of it does"
    known = {target.path for target in code.targets.values()}
    for folder in sorted((code.root / "Sources").iterdir()):
        if folder.is_dir() and f"Sources/{folder.name}" not in known:
            yield f"Sources/{folder.name}: Package.swift has no target in this folder"


def against_arrows(code: Code, module: str, other: str) -> str:
    """The reason why a module must not import another one, or nothing."""
    target = code.targets[module]
    if other in code.declared["exceptions"].get(module, []):
        return ""
    if other in code.targets:
        if not target.path.startswith("Tests/") and code.targets[other].path.startswith("Tests/"):
            return "Sources must not depend on Tests"
        only = code.modules.get(other, {}).get("only")
    else:
        only = code.declared["packages"].get(other)
        if only is None and other not in code.declared["toolchain"]:
            return "it is neither a target nor in `packages` or `toolchain` of layers.toml"
    if target.is_test:
        return ""
    if only is not None and module not in only:
        return f"only {', '.join(only) or 'tests'} may"
    lower, upper = code.levels.get(other, -1), code.levels.get(module, -1)
    if other in code.targets and lower >= upper >= 0:
        layers = [layer["name"] for layer in code.declared["layer"]]
        if lower == upper:
            return f'both are in layer "{layers[upper]}"'
        return f'layer "{layers[lower]}" is above layer "{layers[upper]}"'
    return ""


def wrong_imports(code: Code) -> Iterator[str]:
    """Imports and declared dependencies against the arrows, and those that lack the other."""
    for module, target in code.targets.items():
        for name, line in target.dependencies.items():
            if reason := against_arrows(code, module, name):
                yield f"Package.swift:{line}: {module} must not depend on {name}: {reason}"
            elif code.files[module] and name not in code.imported(module):
                yield f"Package.swift:{line}: no file of {module} imports {name}"
        for file in code.files[module]:
            for imported, line in file.imports.items():
                name = code.names.get(imported, imported)
                if reason := against_arrows(code, module, name):
                    yield f"{file.path}:{line}: {module} must not import {name}: {reason}"
                elif name in code.declared["exceptions"].get(module, []):
                    continue
                elif name not in target.dependencies and name not in code.declared["toolchain"]:
                    yield f"{file.path}:{line}: Package.swift does not declare {name} for {module}"


def wrong_reach(code: Code) -> Iterator[str]:
    """Modules that reach, over any path of imports, another one that a rule keeps from them."""
    for rule in code.declared.get("never", []):
        for module in rule["modules"]:
            seen = {module}
            paths = deque([[module]])
            while paths:
                path = paths.popleft()
                for name in sorted(code.imported(path[-1])):
                    if name in seen:
                        continue
                    seen.add(name)
                    if any(fnmatch.fnmatchcase(name, pattern) for pattern in rule["reach"]):
                        arrows = " → ".join([*path, name])
                        place = code.imported(path[-1])[name]
                        yield f"{place}: {module} must not reach {name}: {arrows}: {rule['reason']}"
                    else:
                        paths.append([*path, name])


def wrong_names(code: Code) -> Iterator[str]:
    """Names of the toolchain that only one module may use."""
    for rule in code.declared.get("name", []):
        names = "|".join(rule["names"])
        for module, files in code.files.items():
            if module in rule["only"]:
                continue
            for file in files:
                for match in re.finditer(rf"(?<![\w.])({names})\b", file.code):
                    place = f"{file.path}:{swift_text.line_at(file.code, match.start())}"
                    yield f"{place}: {module} must not use {match[1]}: {rule['reason']}"


# MARK: Folders


@dataclass
class Reference:
    """The first use in a file of a type that another folder of the module declares."""

    place: str
    user: str
    declarer: str
    name: str


def place_of(file: File, places: list[str]) -> str:
    """The listed place that a file belongs to: itself, or the innermost folder; "" if none is."""
    path = Path(file.folder, Path(file.path).name)
    # The module's own folder does not stand for the folders in it.
    around = [
        str(path),
        *(str(folder) for folder in path.parents if str(folder) != "."),
        file.folder,
    ]
    return next((name for name in around if name in places), "")


def references(code: Code, module: str, places: list[str]) -> Iterator[Reference]:
    """The references between places of a module: folders, or single files."""
    imported_as = module.replace("-", "_")
    declarers: defaultdict[str, set[str]] = defaultdict(set)
    for file in code.files[module]:
        for one in file.types:
            if one.is_top_level and not one.is_extension and not one.is_private:
                declarers[one.name].add(place_of(file, places))
    for file in code.files[module]:
        user = place_of(file, places)
        # A type inside of another one, or a private one, hides a type of the same name.
        own = {one.name.split(".")[-1] for one in file.types if not one.is_extension}
        first: dict[str, int] = {}
        for match in re.finditer(rf"(?:(?<![\w.])|\b{imported_as}\.)([A-Za-z_]\w*)", file.code):
            first.setdefault(match[1], match.start(1))
        for name, offset in sorted(first.items(), key=lambda item: item[1]):
            if name in declarers and name not in own and user not in declarers[name]:
                place = f"{file.path}:{swift_text.line_at(file.code, offset)}"
                for declarer in sorted(declarers[name]):
                    yield Reference(place, user, declarer, name)


def wrong_folders(code: Code) -> Iterator[str]:
    """References from a lower to a higher folder, and folders without a declaration."""
    ordered = code.declared["folders"]
    for module, target in code.targets.items():
        declared = [place["name"] for place in ordered.get(module, [])]
        for place in declared:
            if not (code.root / target.path / place).exists():
                yield f"{DECLARATIONS}: {target.path} has no folder {place}"
        must_declare = declared or not target.is_test
        for file in code.files[module]:
            is_inside = file.folder != "." and must_declare
            if (is_inside or module in ordered) and not place_of(file, declared):
                yield f"{file.path}: the folders of {module} in layers.toml have no place for it"
        if module not in ordered:
            continue
        yield from wrong_folder_imports(code, module)
        levels = {place: level for level, place in enumerate(declared)}
        for one in references(code, module, declared):
            # A file without a place is reported above.
            if levels.get(one.user, len(levels)) < levels.get(one.declarer, -1):
                yield f"{one.place}: {one.user} is below {one.declarer} and uses {one.name}"


def wrong_folder_imports(code: Code, module: str) -> Iterator[str]:
    """Imports that a folder's declaration keeps from it."""
    places = {place["name"]: place for place in code.declared["folders"][module]}
    for file in code.files[module]:
        place = places.get(place_of(file, list(places)), {})
        for name, line in file.imports.items():
            if any(fnmatch.fnmatchcase(name, kept) for kept in place.get("never", [])):
                yield f"{file.path}:{line}: {place['name']} must not import {name}"


def print_folders(code: Code) -> None:
    """Prints what folders of a module use of each other, and the order that fits best."""
    for module in code.targets:
        folders = sorted({file.folder for file in code.files[module]})
        if len(folders) < 2:
            continue
        names: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for one in references(code, module, folders):
            names[one.user, one.declarer].add(one.name)
        best, wrong = folders, list(names)
        for order in map(list, itertools.permutations(folders)):
            against = [one for one in names if order.index(one[0]) < order.index(one[1])]
            if sum(len(names[one]) for one in against) < sum(len(names[one]) for one in wrong):
                best, wrong = order, against
        count = sum(len(names[one]) for one in wrong)
        print(f"{module}: lowest first {', '.join(best)}; {count} against it")
        for arrow in sorted(names):
            mark = "against" if arrow in wrong else ""
            print(f"  {mark:<8}{' → '.join(arrow)}: {', '.join(sorted(names[arrow]))}")


# MARK: The document


def size(code: Code, folder: str) -> tuple[int, int]:
    """The number of source files in a folder, and of their lines."""
    files = [path for path in (code.root / folder).rglob("*") if path.suffix in SOURCE]
    return len(files), sum(path.read_text().count("\n") for path in files)


def rounded(lines: int, shown: int | None) -> int:
    """The lines with two digits that count, or the number shown if it is off by a tenth at most.

    A small change of the code therefore does not change the document.
    """
    if shown is not None and abs(shown - lines) * 10 <= lines:
        return shown
    unit = int(10 ** max(len(str(lines)) - 2, 1))
    return max(round(lines / unit), 1) * unit


def listing(code: Code, former: str) -> Iterator[str]:
    """The section of design.md.

    Args:
        former: The section as it is.
    """
    shown = {
        name: int(number.replace(",", ""))
        for name, number in re.findall(r"^\| `([^`]+)` .* ([\d,]+) \|$", former, re.MULTILINE)
    }

    def row(folder: str, purpose: str) -> str:
        files, lines = size(code, f"Sources/{folder}")
        return f"| `{folder}` | {purpose} | {files} | {rounded(lines, shown.get(folder)):,} |"

    yield from ("| folder of `Sources` | holds | files | lines, about |", "|---|---|--:|--:|")
    folders = code.declared["folders"]
    for number, layer in enumerate(code.declared["layer"], 1):
        yield f"| **{number}. {layer['name']}** | | | |"
        for module in layer["modules"]:
            name = module["name"]
            if not (code.root / "Sources" / name).is_dir():
                continue
            yield row(name, module["purpose"])
            for folder in folders.get(name, []):
                if (code.root / "Sources" / name / folder["name"]).is_dir() and folder[
                    "name"
                ] != ".":
                    yield row(f"{name}/{folder['name']}", folder["purpose"])
    yield from ("", "| module | imports | of packages |", "|---|---|---|")
    for module in code.modules:
        names = code.imported(module)
        ours = ", ".join(f"`{name}`" for name in code.modules if name in names)
        packages = ", ".join(name for name in code.declared["packages"] if name in names)
        if code.files.get(module):
            yield f"| `{module}` | {ours} | {packages} |"
    yield from ("", "Over any path of imports:", "")
    for rule in code.declared.get("never", []):
        modules = ", ".join(f"`{module}`" for module in rule["modules"])
        kept = ", ".join(f"`{name}`" for name in rule["reach"])
        yield f"- {modules} never reach {kept}: {rule['reason']}."
    for rule in code.declared.get("name", []):
        modules = ", ".join(f"`{module}`" for module in rule["only"])
        kept = ", ".join(f"`{name}`" for name in rule["names"])
        yield f"- Only {modules} uses {kept}: {rule['reason']}."
    kept_out: defaultdict[str, list[str]] = defaultdict(list)
    for name, places in code.declared["folders"].items():
        for place in places:
            if never := place.get("never"):
                kept = ", ".join(f"`{one}`" for one in never)
                kept_out[kept].append(f"`{name}/{place['name']}`")
    for kept, folder_names in kept_out.items():
        yield f"- No file of {', '.join(folder_names)} imports {kept}."


def document(code: Code) -> tuple[str, str]:
    """The document as it is and as it should be."""
    text = (code.root / DOCUMENT).read_text()
    before, begin, rest = text.partition(BEGIN)
    former, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{DOCUMENT} lacks the line {END if begin else BEGIN}")
    section = "\n".join(listing(code, former))
    return text, f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def stale(code: Code) -> Iterator[str]:
    text, current = document(code)
    if text != current:
        yield f"{DOCUMENT}: {STALE}"


# MARK: Counts


def print_counts(code: Code) -> None:
    """Prints figures of the code's structure for which there is no limit yet."""
    unchecked = 0
    long_files: list[tuple[int, str]] = []
    for tree in ("Sources", "tools/python/src"):
        for path in sorted((code.root / tree).rglob("*")):
            if path.suffix in SOURCE | {".py"}:
                lines = path.read_text().splitlines()
                if path.suffix == ".swift":
                    unchecked += sum("@unchecked Sendable" in line for line in lines)
                if len(lines) > LINES_MAX:
                    long_files.append((len(lines), str(path.relative_to(code.root))))
    type_lines: defaultdict[str, int] = defaultdict(int)
    for module in code.modules.keys() & code.targets.keys():
        for file in code.files[module]:
            for one in file.types:
                type_lines[f"{module}: {one.name}"] += one.lines
    long_types = [(lines, name) for name, lines in type_lines.items() if lines > LINES_MAX]
    addresses = [
        f"{path.relative_to(code.root)}:{swift_text.line_at(text, match.start())}"
        for tree in ("Sources", "Tests", "tools/fuzzers")
        for path in sorted((code.root / tree).rglob("*.swift"))
        for text in [swift_text.code(path.read_text())]
        for match in re.finditer(r"\bsun_family = ", text)
    ]
    print(f"@unchecked Sendable in Sources: {unchecked}")
    print(f"files over {LINES_MAX} lines in Sources and tools/python/src: {len(long_files)}")
    for count, name in sorted(long_files, reverse=True):
        print(f"  {count:>5}  {name}")
    print(f"types over {LINES_MAX} lines over all extensions: {len(long_types)}")
    for count, name in sorted(long_types, reverse=True):
        print(f"  {count:>5}  {name}")
    print(f"places in Swift that fill a sockaddr_un: {len(addresses)}")
    for place in addresses:
        print(f"         {place}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/testing/layers.py", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the layers into {DOCUMENT}")
    parser.add_argument("--counts", action="store_true", help="print figures of the structure")
    parser.add_argument("--folders", action="store_true", help="print references between folders")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    options = parser.parse_args(arguments)
    code = Code(options.root)
    if options.counts or options.folders:
        (print_counts if options.counts else print_folders)(code)
        return 0
    if options.write:
        (code.root / DOCUMENT).write_text(document(code)[1])
    checks = (undeclared, wrong_imports, wrong_reach, wrong_names, wrong_folders, stale)
    found = [text for check in checks for text in check(code)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
