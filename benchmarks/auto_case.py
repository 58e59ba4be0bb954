"""AUTO-07p on the van der Pol oscillator: the multipliers of three neighbouring cycles, in a folder of their own.

AUTO continues a cycle that it is given, here dynet's. Its first point is the start as it is; the last one has been
corrected, at a parameter that it chose. It prints multipliers with six digits.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

EQUATIONS = """
#include "auto_f2c.h"
int func(integer ndim, const doublereal *u, const integer *icp, const doublereal *par, integer ijac,
         doublereal *f, doublereal *dfdu, doublereal *dfdp) {
  f[0] = u[1];
  f[1] = par[0] * (1 - u[0] * u[0]) * u[1] - u[0];
  return 0;
}
int stpnt(integer ndim, doublereal t, doublereal *u, doublereal *par) { return 0; }
int pvls(integer ndim, const doublereal *u, doublereal *par) { return 0; }
int bcnd(integer ndim, const doublereal *par, const integer *icp, integer nbc, const doublereal *u0,
         const doublereal *u1, integer ijac, doublereal *fb, doublereal *dbc) { return 0; }
int icnd(integer ndim, const doublereal *par, const integer *icp, integer nint, const doublereal *u,
         const doublereal *uold, const doublereal *udot, const doublereal *upold, integer ijac, doublereal *fi,
         doublereal *dint) { return 0; }
int fopt(integer ndim, const doublereal *u, const integer *icp, const doublereal *par, integer ijac,
         doublereal *fs, doublereal *dfdu, doublereal *dfdp) { return 0; }
"""
CONSTANTS = """NDIM= 2, IPS = 2, IRS = 0, ILP = 0
ICP = [1, 11]
NTST= 200, NCOL= 4, IAD = 3, ISP = 2, ISW = 1, IPLT= 0, NBC= 0, NINT= 0
NMX= 3, NPR= 1, MXBF= 0, IID = 3, ITMX= 8, ITNW= 8, NWTN= 3, JAC= 0
EPSL= 1e-10, EPSU = 1e-10, EPSS = 1e-8
DS = 1e-8, DSMIN= 1e-10, DSMAX= 1e-8, IADS= 1
PAR = {{1 : {mu!r}, 11 : {period!r}}}
NPAR = 36, THL = {{}}, THU = {{}}
"""


class Answer(NamedTuple):
    """What AUTO says: the parameter of its last cycle, the multiplier there, the seconds that it counts itself."""

    mu: float
    multiplier: float
    seconds: float


def why_not() -> str | None:
    """Return why AUTO cannot be run here, None if it can."""
    absent = [name for name in ("auto-07p", "gfortran") if not shutil.which(name)]
    return f"{' and '.join(absent)} not installed" if absent else None


def multipliers(mu: float, cycle: xr.Dataset, folder: Path) -> Answer:
    """Return the second multiplier of a cycle of the oscillator."""
    period = float(cycle["period"])
    phases = np.append(cycle["phase"].values, 1.0)
    points = np.vstack([cycle["orbit"].values, cycle["orbit"].values[:1]])
    np.savetxt(folder / "vdp.dat", np.column_stack([phases * period, points]), fmt="%.16g")
    (folder / "vdp.c").write_text(EQUATIONS)
    (folder / "c.vdp").write_text(CONSTANTS.format(mu=mu, period=period))
    (folder / "vdp.auto").write_text("s = run('vdp', dat='vdp', c='vdp')\n")
    done = subprocess.run(["auto-07p", "vdp.auto"], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    seconds = float(re.search(r"Total Time\s+(\S+)", done.stdout).group(1))  # type: ignore[union-attr]
    found = re.findall(r"Multiplier\s+2\s+(\S+)", (folder / "fort.9").read_text())
    last = (folder / "fort.7").read_text().splitlines()[-1].split()
    return Answer(float(last[4]), float(found[-1]), seconds)
