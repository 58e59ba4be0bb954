"""Fingerprints: equal for systems that compute the same, different when anything they compute with differs."""

import copy
import functools
import os
import pickle
import subprocess
import sys
import threading
import types
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

import dynet
from dynet.systems.digests import Digests
from dynet.systems.fingerprint import fingerprint

networks, zoo = dynet.networks, dynet.zoo


def digest_of(value):
    """The digest of any value, as a part of a system."""
    digests = Digests()
    digest = digests.of("value", value)
    assert digests.unknown == []
    return digest


def made(source, **names):
    """The function f that source text defines, with these global names."""
    namespace = dict(names)
    exec(compile(source, "<written here>", "exec"), namespace)
    return namespace["f"]


W = np.random.default_rng(0).standard_normal((3, 3))


def own_module(gain=2.0, unused=1.0):
    module = types.ModuleType("own_module")
    vars(module).update(gain=gain, unused=unused, __file__="/somewhere/own_module.py")
    return module


class Numbers(NamedTuple):
    a: float
    b: float


@dataclass
class Settings:
    a: float
    names: tuple


class Slotted:
    __slots__ = ("W",)

    def __init__(self, W):
        self.W = W


class Step:
    """A callable of one's own."""

    def __init__(self, W, **more):
        self.W = W
        self.__dict__.update(more)

    def __call__(self, t, x, u, p):
        return self.W @ x

    def step(self, t, x, u, p):
        return self.W @ x

    @functools.cached_property
    def norm(self):
        return np.linalg.norm(self.W)


def closure(W, scale=1.0):
    def f(x):
        return scale * (W @ x)

    return f


def compiled(**options):
    @njit(**options)
    def f(x):
        return 2.0 * x

    return f


def recursive(n):
    def f(x):
        return x if x < n else f(x - 1)

    return f


def cyclic(last):
    entries = [1, 2]
    entries.append({"self": entries, "last": last})
    return entries


# pairs of makers: each made twice is equal, the two differ
DIFFERENT = {
    "code": (lambda: made("f = lambda x: x + 1"), lambda: made("f = lambda x: x - 1")),
    "constants": (lambda: made("f = lambda x: x + 1"), lambda: made("f = lambda x: x + 2")),
    "constants of other types": (lambda: made("f = lambda x: x + 1"), lambda: made("f = lambda x: x + 1.0")),
    "inner functions": (
        lambda: made("f = lambda x: (lambda y: y)(x)"),
        lambda: made("f = lambda x: (lambda y: -y)(x)"),
    ),
    "names": (lambda: made("def f(x): return x.real"), lambda: made("def f(x): return x.imag")),
    "defaults": (lambda: made("def f(x, a=1): return a * x"), lambda: made("def f(x, a=2): return a * x")),
    "keyword defaults": (lambda: made("def f(x, *, a=1): return x"), lambda: made("def f(x, *, a=2): return x")),
    "closures": (lambda: closure(W), lambda: closure(W + 1e-15)),
    "plain closures": (lambda: closure(W), lambda: closure(W, 2.0)),
    "global arrays": (lambda: made("f = lambda x: W @ x", W=W), lambda: made("f = lambda x: W @ x", W=-W)),
    "globals of inner functions": (
        lambda: made("f = lambda x: [a * y for y in x]", a=1),
        lambda: made("f = lambda x: [a * y for y in x]", a=2),
    ),
    "global functions": (lambda: made("f = lambda x: g(x)", g=np.sin), lambda: made("f = lambda x: g(x)", g=np.cos)),
    "own global functions": (
        lambda: made("f = lambda x: g(x)", g=closure(W)),
        lambda: made("f = lambda x: g(x)", g=closure(-W)),
    ),
    "own modules": (
        lambda: made("f = lambda x: m.gain * x", m=own_module()),
        lambda: made("f = lambda x: m.gain * x", m=own_module(gain=3.0)),
    ),
    "compiled code": (lambda: njit(made("f = lambda x: x + 1")), lambda: njit(made("f = lambda x: x + 2"))),
    "compiled and not": (lambda: njit(made("f = lambda x: x + 1")), lambda: made("f = lambda x: x + 1")),
    "options of the compiler": (compiled, lambda: compiled(fastmath=True)),
    "recursive functions": (lambda: recursive(1), lambda: recursive(2)),
    "callables": (lambda: Step(W), lambda: Step(-W)),
    "attributes of callables": (lambda: Step(W), lambda: Step(W, gain=1.0)),
    "methods": (lambda: Step(W).step, lambda: Step(W).__call__),
    "methods of others": (lambda: Step(W).step, lambda: Step(-W).step),
    "classes": (
        lambda: type("Own", (), {"f": made("f = lambda self: 1")}),
        lambda: type("Own", (), {"f": made("f = lambda self: 2")}),
    ),
    "members of classes": (lambda: type("Own", (), {"gain": 1}), lambda: type("Own", (), {"gain": 2})),
    "properties": (
        lambda: type("Own", (), {"f": property(made("f = lambda self: 1"))}),
        lambda: type("Own", (), {"f": property(made("f = lambda self: 2"))}),
    ),
    "static methods": (
        lambda: type("Own", (), {"f": staticmethod(made("f = lambda: 1"))}),
        lambda: type("Own", (), {"f": staticmethod(made("f = lambda: 2"))}),
    ),
    "base classes": (
        lambda: type("Own", (type("Base", (), {"gain": 1}),), {}),
        lambda: type("Own", (type("Base", (), {"gain": 2}),), {}),
    ),
    "slots": (lambda: Slotted(W), lambda: Slotted(-W)),
    "dataclasses": (lambda: Settings(1.0, ("a",)), lambda: Settings(1.0, ("b",))),
    "namedtuples": (lambda: Numbers(1.0, 2.0), lambda: Numbers(2.0, 1.0)),
    "namedtuples and tuples": (lambda: Numbers(1.0, 2.0), lambda: (1.0, 2.0)),
    "partials": (lambda: functools.partial(closure(W), x=1), lambda: functools.partial(closure(W), x=2)),
    "wrapped functions": (lambda: functools.cache(closure(W)), lambda: functools.cache(closure(-W))),
    "values": (lambda: W.copy(), lambda: np.nextafter(W, 9)),
    "dtypes": (lambda: W.astype(np.float32), lambda: W.astype(np.float32).astype(float)),
    "shapes": (lambda: W, lambda: W.reshape(1, 9)),
    "byte orders": (lambda: np.arange(3, dtype="<i4"), lambda: np.arange(3, dtype=">i4")),
    "arrays of objects": (lambda: np.array([W, "a"], object), lambda: np.array([W, "b"], object)),
    "integers and floats": (lambda: 1, lambda: 1.0),
    "flags and integers": (lambda: True, lambda: 1),
    "signs of zero": (lambda: 0.0, lambda: -0.0),
    "words and bytes": (lambda: "a", lambda: b"a"),
    "places": (lambda: [["a"], "b"], lambda: [["a", "b"]]),
    "keys": (lambda: {"a": 1, "b": 2}, lambda: {"a": 2, "b": 1}),
    "sets": (lambda: {"a", "b"}, lambda: {"a", "c"}),
    "slices": (lambda: slice(1, 2), lambda: slice(1, 3)),
    "cycles": (lambda: cyclic(1), lambda: cyclic(2)),
    "references": (lambda: weakref.ref(LIVING), lambda: weakref.ref(STILL_LIVING)),
}
LIVING, STILL_LIVING = Step(W), Step(-W)


@pytest.mark.parametrize("what", DIFFERENT)
def test_digests_tell_what_differs_and_only_that(what):
    one, other = DIFFERENT[what]
    assert digest_of(one()) == digest_of(one())
    assert digest_of(other()) == digest_of(other())
    assert digest_of(one()) != digest_of(other())


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)


def written(value):
    """All that distinguishes plain values: floats to the last bit, keys in order of their names."""
    if isinstance(value, float):
        return f"{value.hex()}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{written(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return type(value).__name__ + "(" + ",".join(map(written, value)) + ")"
    return repr(value)


@given(PLAIN, PLAIN)
def test_digests_of_plain_values_are_equal_exactly_when_the_values_are(a, b):
    assert (digest_of(a) == digest_of(b)) == (written(a) == written(b))
    assert digest_of(a) == digest_of(copy.deepcopy(a))


@given(st.permutations(["a", "b", "c", "d"]), st.booleans())
def test_order_of_keys_and_sharing_of_objects_do_not_count(order, shared):
    values = {name: W if shared else W.copy() for name in order}
    assert digest_of(values) == digest_of({name: W for name in "abcd"})
    assert digest_of(set(order)) == digest_of(set("abcd"))


def test_order_in_memory_and_numpys_own_scalars_do_not_count():
    assert digest_of(np.asfortranarray(W)) == digest_of(W) == digest_of(np.repeat(W, 2, axis=1)[:, ::2])
    assert digest_of((np.float64(0.1), np.int64(3), np.bool_(True))) == digest_of((0.1, 3, True))
    assert digest_of(np.float32(0.1)) != digest_of(0.1)


def test_what_is_cached_or_not_read_does_not_count():
    one, other = Step(W), Step(W)
    assert other.norm > 0  # computes and keeps it
    assert digest_of(one) == digest_of(other)
    assert digest_of(made("f = lambda x: m.gain * x", m=own_module())) == digest_of(
        made("f = lambda x: m.gain * x", m=own_module(unused=5.0), unread=W)
    )


def test_functions_that_have_run_are_what_they_were():
    f = made("def f(x):\n    for i in range(x):\n        a = [y + 1 for y in (i, 2)]\n    return a")
    before = digest_of(f)
    for _ in range(100):  # the interpreter specialises code that runs often
        f(20)
    assert digest_of(f) == before


@pytest.mark.parametrize(
    ("thing", "kind"),
    [
        (threading.Lock(), "lock"),
        (np.random.default_rng(0), "a random generator, whose draws a new process does not continue"),
        (np.random.RandomState(0), "a random generator"),
        ((i for i in range(3)), "generator"),
    ],
)
def test_what_cannot_be_looked_into_is_listed_with_its_place(thing, kind):
    def step(t, x, u, p):
        return x if thing else -x

    found = fingerprint(dynet.Map(step, params={"tools": [thing]}))
    assert len(found.unknown) == 1  # one object, wherever it stands
    assert found.unknown[0].startswith("step > thing: ")
    assert kind in found.unknown[0]
    other = fingerprint(dynet.Map(step, params={"tools": [thing], "W": W}))
    assert other.parts["step"] == found.parts["step"]
    assert other.digest != found.digest


def systems():
    """Systems of every kind, made anew."""
    flow = zoo.lorenz63()
    return {
        "_henon_step": zoo.henon(),
        "_lorenz_rhs": flow,
        "_lorenz_rhs, map": flow.to_map(0.01),
        "_lorenz_rhs, driven": flow.with_input([1.0]).to_map(0.01),
        "tanh RNN": networks.tanh_rnn(W),
        "relu RNN": networks.relu_rnn(W),
        "tanh RNN, driven": networks.tanh_rnn(W, np.ones((3, 1))).with_input([0.5]),
        "tanh RNN, 2 layers": networks.tanh_rnn([W, W], [np.ones((3, 1)), W]),
        "LSTM": networks.lstm(np.ones((12, 3))),
        "LSTM, hidden state at frozen memory": networks.lstm(np.ones((12, 3)), state="hidden"),
        "GRU, torch form": networks.gru(np.ones((9, 3))),
        "GRU, paper form": networks.gru(np.ones((9, 3)), form="paper"),
        "GRU, torch form, flow": networks.gru_flow(np.ones((9, 3))),
        "GRU, torch form, flow, slower": networks.gru_flow(np.ones((9, 3)), tau=2.0),
        "JacobianSequenceStep": dynet.Map.from_jacobians(np.stack([W, W])),
        "FeedforwardStep": networks.feedforward([W, W]),
        "step": dynet.Map(Step(W).step, "finite_difference"),
        "step, other scale": dynet.Map(Step(W).step, dynet.finite_difference(Step(W).step, scale=2.0)),
        "<lambda>": dynet.Flow.from_ode(lambda t, y, k: -k * y, (1.0,), jac="finite_difference").to_map(0.1),
    }


def test_systems_have_names_and_one_fingerprint_each():
    found = {name: fingerprint(system) for name, system in systems().items()}
    again = {name: fingerprint(system) for name, system in systems().items()}
    for name, print_ in found.items():
        assert name.startswith(print_.name)
        assert print_ == again[name]
        assert print_.unknown == ()
    assert len({print_.digest for print_ in found.values()}) == len(found)


@pytest.mark.parametrize("name", [name for name in systems() if name != "<lambda>"])
def test_systems_that_were_pickled_keep_their_fingerprint(name):
    system = systems()[name]
    assert fingerprint(pickle.loads(pickle.dumps(system))) == fingerprint(system)


def test_an_analysis_leaves_the_fingerprint_as_it_was():
    for system, n in ((zoo.henon(), 2), (networks.tanh_rnn(W), 3), (dynet.Map(Step(W), "finite_difference"), 3)):
        before = fingerprint(system)
        dynet.lyapunov_spectrum(system, np.full(n, 0.1), 20)
        assert fingerprint(system) == before


def test_names_of_units_and_time_do_not_count_but_everything_else_does():
    system = networks.tanh_rnn(W)
    base = {"jac": system.jac, "linearize": system.linearize, "params": system.params, "vectorized": True}
    whole = fingerprint(dynet.Map(system.step, **base)).digest
    assert fingerprint(system).digest == whole
    assert fingerprint(dynet.Map(system.step, **base, units=list("abc"), time_unit="ms")).digest == whole
    for change in ({"dt": 0.5}, {"params": ()}, {"vectorized": False}, {"linearize": None}):
        assert fingerprint(dynet.Map(system.step, **{**base, **change})).digest != whole
    flow = zoo.lorenz63()
    maps = [flow.to_map(0.01), flow.to_map(0.02), flow.to_map(0.01, "euler"), zoo.lorenz63(rho=20.0).to_map(0.01)]
    parts = [fingerprint(system).parts for system in maps]
    changed = [{name for name in parts[0] if parts[0][name] != other[name]} for other in parts[1:]]
    assert changed == [{"dt"}, {"method"}, {"params"}]
    assert parts[0]["params"].text == "LorenzParameters(sigma=10.0, rho=28.0, beta=2.6666666666666665)"


def test_other_processes_find_the_same(tmp_path):
    code = """
import numpy as np, dynet
from dynet.systems.fingerprint import fingerprint
W = np.eye(2)
names = {"one", "two", "three", "four"}
class Own:
    gains = {"b": 1.0, "a": 2.0}
    def __call__(self, t, x, u, p): return self.gains["a"] * helper(x)
def helper(x): return W @ x if "one" in {"two", "three"} | names else x
print(fingerprint(dynet.Map(Own(), "finite_difference")).digest, fingerprint(dynet.zoo.henon()).digest)
"""
    (tmp_path / "script.py").write_text(code)
    root = str(Path(dynet.__file__).parent.parent)
    found = set()
    for seed, arguments in (("1", ["-c", code]), ("2", [str(tmp_path / "script.py")])):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        found.add(subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=environment).stdout)
    assert len(found) == 1
