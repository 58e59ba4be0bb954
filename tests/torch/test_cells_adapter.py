"""from_cell and from_vector_field: any torch function, with its Jacobian by derivatives of torch."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import dynet
from dynet.errors import InputError
from dynet.systems.operators import assemble, transpose
from dynet.torch import from_cell, from_module, from_vector_field

M, H, S = 3, 4, 2
FORWARD = "matrix-free (forward mode)"
REVERSE = "matrix-free (reverse mode fallback)"


@pytest.fixture(autouse=True)
def double():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(torch.float32)


class NormCell(nn.Module):
    """A recurrent cell with layer normalisation, the usual reason to write one's own."""

    def __init__(self, n_inputs=M, size=H):
        super().__init__()
        self.inner = nn.Linear(size, size, bias=False)
        self.outer = nn.Linear(n_inputs, size)
        self.norm = nn.LayerNorm(size)

    def forward(self, x, hidden):
        return torch.tanh(self.norm(self.inner(hidden) + self.outer(x)))


class TupleCell(nn.Module):
    """A state of two parts of different size, read and returned as a tuple."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(M + 2, H), nn.Linear(H, 2)

    def forward(self, x, state):
        h, g = state
        g = torch.tanh(self.b(h) - 0.5 * g)
        return torch.tanh(self.a(torch.cat([x, g], -1))), g


class OutputCell(NormCell):
    def forward(self, x, hidden):
        h = super().forward(x, hidden)
        return h.sum(-1, keepdim=True), h


class PairCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(M, H)

    def forward(self, x, state):
        h, c = self.cell(x, state)
        return h, (h, c)


class NamedCell(TupleCell):
    """Arguments by the names of the parts, in an order of its own; a dict comes back."""

    def forward(self, g, h, stimulus):
        h, g = super().forward(stimulus, (h, g))
        return {"g": g, "h": h, "rate": h.exp()}


class StateCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(H, H)

    def forward(self, state):
        return torch.tanh(self.linear(state))


CASES = {
    "layer norm": (NormCell, {"h": H}, lambda cell, u, x: cell(u, x)),
    "gru": (lambda: nn.GRUCell(M, H), {"h": H}, lambda cell, u, x: cell(u, x)),
    "tuple": (TupleCell, {"h": H, "g": 2}, lambda cell, u, x: torch.cat(cell(u, (x[:, :H], x[:, H:])), -1)),
    "output and state": (OutputCell, H, lambda cell, u, x: cell(u, x)[1]),
    "output and pair": (
        PairCell,
        {"h": H, "c": H},
        lambda cell, u, x: torch.cat(cell(u, (x[:, :H], x[:, H:]))[1], -1),
    ),
    "lstm": (
        lambda: nn.LSTMCell(M, H),
        {"h": H, "c": H},
        lambda cell, u, x: torch.cat(cell(u, (x[:, :H], x[:, H:])), -1),
    ),
    "names": (
        NamedCell,
        {"g": 2, "h": H},
        lambda cell, u, x: torch.cat([(r := cell(x[:, :2], x[:, 2:], u))["g"], r["h"]], -1),
    ),
    "state alone": (StateCell, {"h": H}, lambda cell, u, x: cell(x)),
}


def exact_jacobian(step, x):
    """Return torch's dense Jacobian of every row."""
    return torch.stack([torch.func.jacrev(lambda row, s=s: step(row[None], s)[0])(x[s]) for s in range(len(x))])


def check(system, step, x, u):
    """Assert that step, products, transposed products, batches and single states are those of ``step``."""
    y, J = system.linearize(0.0, x, u, system.params)
    exact = exact_jacobian(lambda row, s: step(u[s : s + 1], row), x).detach()
    n = x.shape[-1]
    frame, frames = torch.randn(n, 3), torch.randn(len(x), n, 2)
    close = {"rtol": 0, "atol": 1e-12}
    torch.testing.assert_close(y, step(u, x).detach(), **close)
    torch.testing.assert_close(assemble(J), exact, **close)
    torch.testing.assert_close(J @ frame, exact @ frame, **close)
    torch.testing.assert_close(J @ frames, exact @ frames, **close)
    torch.testing.assert_close(transpose(J) @ frame, exact.mT @ frame, **close)
    torch.testing.assert_close(transpose(J) @ frames, exact.mT @ frames, **close)
    torch.testing.assert_close(assemble(transpose(J)), exact.mT, **close)
    assert transpose(transpose(J)) is J
    y_alone, J_alone = system.linearize(0.0, x[1], u[1], system.params)
    torch.testing.assert_close(y_alone, y[1], **close)
    torch.testing.assert_close(J_alone @ frame, exact[1] @ frame, **close)
    torch.testing.assert_close(J_alone @ frames, exact[1] @ frames, **close)  # frames may be a batch alone
    assert not y.requires_grad
    return J


@pytest.mark.parametrize("case", CASES)
def test_cell_and_its_jacobian(case):
    make, state, step = CASES[case]
    cell = make()
    system = from_cell(cell, state)
    J = check(
        system,
        lambda u, x: step(cell, u, x),
        torch.randn(S, system.like.shape[0]),
        torch.randn(S, M),
    )
    assert J.kind == system.jac.kind == FORWARD
    assert J.shape == (S, system.like.shape[0], system.like.shape[0])


def test_exponents_are_those_of_the_analytic_jacobian():
    cell = nn.GRUCell(M, H)
    inputs = np.random.default_rng(0).standard_normal((2, 40, M))
    runs = [
        dynet.lyapunov_spectrum(system, None, 30, n_transient=10, inputs=inputs)
        for system in (from_cell(cell, {"h": H}), from_module(cell))
    ]
    np.testing.assert_allclose(*(run.sequence_exponent.values for run in runs), atol=1e-10)
    assert [run.attrs["jacobian"] for run in runs] == [FORWARD, "analytic"]
    assert list(runs[0].unit.values) == [f"h[{i}]" for i in range(H)]


def test_plain_functions():
    W = torch.randn(H, H)

    def step(u, h):
        return torch.tanh(h @ W.T + u.sum(-1, keepdim=True))

    system = from_cell(step, H)
    assert system.like.dtype == torch.float64
    assert system.params == {}
    check(system, step, torch.randn(S, H), torch.randn(S, M))


def test_autonomous_cells_need_no_inputs():
    system = from_cell(StateCell(), H)
    assert system.step.n_channels(system.params) == 0
    result = dynet.lyapunov_spectrum(system, np.full(H, 0.1), 20)
    assert "conditional_on" not in result.attrs


def test_missing_inputs_are_zeros_where_the_width_is_known():
    cell = NormCell()
    system = from_cell(cell, H, n_inputs=M)
    x = torch.randn(H)
    y = system.step(0.0, x, x[:0], system.params)
    torch.testing.assert_close(y, cell(torch.zeros(1, M), x[None])[0].detach())
    with pytest.raises(InputError, match=r"failed on states \(3, 4\) with RuntimeError"):
        from_cell(cell, H).step(0.0, x, x[:0], {})
    assert from_cell(cell, H).step.n_channels is None


@pytest.mark.parametrize(
    "call",
    [
        lambda cell, u, parts: cell(u, (parts["h"], parts["g"])),
        lambda cell, u, parts: dict(zip("hg", cell(u, (parts["h"], parts["g"])), strict=True)),
        lambda cell, u, parts: (u, cell(u, (parts["h"], parts["g"]))),
    ],
)
def test_call_and_what_it_may_return(call):
    cell = TupleCell()
    system = from_cell(cell, {"h": H, "g": 2}, call=call, n_inputs=M)
    step = CASES["tuple"][2]
    check(system, lambda u, x: step(cell, u, x), torch.randn(S, H + 2), torch.randn(S, M))


def test_call_may_use_any_part_of_the_cell():
    cell = NormCell()
    system = from_cell(cell, H, call=lambda cell, u, parts: cell.norm(cell.inner(parts["h"])), n_inputs=0)
    x = torch.randn(S, H)
    check(system, lambda u, x: cell.norm(cell.inner(x)), x, x[:, :0])


def test_cells_of_single_vectors_by_vmap():
    W = torch.randn(H, H)

    def step(u, h):
        return torch.tanh(W @ h + u.sum())

    with pytest.raises(InputError, match=r"torch.func.vmap\(cell\)"):
        from_cell(step, H, n_inputs=M)
    system = from_cell(step, H, n_inputs=M, call=lambda cell, u, parts: torch.func.vmap(cell)(u, parts["h"]))
    check(system, torch.func.vmap(step), torch.randn(S, H), torch.randn(S, M))


def test_parameters_are_the_systems_own():
    cell = NormCell()
    before = copy.deepcopy(cell.state_dict())
    system = from_cell(cell, H, n_inputs=M)
    assert set(system.params) == set(before)
    assert all(not tensor.requires_grad for tensor in system.params.values())
    x, u = torch.randn(H), torch.randn(M)
    zero = {name: torch.zeros_like(tensor) for name, tensor in system.params.items()}
    changed = system.with_params(zero)
    assert not bool(changed.step(0.0, x, u, changed.params).any())
    with torch.no_grad():
        cell.inner.weight.zero_()
    assert bool(system.params["inner.weight"].any())
    # gradients with respect to the parameters pass through the step
    p = {name: tensor.clone().requires_grad_() for name, tensor in system.params.items()}
    (gradient,) = torch.autograd.grad(system.step(0.0, x, u, p).sum(), p["inner.weight"])
    assert bool(gradient.any())


@pytest.mark.parametrize("training", [True, False])
def test_the_module_stays_as_it_is(training):
    cell = NormCell().train(training)
    before = copy.deepcopy(cell.state_dict())
    dynet.lyapunov_spectrum(from_cell(cell, H), None, 5, inputs=np.ones((1, 5, M)))
    assert cell.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in cell.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in cell.parameters())


def test_random_numbers_of_the_user_stay():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    from_cell(lambda u, h: h, H, n_inputs=M)
    assert torch.equal(torch.rand(1), expected)


def test_dtype_and_names():
    system = from_cell(TupleCell(), {"h": H, "g": 2}, dtype=torch.float32)
    assert system.like.dtype == torch.float32
    assert system.step(0.0, system.like, torch.zeros(M, dtype=torch.float32), system.params).dtype == torch.float32
    assert system.units["unit"] == [f"h[{i}]" for i in range(H)] + ["g[0]", "g[1]"]
    assert system.units["part"] == ["h"] * H + ["g"] * 2
    assert system.step.description == "cell TupleCell, state h (4), g (2)"


def test_systems_pickle():
    system = pickle.loads(pickle.dumps(from_cell(nn.GRUCell(M, H), H)))
    assert system.step(0.0, system.like, torch.zeros(M), system.params).shape == (H,)


class Cube(torch.autograd.Function):
    """An operation in the old style, with a reverse derivative only."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class Opaque(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("nobody knows this derivative")


class TestFallback:
    def test_the_same_jacobian_and_one_warning(self):
        W = torch.randn(H, H)
        x, u = torch.randn(S, H), torch.zeros(S, 0)
        exact = exact_jacobian(lambda row, s: torch.tanh(row**3 @ W.T), x)
        system = from_cell(lambda u, h: torch.tanh(Cube.apply(h) @ W.T), H)
        assert system.jac.kind == FORWARD
        frame = torch.randn(H, 2)
        _, J = system.linearize(0.0, x, u, system.params)
        with pytest.warns(UserWarning, match=r"dynet: the cell .* n = 4 reverse passes") as caught:
            product = J @ frame
        assert len(caught) == 1
        torch.testing.assert_close(product, exact @ frame, rtol=0, atol=1e-12)
        assert J.kind == system.jac.kind == REVERSE
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _, J = system.linearize(0.0, x, u, system.params)
            torch.testing.assert_close(J @ frame, exact @ frame, rtol=0, atol=1e-12)
            torch.testing.assert_close(assemble(J), exact, rtol=0, atol=1e-12)
            torch.testing.assert_close(transpose(J) @ frame, exact.mT @ frame, rtol=0, atol=1e-12)

    def test_fused_kernels_and_the_name_in_the_result(self):
        # the CPU's fused LSTM of float32 has no forward mode, like those of CUDA
        cell = nn.LSTM(M, H, batch_first=True, dtype=torch.float32)

        def call(cell, u, parts):
            _, (h, c) = cell(u[:, None], (parts["h"][None], parts["c"][None]))
            return {"h": h[0], "c": c[0]}

        system = from_cell(cell, {"h": H, "c": H}, call=call)
        inputs = np.random.default_rng(0).standard_normal((2, 20, M))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer versions of torch may have a forward mode
            result = dynet.lyapunov_spectrum(system, None, 20, inputs=inputs)
        exact = dynet.lyapunov_spectrum(from_module(cell, dtype=torch.float64), None, 20, inputs=inputs)
        np.testing.assert_allclose(result.sequence_exponent, exact.sequence_exponent, atol=2e-3)
        assert result.attrs["jacobian"] in (FORWARD, REVERSE)

    def test_no_derivative_at_all(self):
        system = from_cell(lambda u, h: Opaque.apply(h), H)
        _, J = system.linearize(0.0, torch.ones(H), torch.zeros(0), {})
        with pytest.raises(InputError, match=r"cannot differentiate the cell .*nobody knows.*finite_difference"):
            J @ torch.eye(H)

    def test_wide_frames_go_in_parts(self, monkeypatch):
        monkeypatch.setattr("dynet.torch.functional._MOST_ENTRIES", 2 * H * S)
        check(from_cell(torch.sin, H, call=lambda f, u, parts: f(parts["h"])), lambda u, x: x.sin(),
              torch.randn(S, H), torch.zeros(S, 0))  # fmt: skip


class Mixing(nn.Module):
    def forward(self, u, h):
        return torch.tanh(h - h.mean(0))


class TestRefusals:
    @pytest.mark.parametrize("state", [0, -1, 1.5, {}, {"h": 0}, {"h": (2, 2)}, {3: 4}, "h"])
    def test_sizes(self, state):
        with pytest.raises(InputError, match="state"):
            from_cell(NormCell(), state)

    def test_all_faults_at_once(self):
        with pytest.raises(InputError, match=r"(?s)state=0.*dtype=3.*call=1.*cell=2.*n_inputs=-1"):
            from_cell(2, 0, dtype=3, call=1, n_inputs=-1)

    def test_rows_that_mix(self):
        with pytest.raises(InputError, match="the cell Mixing mixes the rows of a batch"):
            from_cell(Mixing(), H, n_inputs=0)
        norm = nn.BatchNorm1d(H, track_running_stats=False)  # takes statistics of the batch in any mode
        with pytest.raises(InputError, match="mixes the rows of a batch"):
            from_cell(norm, H)

    def test_batch_norm_and_dropout_in_training_mode(self):
        with pytest.raises(InputError, match=r"batch norm in 1 \(BatchNorm1d\).*call cell.eval\(\) first"):
            from_cell(nn.Sequential(nn.Linear(H, H), nn.BatchNorm1d(H)), H)
        with pytest.raises(InputError, match=r"active dropout in 1 \(Dropout\)"):
            from_cell(nn.Sequential(nn.Linear(H, H), nn.Dropout(0.1)), H)
        from_cell(nn.Sequential(nn.Linear(H, H), nn.Dropout(0.1), nn.BatchNorm1d(H)).eval(), H)

    def test_noise(self):
        with pytest.raises(InputError, match="it is random or keeps a state of its own"):
            from_cell(lambda u, h: h + torch.randn_like(h), H, n_inputs=0)

    def test_states_changed_in_place(self):
        with pytest.raises(InputError, match="keeps a state of its own"):
            from_cell(lambda u, h: h.mul_(0.5), H, n_inputs=0)

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (lambda h: h[:, :2], r"returned tensor \(3, 2\), but the state is .h: \(3, 4\)."),
            (lambda h: (h, h[:, :2]), r"returned \(tensor \(3, 4\), tensor \(3, 2\)\).*pass call="),
            (lambda h: (h, h, h), "pass call="),
            (lambda h: {"g": h}, r"returned .g: tensor \(3, 4\)."),
            (lambda h: None, "returned NoneType"),
            (lambda h: (h, 2 * h), "in which both could be the new state; pass call="),
        ],
    )
    def test_what_cannot_be_the_state(self, returned, message):
        with pytest.raises(InputError, match=message):
            from_cell(lambda u, h: returned(h), H, n_inputs=0)

    def test_an_output_that_is_the_state_is_no_fault(self):
        system = from_cell(lambda u, h: (h.sin(), h.sin()), H, n_inputs=0)
        assert torch.equal(system.step(0.0, system.like + 1, system.like[:0], {}), (system.like + 1).sin())

    @pytest.mark.parametrize(
        ("cell", "state"),
        [
            (lambda a, b, c: a, H),
            (lambda: 0, H),
            (lambda h, scale=1.0: h, H),
            (lambda h, c, x, y: h, {"h": H, "c": H}),
            (lambda x, hx, *, mode: x, H),
        ],
    )
    def test_signatures_that_do_not_tell(self, cell, state):
        with pytest.raises(InputError, match=r"arguments do not tell.*pass call="):
            from_cell(cell, state)

    @pytest.mark.parametrize(
        ("state", "way_out"), [(H, "parts['h'], u"), ({"g": 1, "c": 2}, "(parts['g'], parts['c']), u")]
    )
    def test_state_first(self, state, way_out):
        with pytest.raises(InputError) as error:
            from_cell(lambda hidden, x: hidden, state)
        assert way_out in str(error.value)

    def test_frames_of_another_size(self):
        system = from_cell(torch.sin, H, call=lambda f, u, parts: f(parts["h"]))
        _, J = system.linearize(0.0, torch.ones(H), torch.zeros(0), {})
        with pytest.raises(InputError, match=r"cannot multiply shape \(3, 1\)"):
            J @ torch.ones(3, 1)


class Field(nn.Module):
    """A neural differential equation, with or without time."""

    def __init__(self, with_time):
        super().__init__()
        self.with_time = with_time
        self.net = nn.Sequential(nn.Linear(H, 8), nn.Tanh(), nn.Linear(8, H))

    def rate(self, t, x):
        return torch.cos(t) * self.net(x)


class TimedField(Field):
    def forward(self, t, x):
        return self.rate(t, x)


class PlainField(Field):
    def forward(self, x):
        return self.rate(torch.tensor(0.7), x)


class TestVectorField:
    @pytest.mark.parametrize("make", [TimedField, PlainField])
    def test_rate_and_its_jacobian(self, make):
        field = make(True)
        flow = from_vector_field(field)
        assert flow.like.shape == (H,)
        x, t = torch.randn(S, H), torch.tensor(0.7)
        u = x[:, :0]
        torch.testing.assert_close(flow.rhs(0.7, x, u, flow.params), field.rate(t, x).detach())
        J = flow.jac(0.7, x, u, flow.params)
        exact = exact_jacobian(lambda row, s: field.rate(t, row), x).detach()
        torch.testing.assert_close(assemble(J), exact, rtol=0, atol=1e-12)
        torch.testing.assert_close(transpose(J) @ x.mT[None], exact.mT @ x.mT, rtol=0, atol=1e-12)

    def test_the_step_of_a_method(self):
        field = TimedField(True)
        system = from_vector_field(field).to_map(0.1)
        x = torch.randn(H)

        def rk4(x, t=0.2, h=0.1):
            f = lambda t, x: field.rate(torch.as_tensor(t), x)  # noqa: E731
            a = f(t, x)
            b = f(t + h / 2, x + h / 2 * a)
            c = f(t + h / 2, x + h / 2 * b)
            d = f(t + h, x + h * c)
            return x + h / 6 * (a + 2 * b + 2 * c + d)

        y, J = system.linearize(0.2, x, x[:0], system.params)
        torch.testing.assert_close(y, rk4(x).detach(), rtol=0, atol=1e-12)
        exact = torch.func.jacrev(rk4)(x).detach()
        torch.testing.assert_close(assemble(J), exact, rtol=0, atol=1e-12)

    def test_known_exponents(self):
        A = torch.tensor([[-0.2, 2.0], [0.0, -0.5]])
        system = from_vector_field(lambda x: x @ A.T, n=2).to_map(0.1)
        result = dynet.lyapunov_spectrum(system, [0.1, 0.1], 100, initial_frame=np.eye(2))
        rates = np.log(np.polyval([1 / 24, 1 / 6, 1 / 2, 1, 1], 0.1 * np.array([-0.2, -0.5]))) / 0.1
        np.testing.assert_allclose(result.lyapunov_exponent, rates, atol=1e-10)
        assert result.attrs["jacobian"] == FORWARD

    def test_fields_of_single_states_by_vmap(self):
        def rotation(x):
            return torch.stack([x[1], -x[0]])

        with pytest.raises(InputError, match=r"torch.func.vmap\(f\)"):
            from_vector_field(rotation, n=2)
        flow = from_vector_field(torch.func.vmap(rotation), n=2)
        timed = from_vector_field(torch.func.vmap(lambda t, x: t * rotation(x), in_dims=(None, 0)), n=2)
        x = torch.randn(2)
        for system, t in ((flow, 1.0), (timed, 2.0)):
            exact = t * torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
            assert torch.equal(assemble(system.jac(t, x, x[:0], system.params)), exact)

    @pytest.mark.parametrize(
        ("field", "options", "message"),
        [
            (nn.Tanh(), {}, "n is not given"),
            (lambda x: x, {}, "n is not given"),
            (lambda x: x, {"n": 0}, "n=0"),
            (3, {"n": 2}, "module=3: give a function"),
            (lambda x, t: x, {"n": 2}, "time comes first"),
            (lambda t, x, u: x, {"n": 2}, "functools.partial"),
            (lambda: 0, {"n": 2}, "functools.partial"),
            (lambda x: (x, x), {"n": 2}, "returned tuple"),
            (lambda x: x[:, :1], {"n": 2}, "gave shape .3, 1."),
            (nn.Linear(3, 2), {}, "gave shape .3, 2.*give n="),
            (nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), {}, "active dropout"),
            (lambda x: x > 0, {"n": 2}, "real numbers"),
        ],
    )
    def test_refusals(self, field, options, message):
        with pytest.raises(InputError, match=message):
            from_vector_field(field, **options)

    def test_functions_in_c_and_devices(self):
        flow = from_vector_field(torch.sin, n=2, dtype="float32", device="cpu")
        assert flow.like.dtype == torch.float32
