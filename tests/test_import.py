"""`import dynet` is quick and loads nothing heavy; every public name is there."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import dynet

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "dynet" / "__init__.pyi"
HEAVY = ("torch", "dask", "distributed", "zarr", "matplotlib.pyplot", "numba")
LIMIT = 0.3  # seconds


def run_python(code):
    """Run `code` in a new interpreter and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def loaded_by(statement, names):
    """Return those of `names` that are loaded after `statement` has run in a new interpreter."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {tuple(names)!r} if name in sys.modules])"
    return run_python(code).split()


def seconds_of(statement, runs=5):
    """Return the shortest time that `statement` takes in a new interpreter."""
    code = f"import time\nstart = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    return min(float(run_python(code)) for _ in range(runs))


def stub_names(source):
    """Return the names that a stub promises: imported, declared or listed in `__all__`."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            names.update(ast.literal_eval(node.value))
    return names


def missing_names(module, names):
    """Return those of `names` that `module` does not have when it is imported afresh for each of them.

    A lazy name may resolve only because another one was asked for before.
    """
    code = f"""
import importlib, sys
for name in {sorted(names)!r}:
    for loaded in [key for key in sys.modules if key.partition(".")[0] == {module!r}]:
        del sys.modules[loaded]
    if not hasattr(importlib.import_module({module!r}), name):
        print(name)
"""
    return run_python(code).split()


def test_import_loads_nothing_heavy():
    assert loaded_by("import dynet", HEAVY) == []


def test_import_is_quick():
    assert seconds_of("import dynet") < LIMIT


def test_every_name_of_all_and_of_the_stub_resolves():
    names = stub_names(STUB.read_text(encoding="utf-8"))
    assert names
    assert dynet.__all__
    assert missing_names("dynet", names.union(dynet.__all__)) == []


def test_all_and_stub_agree():
    assert set(dynet.__all__) <= stub_names(STUB.read_text(encoding="utf-8")) | {"__version__"}


def test_version_is_that_of_the_distribution():
    assert dynet.__version__ == version("dynet-analysis")


@pytest.mark.parametrize("group", ["test", "docs", "dev"])
def test_dependency_groups_are_mirrored_as_extras(group):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["dependency-groups"][group] == settings["project"]["optional-dependencies"][group]


def test_loaded_by_sees_what_is_loaded():
    assert loaded_by("import decimal", ("decimal", "fractions_of_nothing")) == ["decimal"]


def test_seconds_of_sees_a_slow_statement():
    assert seconds_of("time.sleep(0.05)", runs=2) >= 0.05


def test_stub_names_and_missing_names():
    stub = "from . import zoo as zoo\nfrom .a import b, c as d\nx: int\ndef f() -> int: ...\n__all__ = ['e']"
    assert stub_names(stub) == {"zoo", "b", "d", "x", "f", "e"}
    assert missing_names("json", {"dumps", "no_such_name"}) == ["no_such_name"]


def test_missing_names_imports_afresh(tmp_path, monkeypatch):
    package = tmp_path / "lazy_package"
    package.mkdir()
    package.joinpath("leaf.py").touch()
    # `leaf` becomes an attribute only once `a_opener` has been asked for
    package.joinpath("__init__.py").write_text(
        "def __getattr__(name):\n"
        "    if name == 'a_opener':\n"
        "        from lazy_package import leaf\n"
        "        return leaf\n"
        "    raise AttributeError(name)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert missing_names("lazy_package", {"a_opener", "leaf"}) == ["leaf"]


def test_kernels_work_where_nothing_can_be_kept_on_disk():
    program = """
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []
import numpy as np
import dynet
from dynet.kernels.caching import CACHE
J = np.broadcast_to(np.diag([2.0, 0.5]), (3, 2, 2))
ds = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, 3, frame="lu")
print(CACHE, round(float(ds.lyapunov_exponent.sum()), 12) + 0.0)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "0.0"]
