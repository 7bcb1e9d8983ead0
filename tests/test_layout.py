"""The shape of the project: which module knows which, how long things are, and what importing brings in."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

import cdq
from tests.rooms import ROOMS, floors

PACKAGE = Path(cdq.__file__).parent
TESTS = Path(__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__main__.py"  # the door, which is no room
}

# The package's names, and what starts the command line: no rooms.
DOORS = {"__init__", "__main__"}

# What only one room imports, or two, and nothing on `import cdq`.
RESERVED = {
    "gymnasium": {"envs"},
    "click": {"cli"},
    "rich_click": {"cli"},
    "rich": {"cli", "training"},
    "safetensors": {"storage"},
    "pytest": {"testing"},
    "mpi4py": {"comm"},
    "zmq": {"comm"},
    "minari": {"offline"},
    "cloudpickle": {"envs"},
    "pandas": {"storage"},
    "matplotlib": {"plot"},
    "keras": {"qfunctions"},
    "tensorflow": {"qfunctions"},
    "tensorboardX": {"training"},
}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports: anywhere in it, for type checkers too, and what it starts or loads by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}".removeprefix("cdq.") in MODULES
                yield f"{node.module}.{alias.name}" if inside else str(node.module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.partition(":")[0]
            if name.startswith("cdq.") and name.removeprefix("cdq.") in MODULES:
                yield name


def inside(imported: str) -> str:
    """Return the module that an import names, from the package on."""
    return "__init__" if imported == "cdq" else imported.removeprefix("cdq.")


def part(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


ARROWS = {
    module: {
        inside(imported)
        for imported in imports(ast.parse(path.read_text(encoding="utf-8")))
        if imported.split(".")[0] == "cdq"
    }
    - {module}
    for module, path in MODULES.items()
}


def test_every_room_is_in_the_table() -> None:
    assert {part(module) for module in MODULES} - DOORS == set(ROOMS)


def test_a_room_imports_what_the_table_allows() -> None:
    wrong = [
        f"{module} -> {imported}"
        for module, found in ARROWS.items()
        if module not in DOORS
        for imported in sorted(found)
        if part(imported) not in {part(module)} | ROOMS[part(module)].imports
    ]
    assert wrong == []


def test_the_table_allows_no_more_than_is_used() -> None:
    used = {(part(module), part(imported)) for module, found in ARROWS.items() for imported in found}
    assert [(room, name) for room in ROOMS for name in ROOMS[room].imports if (room, name) not in used] == []


def test_the_rooms_are_floors() -> None:
    """Each room imports rooms that stand before it in the table, on eight floors at most."""
    before: set[str] = {"__init__"}
    for name, room in ROOMS.items():
        assert room.imports <= before, name
        before.add(name)
    assert max(floors().values()) <= 8


def test_imports_have_no_circle() -> None:
    left = {module: found - {"__init__"} for module, found in ARROWS.items() if module != "__init__"}
    while ready := [module for module, found in left.items() if not found & left.keys()]:
        for module in ready:
            del left[module]
    assert left == {}


def test_the_core_knows_only_itself() -> None:
    pattern = re.compile(r"^\s*(?:from|import|cimport)\s+(cdq[\w.]*)", re.MULTILINE)
    kinds = {".py", ".pyi", ".pyx", ".pxd"}
    sources = [path for path in (PACKAGE / "core").rglob("*.p*") if path.suffix in kinds]
    found = {name for path in sources for name in pattern.findall(path.read_text(encoding="utf-8"))}
    assert {name for name in found if not name.startswith("cdq.core")} == set()


@pytest.mark.parametrize(("package", "homes"), RESERVED.items())
def test_each_package_is_imported_in_one_place(package: str, homes: set[str]) -> None:
    users = {
        part(module)
        for module, path in MODULES.items()
        for imported in imports(ast.parse(path.read_text(encoding="utf-8")))
        if imported.split(".")[0] == package
    }
    assert users == homes


def names_of(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module uses, and the types that it asks communicators for."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            yield node.id if isinstance(node, ast.Name) else node.attr
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            yield from (f"a {name.id}" for name in ast.walk(node.args[1]) if isinstance(name, ast.Name))


def test_one_place_tells_backends_apart() -> None:
    """Communicators apart, which are found by name: nobody else asks for the kind of a communicator."""
    asked = {"LOCAL_HUB", "is_spread", "is_hub", "a Communicator"}
    found = {
        module
        for module, path in MODULES.items()
        if part(module) not in {"comm", "testing"}
        and asked & set(names_of(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {"learner.backends"}


def loaded_by(code: str) -> set[str]:
    """Return the packages that *code* loads in a fresh process, beside the standard library."""
    script = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = {name.split(".")[0] for name in result.stdout.split()}
    return names - set(sys.stdlib_module_names)


def test_importing_imports_nothing_else() -> None:
    assert loaded_by("import cdq") - loaded_by("pass") == {"cdq"}


@pytest.mark.parametrize(
    "name",
    [
        "errors.ConfigError",
        "envs.CompiledEnv",
        "envs.spaces.Encoder",
        "envs.grids.GridWorld",
        "comm.connect",
        "comm.inprocess.InProcessCommunicator",
        "testing.run_in_threads",
        "features.TileCoding",
        "schedules.Constant",
        "mdp.MDP",
        "merges.NAMES",
        "plot.values",
        "offline",
        "cli.main",
    ],
)
def test_modules_are_reached_as_attributes(name: str) -> None:
    loaded_by(f"import cdq; cdq.{name}")


@pytest.mark.parametrize("name", ["nothing", "_private", "envs.nothing", "comm.nothing", "__wrapped__"])
def test_what_is_not_there_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"has no attribute '{name.rpartition('.')[2]}'"):
        attrgetter(name)(cdq)


def test_a_module_that_needs_what_is_not_installed_is_no_attribute() -> None:
    loaded_by("sys.modules['pytest'] = None; import cdq; assert not hasattr(cdq, 'testing')")


def test_dir_lists_what_there_is() -> None:
    listed = dir(cdq)
    assert {*cdq.__all__, "errors", "envs", "comm", "testing", "features", "schedules"} <= set(listed)
    assert listed == sorted(set(listed))
    assert all(hasattr(cdq, name) for name in listed)


def test_learning_imports_no_optional_package() -> None:
    loaded = loaded_by("import cdq; cdq.QLearner('FrozenLake-v1', workers=2, seed=0).learn(1000)")
    assert {"cdq", "numpy", "gymnasium"} <= loaded
    assert loaded.isdisjoint(
        {"mpi4py", "zmq", "matplotlib", "scipy", "numba", "pandas", "pytest", "rich", "tensorboardX", "keras"}
    )


def test_help_imports_what_it_is_drawn_with() -> None:
    """The help of each command: neither NumPy nor an environment, which take longer to load than all else."""
    loaded = loaded_by(
        "import contextlib, io; from cdq.cli import app, main; names = list(app._loaders)\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert not any([main(['--help']), *(main([name, '--help']) for name in names)])\n"
    )
    assert loaded.isdisjoint({"numpy", "gymnasium", "zmq", "mpi4py", "safetensors", "matplotlib"})


def test_pictures_import_matplotlib_when_one_is_drawn() -> None:
    assert loaded_by("import cdq; cdq.plot.values").isdisjoint({"matplotlib", "pandas", "scipy"})


# Lines that a file has at most. Sources of compiled modules are not installed: they are counted where they are.
LIMITS = {".py": 400, ".pyx": 320, ".pxd": 320, ".pyi": 320, ".h": 320}


def code_files() -> list[Path]:
    roots = {PACKAGE, TESTS.parent / "cdq", TESTS}
    return [path for root in sorted(roots) for path in sorted(root.rglob("*")) if path.suffix in LIMITS]


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in code_files()}
    assert {path.suffix for path in lengths} == set(LIMITS)
    assert {str(path): n for path, n in lengths.items() if n > LIMITS[path.suffix]} == {}


def test_functions_are_short() -> None:
    """A body without its docstring has 60 lines at most; in the package half of them have under 12."""
    lengths = {}
    for path in code_files():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    lengths[f"{path}:{node.lineno} {node.name}"] = body_lines(node)
    assert {name: n for name, n in lengths.items() if n > 60} == {}
    inside = sorted(n for name, n in lengths.items() if name.startswith(str(PACKAGE)))
    assert inside[len(inside) // 2] < 12


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_nothing_is_executed_that_was_read() -> None:
    """No pickle and no eval, in the package: files and messages are data; one module is for processes of one's own."""
    wrong = []
    for path in (path for name, path in MODULES.items() if name != "envs.by_value"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        banned = {"pickle", "marshal", "shelve", "dill", "cloudpickle"} & {
            name.split(".")[0] for name in imports(tree)
        }
        calls = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        wrong += [f"{path}: {name}" for name in banned | (calls & {"eval", "exec", "compile", "__import__"})]
    assert wrong == []


def test_every_compiled_module_has_a_stub() -> None:
    built = {path.parent / path.name.split(".")[0] for path in (PACKAGE / "core").rglob("*.so")}
    stubs = {path.with_suffix("") for path in (PACKAGE / "core").rglob("*.pyi")}
    assert built
    assert built == stubs


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_the_map_of_the_rooms_is_that_of_the_table() -> None:
    drawn = runpy.run_path(str(TESTS.parent / "docs" / "draw_rooms.py"))["draw"]()
    assert (TESTS.parent / "docs" / "rooms.svg").read_text(encoding="utf-8") == drawn, (
        "draw it again: python -m docs.draw_rooms"
    )


def test_the_pictures_of_the_explanations_are_those_that_are_drawn() -> None:
    for name, draw in runpy.run_path(str(TESTS.parent / "docs" / "draw_explanations.py"))["PICTURES"].items():
        committed = TESTS.parent / "docs" / "pictures" / f"{name}.svg"
        assert committed.read_text(encoding="utf-8") == draw(), (
            "draw them again: python -m docs.draw_explanations"
        )
