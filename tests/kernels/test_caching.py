"""What is kept on disk: code of functions that cannot be taken for one another."""

import ast
from pathlib import Path

import dynet

PACKAGE = Path(dynet.__file__).parent


def cached_inside_functions(source):
    """Return the lines of functions with ``cache=`` among their decorators that stand inside other functions."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    inner = [node for outer in functions for node in ast.walk(outer) if isinstance(node, ast.FunctionDef)]
    return sorted(
        {
            node.lineno
            for node in inner
            if inner.count(node) > 1  # inside another one, and itself
            for decorator in node.decorator_list
            if isinstance(decorator, ast.Call) and any(keyword.arg == "cache" for keyword in decorator.keywords)
        }
    )


def test_no_kernel_that_is_kept_shares_its_name_with_others():
    # such functions differ by numbers in their closures, and what was kept of one has been linked for another
    found = {path.name: cached_inside_functions(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_check_sees_them():
    source = "def make(w):\n    @njit(cache=CACHE)\n    def f():\n        return w\n    return f\n"
    assert cached_inside_functions(source) == [3]
    assert cached_inside_functions("@njit(cache=CACHE)\ndef f():\n    return 1\n") == []
