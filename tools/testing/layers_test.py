"""Tests of `layers.py`: the changes of a small package that it refuses, and that it accepts."""

from __future__ import annotations

from pathlib import Path

import layers
import pytest

FILES = {
    "Package.swift": """
let net = Target.Dependency.product(name: "Net", package: "net")  // "Nothing"
let package = Package(
  products: [.library(name: "High", targets: ["High"])],
  targets: [
    .systemLibrary(name: "CLow"),
    .target(name: "Low", dependencies: ["CLow"]),
    .target(name: "Beside"),
    .target(name: "Middle", dependencies: ["Low", net]),
    .target(name: "High", dependencies: [
      "Middle", .product(name: "Log", package: "log", condition: .when(traits: ["TLS"])),
    ]),
    .executableTarget(name: "the-tool", dependencies: ["High"]),
    .testTarget(name: "HighTests", dependencies: ["CLow", "High"]),
  ])
""",
    "tools/testing/layers.toml": """
toolchain = ["Foundation", "Testing"]
[[layer]]
name = "C"
modules = [{ name = "CLow", only = ["Low"], purpose = "C" }]
[[layer]]
name = "lowest"
modules = [{ name = "Low", purpose = "low" }, { name = "Beside", purpose = "beside" }]
[[layer]]
name = "middle"
modules = [{ name = "Middle", purpose = "middle" }]
[[layer]]
name = "high"
modules = [{ name = "High", purpose = "high" }]
[[layer]]
name = "tools"
modules = [{ name = "the-tool", only = [], purpose = "tool" }]
[packages]
Log = ["High"]
Net = ["Middle"]
[exceptions]
[[never]]
modules = ["High"]
reach = ["Found*"]
reason = "it is for the test"
[[name]]
names = ["Lock", "Gate"]
only = ["Low"]
reason = "one is enough"
[folders]
High = [
  { name = "Base", purpose = "base", never = ["Lo*"] },
  { name = "." },
  { name = "Upper", purpose = "upper" },
  { name = "Main.swift" },
]
Middle = [{ name = "Ring", purpose = "ring" }, { name = "." }]
""",
    "docs/internals/design.md": """
<!-- layers: begin, written by tools/testing/layers.py --write -->
<!-- layers: end -->
""",
    "Sources/CLow/shim.h": "int low(void);\n",
    "Sources/Low/Low.swift": "import CLow\n\npublic struct Low {}\n",
    "Sources/Beside/Beside.swift": "public struct Beside {}\n",
    "Sources/Middle/Ring/Middle.swift": (
        "import Low\n#if TLS\n  private import Net\n#endif\n\npublic struct Middle {}\n"
    ),
    "Sources/High/Base/Base.swift": "import Middle\n\nstruct Base {}\nprivate struct Upper {}\n",
    "Sources/High/High.swift": "struct High {\n  var base: Base\n}\n",
    "Sources/High/Upper/Upper.swift": "struct Upper {\n  var high: High\n}\n",
    "Sources/High/Main.swift": "import Log\n\nstruct Main {\n  var upper: Upper\n}\n",
    "Sources/the-tool/Tool.swift": "@_exported import struct High.High\n",
    "Tests/HighTests/HighTests.swift": "import CLow\nimport Testing\n@testable import High\n",
}


class Tree:
    """The package in a temporary folder."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.capture = capture
        for name, text in FILES.items():
            self.put(name, text)

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert text.count(old) == 1
        self.put(name, text.replace(old, new))

    def check(self, *options: str) -> tuple[int, list[str]]:
        """The exit status and the lines of `layers.py`."""
        status = layers.main(["--root", str(self.root), *options])
        return status, self.capture.readouterr().out.splitlines()

    def assert_found(self, *expected: str) -> None:
        """Checks that `layers.py` fails with these lines, whatever the document says."""
        status, found = self.check()
        assert [line for line in found if not line.startswith(layers.DOCUMENT)] == list(expected)
        assert status == 1


@pytest.fixture
def tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tree:
    tree = Tree(tmp_path, capsys)
    assert tree.check("--write") == (0, [])
    return tree


# MARK: Modules


def test_an_import_against_the_arrows(tree: Tree) -> None:
    tree.change(
        "Package.swift",
        '["CLow"]),\n    .target(name: "B',
        '["CLow", "High"]),\n .target(name: "B',
    )
    tree.change("Sources/Low/Low.swift", "import CLow\n", "import CLow\n@testable import High\n")
    reason = 'High: layer "high" is above layer "lowest"'
    tree.assert_found(
        f"Package.swift:7: Low must not depend on {reason}",
        f"Sources/Low/Low.swift:2: Low must not import {reason}",
    )


@pytest.mark.parametrize(
    "form",
    [
        "import High",
        "  import High",
        "@testable import High",
        "@preconcurrency @_spi(Inner) private import High",
        "internal import struct High.High",
        "package import High",
    ],
)
def test_every_form_of_import(tree: Tree, form: str) -> None:
    tree.put("Sources/Beside/Beside.swift", f"#if TLS\n{form}\n#endif\n")
    tree.assert_found(
        "Sources/Beside/Beside.swift:2: Beside must not import High: "
        'layer "high" is above layer "lowest"'
    )


def test_an_import_in_a_comment_or_a_string_is_none(tree: Tree) -> None:
    text = '/*\nimport High\n/* */\nimport High */\nlet a = """\n  import High\n  """\n'
    tree.put("Sources/Beside/Beside.swift", text)
    assert tree.check() == (0, [])


def test_an_import_inside_of_a_layer(tree: Tree) -> None:
    tree.put("Sources/Beside/Beside.swift", "import Low\n")
    tree.assert_found(
        'Sources/Beside/Beside.swift:1: Beside must not import Low: both are in layer "lowest"'
    )


def test_an_import_that_is_reserved_for_others(tree: Tree) -> None:
    tree.change("Sources/High/High.swift", "struct", "import CLow\nimport Net\nstruct")
    tree.assert_found(
        "Sources/High/High.swift:1: High must not import CLow: only Low may",
        "Sources/High/High.swift:2: High must not import Net: only Middle may",
    )


def test_an_unknown_import(tree: Tree) -> None:
    tree.change("Sources/High/High.swift", "struct", "import Unknown\nstruct")
    tree.assert_found(
        "Sources/High/High.swift:1: High must not import Unknown: it is neither a target nor "
        "in `packages` or `toolchain` of layers.toml"
    )


def test_an_import_that_package_swift_does_not_declare(tree: Tree) -> None:
    tree.change("Sources/High/High.swift", "struct", "import Low\nstruct")
    tree.assert_found("Sources/High/High.swift:1: Package.swift does not declare Low for High")


def test_a_dependency_that_no_file_imports(tree: Tree) -> None:
    tree.change("Sources/High/Main.swift", "import Log\n", "")
    tree.assert_found(
        "tools/testing/layers.toml: High may import Log, but no file of it does",
        "Package.swift:11: no file of High imports Log",
    )


def test_a_dependency_on_tests(tree: Tree) -> None:
    tree.change(
        "Package.swift", "  ])\n", '    .target(name: "Helper", path: "Tests/Helper"),\n  ])\n'
    )
    tree.change("Package.swift", 'dependencies: ["High"])', 'dependencies: ["High", "Helper"])')
    tree.change("Sources/the-tool/Tool.swift", "@_e", "import Helper\n@_e")
    tree.put("Tests/Helper/Helper.swift", "")
    tree.assert_found(
        "Package.swift:15: Helper is in no layer of layers.toml",
        "Package.swift:13: the-tool must not depend on Helper: Sources must not depend on Tests",
        "Sources/the-tool/Tool.swift:1: the-tool must not import Helper: "
        "Sources must not depend on Tests",
    )


def test_a_module_that_only_one_side_knows(tree: Tree) -> None:
    tree.change("Package.swift", '    .target(name: "Beside"),\n', '    .target(name: "New"),\n')
    tree.put("Sources/New/New.swift", "")
    tree.assert_found(
        "Package.swift:8: New is in no layer of layers.toml",
        "tools/testing/layers.toml: Package.swift has no target Beside",
        "Sources/Beside: Package.swift has no target in this folder",
    )


def test_a_permission_that_no_module_uses(tree: Tree) -> None:
    tree.change(layers.DECLARATIONS, 'Net = ["Middle"]', 'Net = ["Middle", "High"]')
    tree.assert_found("tools/testing/layers.toml: High may import Net, but no file of it does")


def test_a_path_to_a_module_that_a_rule_forbids(tree: Tree) -> None:
    tree.change("Sources/Low/Low.swift", "import CLow\n", "import CLow\nimport Foundation\n")
    tree.assert_found(
        "Sources/Low/Low.swift:2: High must not reach Foundation: "
        "High → Middle → Low → Foundation: it is for the test"
    )


def test_a_name_that_one_module_has(tree: Tree) -> None:
    tree.put("Sources/Low/Lock.swift", "let lock = Lock()\n")
    tree.put(
        "Tests/HighTests/LockTests.swift",
        "// Gate\nlet some = (Locked(), low.Lock)\nlet two = [Lock<Int>]()\n",
    )
    tree.assert_found(
        "Tests/HighTests/LockTests.swift:3: HighTests must not use Lock: one is enough"
    )


# MARK: Folders


def test_a_reference_against_the_order_of_folders(tree: Tree) -> None:
    tree.change("Sources/High/Base/Base.swift", "private struct Upper {}", "extension Main {}")
    tree.change("Sources/High/High.swift", "base: Base", 'text = "\\(Upper.self)"')
    tree.assert_found(
        "Sources/High/Base/Base.swift:4: Base is below Main.swift and uses Main",
        "Sources/High/High.swift:2: . is below Upper and uses Upper",
    )


def test_an_import_that_a_folder_must_not_have(tree: Tree) -> None:
    tree.change("Sources/High/Base/Base.swift", "import Middle\n", "import Middle\nimport Log\n")
    tree.assert_found("Sources/High/Base/Base.swift:2: Base must not import Log")


def test_a_reference_that_is_none(tree: Tree) -> None:
    text = '// Upper\nstruct High {\n  let a = "Upper", b = Base.Upper.self, c = /"Upper/\n}\n'
    tree.put("Sources/High/High.swift", text)
    assert tree.check() == (0, [])


def test_a_folder_without_a_place(tree: Tree) -> None:
    tree.put("Sources/High/New/New.swift", "")
    tree.put("Sources/Low/New/New.swift", "")
    tree.put("Sources/Middle/New/New.swift", "")
    tree.assert_found(
        *(
            f"Sources/{module}/New/New.swift: the folders of {module} in layers.toml have no "
            "place for it"
            for module in ("Low", "Middle", "High")
        )
    )


# MARK: The document


def test_a_document_that_is_not_current(tree: Tree) -> None:
    tree.put("Sources/High/Upper/Other.swift", "\n")
    status, found = tree.check()
    assert status == 1
    assert found == [f"{layers.DOCUMENT}: {layers.STALE}"]
    assert tree.check("--write") == (0, [])
    assert "| `High/Upper` | upper | 2 |" in (tree.root / layers.DOCUMENT).read_text()


def test_a_small_change_leaves_the_document_current(tree: Tree) -> None:
    tree.put("Sources/High/Upper/Upper.swift", "\n" * 1000)
    assert tree.check("--write") == (0, [])
    tree.put("Sources/High/Upper/Upper.swift", "\n" * 1090)
    assert tree.check() == (0, [])
    tree.put("Sources/High/Upper/Upper.swift", "\n" * 1200)
    assert tree.check()[0] == 1


# MARK: Counts


def test_counts(tree: Tree) -> None:
    tree.put("Sources/Low/Box.swift", "extension Low: @unchecked Sendable {" + "\n" * 399 + "}\n")
    tree.put("Sources/Beside/Address.swift", "// sun_family = 1\n  address.sun_family = 1\n")
    status, lines = tree.check("--counts")
    assert status == 0
    assert lines == [
        "@unchecked Sendable in Sources: 1",
        "files over 400 lines in Sources and tools/python/src: 0",
        "types over 400 lines over all extensions: 1",
        "    401  Low: Low",
        "places in Swift that fill a sockaddr_un: 1",
        "         Sources/Beside/Address.swift:2",
    ]
