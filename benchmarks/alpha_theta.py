"""The 900 cells of the (alpha, theta) plane of two tanh units: exponents alone, and with Newton's method on cycles.

``python benchmarks/alpha_theta.py``
"""

from __future__ import annotations

import time

import numpy as np

import dynet
from timing import agree, use_one_thread

CELLS, STEPS, DT, START = 30, 5_000, 0.1, [0.5, 0.1]
#: Seconds, on two cores, of the map of the flow with all it takes.
LIMIT = 15.0
GRID = {"alpha": np.linspace(0.8, 2.5, CELLS), "theta": np.linspace(0.02, np.pi / 2 - 0.02, CELLS)}


def flow_map() -> object:
    return dynet.exponent_map(dynet.zoo.tanh_oscillator(), START, GRID, STEPS, dt=DT)


def discrete_map() -> object:
    return dynet.exponent_map(dynet.zoo.tanh_oscillator(form="map"), START, GRID, STEPS)


def exponents_alone() -> object:
    alpha, theta = (mesh.ravel() for mesh in np.meshgrid(*GRID.values(), indexing="ij"))
    system = dynet.zoo.tanh_oscillator().to_map(DT)
    sets = {"alpha": alpha, "theta": theta}
    return dynet.lyapunov_spectrum(system, START, STEPS, params=sets, n_transient=STEPS // 2)


def one_cell_at_a_time() -> float:
    """Return the seconds that the cycles of the plane would take one by one, from a sample of them."""
    found = flow_map()
    cells = np.argwhere((found.label == "limit cycle").values)
    sample = cells[:: len(cells) // 6]
    begin = time.process_time()
    for i, j in sample:
        flow = dynet.zoo.tanh_oscillator(GRID["alpha"][i], GRID["theta"][j])
        cycle = dynet.find_limit_cycle(flow, START)
        rates = dynet.floquet_multipliers(flow, cycle).growth_rate
        agree("period", found.period[i, j] / cycle.period, 1.0, 1e-7)
        agree("second exponent", found.lyapunov_exponent[i, j, 1], rates[1], 1e-6)
    return (time.process_time() - begin) / len(sample) * len(cells)


def main() -> None:
    use_one_thread()
    rows = []
    for name, run in (("flow", flow_map), ("exponents of the flow alone", exponents_alone), ("map", discrete_map)):
        times = []
        for _ in range(2):
            begin = time.process_time()
            run()
            times.append(time.process_time() - begin)
        rows.append((name, times[0], times[1]))
    print(f"{CELLS * CELLS} cells, {STEPS} steps, processor seconds")
    print(f"{'':32}{'first call':>12}{'again':>10}{'limit':>8}")
    for name, first, again in rows:
        print(f"{name:32}{first:12.1f}{again:10.1f}{LIMIT if name == 'flow' else '':>8}")
    single = one_cell_at_a_time()
    ratio = single / rows[0][2]
    print(f"find_limit_cycle and floquet_multipliers cell by cell: {single:.1f} s, {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
