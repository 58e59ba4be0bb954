"""The f-I curve of a Hodgkin-Huxley neuron: followed, against counting spikes of a simulation at each current.

``python benchmarks/hodgkin_huxley_fi.py`` prints processor times of one run, compiling left out, and where firing
starts by each.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.integrate import solve_ivp

import dynet

UPPER = 200.0
CURRENTS = np.linspace(1.0, 151.0, 26)
SETTLE, COUNT = 100.0, 150.0  # ms


def followed() -> tuple[np.ndarray, np.ndarray, float]:
    """Return currents and frequencies (Hz) of stable firing, and the current at which it starts."""
    flow = dynet.zoo.hodgkin_huxley(0.0)
    at_rest = dynet.find_fixed_points(flow, [-65.0, 0.05, 0.6, 0.32]).fixed_point[0]
    rest = dynet.continue_orbit(flow, at_rest, "current", (0.0, UPPER))
    firing = dynet.continue_orbit(flow, dynet.cycle_from_hopf(flow, rest, 2), "current", (0.0, UPPER), n_points=300)
    stable = firing.isel(point=np.flatnonzero(firing.stability.values == "stable"))
    starts = firing.bifurcation_parameter.values[firing.bifurcation_kind.values == "fold"].min()
    return stable.parameter.values, 1000 / stable.period.values, float(starts)


def counted() -> tuple[np.ndarray, np.ndarray, float]:
    """Return currents and frequencies (Hz) of a simulation of each, and the first current that fires on."""
    flow = dynet.zoo.hodgkin_huxley(0.0)
    empty = np.empty(0)
    x = np.array([0.0, 0.1, 0.4, 0.5])
    rates = []
    for current in CURRENTS:
        params = flow.params._replace(current=current)
        run = solve_ivp(
            lambda t, y, p=params: flow.rhs(t, y, empty, p), (0.0, SETTLE + COUNT), x, "LSODA", rtol=1e-8, atol=1e-8,
            events=lambda t, y: y[0] + 50.0,
        )  # fmt: skip
        late = run.t_events[0][run.t_events[0] > SETTLE]
        rates.append(1000 * (len(late) / 2) / COUNT)
    firing = np.array(rates) > 20
    return CURRENTS[firing], np.array(rates)[firing], float(CURRENTS[firing].min())


def main() -> None:
    """Print the table."""
    followed()  # compiles
    print(f"{'method':<12}{'seconds':>9}{'points':>8}{'firing from':>14}{'Hz at 20':>10}")
    for function in (followed, counted):
        began = time.process_time()
        currents, rates, starts = function()
        seconds = time.process_time() - began
        order = np.argsort(currents)
        at = np.interp(20.0, currents[order], rates[order])
        print(f"{function.__name__:<12}{seconds:>9.2f}{len(currents):>8}{starts:>14.6f}{at:>10.2f}")


if __name__ == "__main__":
    main()
