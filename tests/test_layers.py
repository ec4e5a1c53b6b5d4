"""Imports point one way, files stay short, and the core stays small."""

import ast
import io
import pathlib
import tokenize

import pytest

import taut

ROOT = pathlib.Path(taut.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# An import goes to a lower rank, or stays inside its own package.
RANK = {
    "core": 0,
    "nn": 1,
    "data": 1,
    "train": 1,
    "report": 1,
    "checkpoint": 1,
    "testing": 1,
    "densities": 1,
    "kernels": 1,
    "samplers": 1,
    "objectives": 1,
    "recipes": 2,
    "evidence": 2,
    "information": 2,
    "interop": 2.5,  # hands other libraries' models to `evidence`
    "papers": 3,
    "cli": 4,
}
# Modules at the top that others stand on, or that stand on everything.
RANK |= {"brief": 0.5, "schedules": 0.5, "distributed": 0.5, "leave_one_out": 0.5}
RANK |= {"rundir": 1.5, "tensorboard": 1, "evaluation": 2}

# The most that a file may hold, and the core's budget of code.
LONGEST = 300
CORE_BUDGET = 500


def package(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(path):
    """The packages of ours that a file imports, wherever in the file."""
    here = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - (node.level - 1)]
            names = [node.module] if node.module else [a.name for a in node.names]
            for name in names:
                yield node.lineno, (*base, *name.split("."))[0]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.split(".")[0] == "taut":
                yield node.lineno, (*node.module.split("."), "taut")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "taut":
                    yield node.lineno, (*alias.name.split("."), "taut")[1]


def test_imports_point_one_way():
    wrong = []
    for path in FILES:
        source = package(path)
        if source == "__init__":
            continue
        assert source in RANK, f"{source}: give it a rank in tests/test_layers.py"
        for line, target in imported(path):
            if target != source and not RANK[target] < RANK[source]:
                where = f"{path.relative_to(ROOT)}:{line}"
                wrong.append(f"{where}: {source} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_files_are_short():
    lengths = {p: len(p.read_text().splitlines()) for p in FILES}
    long = {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > LONGEST}
    assert not long, f"files of more than {LONGEST} lines: {long}"


def code_lines(path):
    """Lines with code: neither blank, nor comments, nor docstrings."""
    text = path.read_text()
    docstrings = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    space = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
    space |= {tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in space:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_the_core_stays_small():
    counts = {p.name: code_lines(p) for p in FILES if package(p) == "core"}
    total = sum(counts.values())
    print(total, counts)
    assert total <= CORE_BUDGET, f"{total} lines of code in core: {counts}"


HEAVY = {"blackjax", "flowjax", "tyro", "matplotlib", "rich"}


LIBRARY = [path for path in FILES if package(path) != "cli"]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_imports_are_made_where_they_are_used(path):
    """The training path runs without them."""
    for node in ast.parse(path.read_text()).body:
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
        assert not {name.split(".")[0] for name in names} & HEAVY
