"""Files: what comes back is identical to what went in, and what cannot be stored or read says so."""

import os

import numpy as np
import pytest
import xarray as xr

import dynet


def results():
    random = np.random.default_rng(0)
    net = dynet.networks.lstm(random.standard_normal((8, 2)), random.standard_normal((8, 3)))
    inputs = random.standard_normal((6, 20, 3))
    driven = dynet.lyapunov_spectrum(net, None, 15, inputs=inputs, n_transient=5, tolerance=1e-9)
    henon = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 500)
    ragged = dynet.lyapunov_spectrum(net, None, 20, inputs=inputs, lengths=[20, 20, 10, 15, 20, 12])
    gradients = dynet.gradient_norms(net, None, 20, inputs=inputs, n_lags=10, every=5)
    relu = dynet.networks.relu_rnn(np.diag([0.5, 0.5]), b=[1.0, -1.0])
    vectors = dynet.covariant_vectors(net, None, 8, inputs=inputs, n_transient=6)
    step = np.repeat([0.0, 1.0], [5, 25])
    orders = dynet.fractional_order(step + 0.1 * random.standard_normal((3, 30)), step, axis=-1)
    oscillator = dynet.zoo.stuart_landau()
    cycle = dynet.find_limit_cycle(oscillator, [0.5, 0.0])
    small = dynet.networks.tanh_rnn(0.5 * np.eye(2))
    forward = dynet.sensitivity(small, [0.1, 0.2], 3)
    return {
        "fixed points": dynet.find_fixed_points(dynet.zoo.henon(), random.standard_normal((5, 2))),
        "limit cycle": cycle,
        "periodic orbit": dynet.find_periodic_orbit(dynet.zoo.logistic(3.2), [0.3], 2),
        "multipliers": dynet.floquet_multipliers(oscillator, cycle),
        "modes": dynet.floquet_modes(oscillator, cycle),
        "phase response": dynet.phase_response(oscillator, cycle),
        "amplitude response": dynet.amplitude_response(oscillator, cycle),
        "asymptotic phase": dynet.asymptotic_phase(oscillator, cycle, [0.5, 0.5]),
        "phase shift": dynet.phase_shift(oscillator, cycle, [0.1, 0.0], n_phases=2),
        "rotation": dynet.rotation_number(dynet.networks.rotation_rnn(1.5, 0.5), [0.5, 0.1], 500),
        "kinds of attractors": dynet.classify_attractor(dynet.zoo.logistic(3.2), [[0.3], [7.0]], 200),
        "sensitivity": forward,
        "adjoint": dynet.adjoint(small, forward, [1.0, 0.0]),
        "gradient": dynet.gradient(small, [0.1, 0.2], 3, terminal=lambda x: (x[0], [1.0, 0.0])),
        "forced response": dynet.forced_response(small, [0.1, 0.2], 3, lambda t, x: [1.0, 0.0]),
        "covariant vectors": vectors,
        "lost covariant vectors": dynet.covariant_vectors(relu, [1.0, 1.0], 20),
        "finite-time exponents": dynet.finite_time_exponents(ragged, 4),
        "splitting angles": dynet.splitting_angles(vectors),
        "participation of parts": dynet.vector_participation(vectors, "part"),
        "Oseledets matrix": dynet.oseledets_matrix(net, None, 6, inputs=inputs[0, :6]),
        "spectrum": henon,
        "driven spectrum of an LSTM": driven,
        "ragged spectrum": ragged,
        "lost exponents": dynet.lyapunov_spectrum(relu, [1.0, 1.0], 20),
        "trajectory": dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 10),
        "trajectories with inputs": dynet.simulate(net, np.zeros((6, 4)), 20, inputs=inputs),
        "dimension": dynet.kaplan_yorke_dimension(henon),
        "entropy rate": dynet.entropy_rate(henon),
        "memory time": dynet.memory_time(henon),
        "comparison": dynet.compare({"a": driven, "b": driven}),
        "singular values": dynet.singular_values(net, None, 20, inputs=inputs, horizons=[1, 5], every=5),
        "singular values of a singular product": dynet.singular_values(relu, [1.0, 1.0], 4),
        "Jacobian norms": dynet.jacobian_norms(net, None, 20, inputs=inputs),
        "gradient norms": gradients,
        "fractional orders": orders,
        "comparison of orders": dynet.compare_orders(orders, [0.1, 0.3, 0.2]),
        "gradient horizon": dynet.gradient_horizon(gradients),
    }


RESULTS = results()


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_comes_back_identical(name, tmp_path):
    saved = RESULTS[name]
    copy = saved.copy(deep=True)
    loaded = dynet.load(dynet.save(saved, tmp_path / "result.nc"))
    xr.testing.assert_identical(loaded, saved)
    xr.testing.assert_identical(saved, copy)  # saving changes nothing
    for variable in saved.variables:
        assert loaded[variable].dtype == saved[variable].dtype, variable
    assert list(loaded.variables) == list(saved.variables)
    assert {k: type(v) for k, v in loaded.attrs.items()} == {k: type(v) for k, v in saved.attrs.items()}


def test_complex_numbers_flags_strings_and_infinities_come_back(tmp_path):
    ds = xr.Dataset(
        {
            "eigenvalue": (("point", "index"), np.array([[1 + 2j, np.nan], [complex(np.inf, -0.0), -1j]])),
            "single": (("index",), np.array([1 + 1j, 2], dtype=np.complex64)),
            "scalar": ((), 1j),
            "flag": (("point",), np.array([True, False])),
            "one flag": ((), True),
            "value": (("index",), np.array([-np.inf, np.nan])),
            "float32": (("index",), np.array([np.inf, 1e-40], dtype=np.float32)),
            "count": (("index",), np.array([-(2**62), 3])),
            "status": (("index",), np.array([0, 2], dtype=np.int8)),
            "kind": (("point",), np.array(["fixed", "slow"])),
            "label": ((), "limit cycle"),
            "greek": (("index",), np.array(["λ₁", ""])),
        },
        {
            "point": ["a", "bb"],
            "index": [1, 2],
            "phase": ("index", [0.0, 0.5], {"units": "1"}),
            "stable": ("point", [False, True]),
            "mode": ("index", [1j, 2.0]),
        },
        {"title": "all kinds", "n": 3, "x": 0.1, "inf": np.inf, "minus": -np.inf, "unicode": "Hénon λ"},
    )
    ds["value"].attrs = {"long_name": "größe", "units": "nat / step", "n": 3, "x": 0.5}
    ds["flag"].attrs = {"long_name": "a flag"}
    loaded = dynet.load(dynet.save(ds, tmp_path / "all.nc"))
    xr.testing.assert_identical(loaded, ds)
    for name in ds.variables:
        assert loaded[name].dtype == ds[name].dtype, name
    np.testing.assert_array_equal(loaded["eigenvalue"].values.imag, ds["eigenvalue"].values.imag)
    assert type(loaded["value"].attrs["n"]) is int


def test_an_attribute_that_is_not_a_number_survives(tmp_path):
    ds = xr.Dataset({"a": ("x", [1.0])}, attrs={"nan": np.nan, "long": "x" * 70_000})
    loaded = dynet.load(dynet.save(ds, tmp_path / "nan.nc"))
    assert np.isnan(loaded.attrs["nan"])
    assert loaded.attrs["long"] == "x" * 70_000


def test_an_empty_string_survives(tmp_path):
    ds = xr.Dataset({"a": ("x", [1.0], {"units": ""})}, attrs={"note": ""})
    loaded = dynet.load(dynet.save(ds, tmp_path / "empty.nc"))
    assert loaded.attrs == {"note": ""}
    assert loaded["a"].attrs == {"units": ""}


def test_empty_dimensions_survive(tmp_path):
    ds = xr.Dataset(
        {"fixed_point": (("point", "unit"), np.zeros((0, 2))), "kind": ("point", np.zeros(0, dtype="<U5"))},
        {"unit": ["x", "y"]},
    )
    xr.testing.assert_identical(dynet.load(dynet.save(ds, tmp_path / "none.nc")), ds)


def test_units_of_time_stay_words(tmp_path):
    # "second", "ms", "days since 2000-01-01" must not turn numbers into dates
    for unit in ("second", "s", "ms", "days", "days since 2000-01-01"):
        ds = xr.Dataset({"a": ("time", [1.0, 2.0], {"units": unit})}, {"time": ("time", [0.5, 1.5], {"units": unit})})
        loaded = dynet.load(dynet.save(ds, tmp_path / "time.nc"))
        xr.testing.assert_identical(loaded, ds)
        assert loaded.time.dtype == np.float64


def test_attributes_that_files_cannot_hold_become_plain_ones(tmp_path):
    ds = xr.Dataset({"a": ("x", [1.0])}, attrs={"flag": True, "none": None, "number": np.float64(2.5), "list": [1, 2]})
    loaded = dynet.load(dynet.save(ds, tmp_path / "plain.nc"))
    assert loaded.attrs == {"flag": "True", "number": 2.5, "list": "[1, 2]"}
    assert ds.attrs["flag"] is True


def test_a_loaded_result_is_as_good_as_the_computed_one(tmp_path):
    loaded = dynet.load(dynet.save(RESULTS["spectrum"], tmp_path / "henon.nc"))
    assert dynet.summary(loaded).equals(dynet.summary(RESULTS["spectrum"]))
    again = dynet.compare({"computed": RESULTS["spectrum"], "loaded": loaded})
    np.testing.assert_array_equal(again.difference, 0.0)
    dynet.plot.spectrum(loaded)


def test_the_ending_is_added_where_there_is_none(tmp_path):
    ds = RESULTS["dimension"]
    assert dynet.save(ds, tmp_path / "plain") == tmp_path / "plain.nc"
    assert dynet.save(ds, str(tmp_path / "other.nc4")) == tmp_path / "other.nc4"


def test_a_file_is_replaced_in_one_piece_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "result.nc"
    dynet.save(RESULTS["dimension"], path)
    dynet.save(RESULTS["spectrum"], path)
    xr.testing.assert_identical(dynet.load(path), RESULTS["spectrum"])
    assert os.listdir(tmp_path) == ["result.nc"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_loaded_file_is_closed_and_may_be_replaced(tmp_path):
    path = dynet.save(RESULTS["spectrum"], tmp_path / "result.nc")
    loaded = dynet.load(path)
    path.unlink()
    np.testing.assert_array_equal(loaded.growth, RESULTS["spectrum"].growth)


@pytest.mark.parametrize("parent", ["missing", "file"])
def test_a_folder_that_cannot_be_written_to_is_named(parent, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(dynet.InputError, match=f"{parent}.*give a folder") as caught:
        dynet.save(RESULTS["spectrum"], tmp_path / parent / "result.nc")
    assert "path=" in str(caught.value)


def test_a_folder_in_the_place_of_the_file_is_named_and_left_alone(tmp_path):
    (tmp_path / "result.nc").mkdir()
    with pytest.raises(dynet.InputError, match=r"result.nc"):
        dynet.save(RESULTS["spectrum"], tmp_path / "result.nc")
    assert os.listdir(tmp_path) == ["result.nc"]


def test_a_result_that_cannot_be_written_leaves_the_old_file_and_no_debris(tmp_path):
    path = dynet.save(RESULTS["dimension"], tmp_path / "result.nc")
    broken = xr.Dataset({"a": ("x", np.array([{"not": "storable"}, object()], dtype=object))})
    with pytest.raises((dynet.InputError, TypeError, ValueError)):
        dynet.save(broken, path)
    assert os.listdir(tmp_path) == ["result.nc"]
    xr.testing.assert_identical(dynet.load(path), RESULTS["dimension"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(dynet.InputError, match=r"nowhere.nc.*no such file"):
        dynet.load(tmp_path / "nowhere.nc")
    with pytest.raises(dynet.InputError, match="no such file"):
        dynet.load(tmp_path)


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "flipped"])
def test_a_damaged_file_is_named(damage, tmp_path):
    path = dynet.save(RESULTS["spectrum"], tmp_path / "damaged.nc")
    content = path.read_bytes()
    path.write_bytes(
        {"text": b"hello", "empty": b"", "cut": content[: len(content) // 2], "flipped": b"\0" * 200 + content[200:]}[
            damage
        ]
    )
    with pytest.raises(dynet.InputError, match=r"damaged.nc.*not a readable netCDF file"):
        dynet.load(path)


@pytest.mark.parametrize("thing", [None, {"a": 1}, np.zeros(3), "result"])
def test_things_that_are_no_results_are_refused(thing, tmp_path):
    with pytest.raises(dynet.InputError, match="result="):
        dynet.save(thing, tmp_path / "x.nc")


def test_attributes_of_other_kinds_of_text_and_number_are_saved_as_plain_ones(tmp_path):
    class Version(str):
        pass

    ds = xr.Dataset(attrs={"version": Version("2.13.0+cpu"), "count": np.int32(3), "ratio": np.float32(0.5)})
    loaded = dynet.load(dynet.save(ds, tmp_path / "attrs.nc"))
    assert loaded.attrs == {"version": "2.13.0+cpu", "count": 3, "ratio": 0.5}
