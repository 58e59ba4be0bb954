"""The floors of the house: imports only go down, and never sideways between rooms of one floor.

A room is a folder or a module directly under dynet/. The imports are read from the source, so those
inside functions and those for type checkers count too.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "dynet"

FLOORS = (
    {"errors", "typing", "_files", "_optional", "_progress"},
    {"kernels", "_labels", "_validate"},
    {"systems"},
    {"lyapunov", "variational", "fractional", "adaptation"},
    {"orbits", "propagation", "io"},
    {"torch", "tasks", "sweeps", "plot"},
    {"reporting"},
    {"cli"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
IMPORT_FUNCTIONS = {"import_module", "import_optional", "__import__"}


def imported_names(source, path):
    """Yield (line, absolute dotted name) of everything that the file at `path` (from dynet/ on) imports.

    ``from a.b import c`` gives ``a.b.c``, whether c is a module or not.
    """
    folders = path.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = folders[: len(folders) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in IMPORT_FUNCTIONS and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def room_of(path):
    return path.split("/")[1].partition(".")[0]


def fault_of(room, name):
    """Say what is wrong when `room` imports `name`; None if nothing is."""
    package, *rest = name.split(".")
    if package == "torch":
        return None if room == "torch" else "torch is imported only in dynet/torch/"
    if package != "dynet" or room == "cli" or rest == ["__version__"]:
        return None
    target = rest[0] if rest else ""
    if target not in FLOOR_OF:
        return f"'{name}' is not in a room: the public names stand above all floors"
    if target == room or FLOOR_OF[target] < FLOOR_OF[room]:
        return None
    direction = "sideways" if FLOOR_OF[target] == FLOOR_OF[room] else "up"
    return f"'{name}' goes {direction} (floor {FLOOR_OF[room]} to {FLOOR_OF[target]})"


def layer_faults(sources):
    """Return one sentence for each fault in `sources`, a mapping of paths (from dynet/ on) to texts."""
    faults = []
    for path, source in sorted(sources.items()):
        if path in ("dynet/__init__.py", "dynet/__init__.pyi"):
            continue
        room = room_of(path)
        if room not in FLOOR_OF:
            faults.append(f"{path}: the room '{room}' has no floor; give it one in FLOORS")
            continue
        for line, name in imported_names(source, path):
            if fault := fault_of(room, name):
                faults.append(f"{path}:{line}: {fault}")
    return faults


def top_faults(source):
    """Return the imports of rooms in the top `__init__`, where only the lazy loader may bring them."""
    return [
        f"dynet/__init__.py:{line}: '{name}' is imported, not loaded lazily"
        for line, name in imported_names(source, "dynet/__init__.py")
        if name.split(".")[0] == "dynet"
    ]


@pytest.fixture(scope="module")
def sources():
    return {
        path.relative_to(PACKAGE.parent).as_posix(): path.read_text(encoding="utf-8")
        for pattern in ("*.py", "*.pyi")
        for path in PACKAGE.rglob(pattern)
    }


def test_imports_only_go_down(sources):
    assert "dynet/errors.py" in sources
    assert layer_faults(sources) == []


def test_top_init_imports_no_room(sources):
    assert top_faults(sources["dynet/__init__.py"]) == []


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("dynet/kernels/qr.py", "from dynet.systems import Map", "goes up (floor 1 to 2)"),
        ("dynet/kernels/qr.py", "from .. import systems", "goes up"),
        ("dynet/kernels/deep/qr.py", "from ...systems.map import Map", "goes up"),
        ("dynet/kernels/__init__.py", "from ..systems import Map", "goes up"),
        ("dynet/kernels/qr.py", "from .._labels import label", "goes sideways"),
        ("dynet/_validate.py", "from . import _labels", "goes sideways"),
        ("dynet/io.py", "from .orbits.floquet import multipliers", "goes sideways"),
        (
            "dynet/lyapunov/spectrum.py",
            "def f():\n    import dynet.plot.spectrum",
            ":2: 'dynet.plot.spectrum' goes up",
        ),
        ("dynet/systems/map.py", "if TYPE_CHECKING:\n    from ..lyapunov import spectrum", "goes up"),
        (
            "dynet/systems/map.py",
            "import importlib\nimportlib.import_module('dynet.io')",
            ":2: 'dynet.io' goes up",
        ),
        ("dynet/systems/map.py", "import dynet", "public names"),
        ("dynet/systems/map.py", "from dynet import Map", "public names"),
        ("dynet/systems/map.py", "from .. import *", "public names"),
        ("dynet/systems/map.py", "import torch", "only in dynet/torch/"),
        ("dynet/systems/map.py", "from torch import nn", "only in dynet/torch/"),
        (
            "dynet/tasks/images.py",
            "from .._optional import import_optional\nimport_optional('torch.nn')",
            "only in",
        ),
        ("dynet/attic/old.py", "", "has no floor"),
    ],
)
def test_faults_are_caught(path, source, expected):
    (fault,) = layer_faults({path: source})
    assert fault.startswith(path)
    assert expected in fault


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "dynet/systems/map.py",
            "from ..kernels.rk import rk4\nfrom .operators import Dense\nfrom . import cells",
        ),
        ("dynet/systems/__init__.py", "from .map import Map\nfrom .. import _validate, typing"),
        ("dynet/io.py", "from .errors import InputError\nfrom ._labels import label\nimport typing, io"),
        ("dynet/torch/adapter.py", "import torch\nfrom torch import nn\nfrom ..systems.map import Map"),
        ("dynet/kernels/frames.py", "import scipy.linalg\nfrom array_api_compat import array_namespace"),
        ("dynet/_labels.py", "from dynet import __version__"),
        ("dynet/cli.py", "import dynet\nfrom dynet.reporting import report\nfrom .plot import spectrum"),
    ],
)
def test_allowed_imports_pass(path, source):
    assert layer_faults({path: source}) == []


@pytest.mark.parametrize(
    "source",
    [
        "from .systems import Map",
        "import dynet.io",
        "from . import zoo",
        "def f():\n    from dynet import io",
    ],
)
def test_top_faults_are_caught(source):
    (fault,) = top_faults(source)
    assert "not loaded lazily" in fault


def test_lazy_top_init_passes():
    assert top_faults("import lazy_loader\nfrom importlib.metadata import version") == []
