"""Read what the files of the package import and which variables they read, without running them."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

# Ground first; a file imports only from floors below its own, or from its own folder.
FLOORS = {
    "gptlib": [
        *("errors", "files", "config", "environment"),
        *("tokenizer", "attention", "block", "loss", "model", "generation", "kv_cache"),
        *("inference", "data", "training", "planning", "pretrained"),
        *("finetuning", "classification", "lora", "plots", "commands"),
        *("options", "cli", "__main__"),
    ],
    # It imports gptlib, and nothing of gptlib imports it.
    "gptcourse": [
        *("errors", "paths", "setup", "drawings", "exercises", "reference_runs", "pages"),
        *("notebooks", "grading", "cli", "__main__"),
    ],
}
CORE = ("config", "attention", "block", "loss", "model")
CORE_MAY_IMPORT = {"torch"}
WITHOUT_TORCH = ("errors", "files", "plots", "options", "cli", "setup", "drawings", "notebooks")
# "" is gptlib/__init__.py, which sets how torch's threads wait, before torch is imported.
READ_VARIABLES = ("", "environment")
STANDARD = sys.stdlib_module_names


def complaints(package: Path) -> list[str]:
    """Return what breaks a rule of the house in one of the packages; empty when nothing does."""
    files = sorted(package.rglob("*.py"))
    graph = {module_of(path, package): list(imports(path, package)) for path in files}
    found: list[str] = []
    for path in files:
        module = module_of(path, package)
        found += [f"{module}: {line}" for line in _imports_upward(module, graph[module])]
        found += [f"{module}: {line}" for line in _foreign(module, graph[module])]
        found += [f"{module}: {line}" for line in _variables(module, path)]
        if package.name == "gptlib":
            found += [f"{module}: {line}" for line in _across_the_seam(path)]
        if "cli" not in module.split("."):  # the command line starts fast
            found += [f"{module}: {line}" for line in _inside_functions(path)]
    return found + [f"a circle: {' → '.join(circle)}" for circle in circles(graph)]


def module_of(path: Path, package: Path) -> str:
    """Return a file's dotted name."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor_of(module: str) -> str:
    """Return the floor on which a module of the package lives; the package itself has none."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path, package: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, modules of the package named in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # the house writes names in full
                base = f"{package.name}.{'.' * node.level}{base}"
            for alias in node.names:
                inner = package.parent.joinpath(*base.split("."), alias.name)
                known = inner.is_dir() or inner.with_suffix(".py").is_file()
                yield f"{base}.{alias.name}" if known else base


def _imports_upward(module: str, imported: list[str]) -> Iterator[str]:
    package, own = module.split(".")[0], floor_of(module)
    floors = FLOORS[package]
    if own and own not in floors:
        yield f"stands on no floor: give {own} its place in tests/floors.py"
        return
    for name in imported:
        floor = floor_of(name) if name.startswith(f"{package}.") else ""
        if floor and not own:
            yield f"imports {name}: the package itself imports nothing"
        elif name.startswith(f"{package}..") or (floor and floor not in floors):
            yield f"imports {name}, which is on no floor: write the module's full name"
        elif floor and floor != own and floors.index(floor) > floors.index(own):
            yield f"imports upward: {name}"


def _across_the_seam(path: Path) -> Iterator[str]:
    """Yield where a file of gptlib names the course, which stands on it, or reads its material."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for name in re.findall(r"gptcourse|\bassets/recordings|\"assets\"|\bnotebooks[/\"]", line):
            yield f"line {number} names {name}, which is the course's"


def _foreign(module: str, imported: list[str]) -> Iterator[str]:
    floor = floor_of(module)
    tops = {name.split(".")[0] for name in imported} - STANDARD - set(FLOORS)
    if floor in CORE and tops - CORE_MAY_IMPORT:
        yield f"the model core imports {', '.join(sorted(tops - CORE_MAY_IMPORT))}"
    if (floor in WITHOUT_TORCH or not floor) and "torch" in tops:
        yield "imports torch"


def _variables(module: str, path: Path) -> Iterator[str]:
    """Yield uses of the environment outside the files that may."""
    if floor_of(module) in READ_VARIABLES:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
            yield f"line {node.lineno} reads an environment variable"


def _inside_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom) and (inner.module or "").startswith("gpt"):
                    yield f"line {inner.lineno} imports from {inner.module} inside a function"


def circles(graph: dict[str, list[str]]) -> list[list[str]]:
    """Return circles of imports between files: empty if and only if there is none."""
    found: list[list[str]] = []
    left: set[str] = set()  # all that they lead to has been walked

    def walk(module: str, trail: list[str]) -> None:
        if module in trail:
            found.append(trail[trail.index(module) :])
        elif module not in left:
            for name in graph.get(module, []):
                if name != module:
                    walk(name, [*trail, module])
            left.add(module)

    for module in graph:
        walk(module, [])
    return found
