"""dynet beside its peers, each in the same run, in turns, with one BLAS thread: `python benchmarks/peers.py`.

Every row names what it must reach. The whole run prints the table and writes `benchmarks/results/peers.json`,
`.md` and `.png`; `--case NAME` prints some of it and writes nothing.
"""

from __future__ import annotations

import argparse
import time

import torch  # loaded before its number of threads is set  # noqa: F401
from scipy import linalg  # brings scipy's own BLAS  # noqa: F401

import covariant
import network_cases
import process_cases
import results
import small_cases
from timing import Row, machine, use_one_thread

CASES = {
    "henon": small_cases.henon,
    "henon-many": small_cases.henon_many,
    "lorenz": small_cases.lorenz,
    "lorenz-chunks": small_cases.lorenz_chunks,
    "rnn": network_cases.rnn,
    "rnn-threads": network_cases.rnn_threads,
    "rnn-leading": network_cases.rnn_leading,
    "rnn-small": network_cases.rnn_small,
    "lstm": network_cases.lstm,
    "torch": network_cases.torch_tensors,
    "covariant": covariant.covariant,
    "memory": process_cases.memory,
    "start": process_cases.start,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be given several times")
    chosen = parser.parse_args().case
    use_one_thread()
    rows: list[Row] = []
    for name in chosen or CASES:
        start = time.perf_counter()
        rows += CASES[name]()
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print(results.text(rows))
    if chosen is None:
        for path in results.write(rows, machine()):
            print(f"written: {path}")


if __name__ == "__main__":
    main()
