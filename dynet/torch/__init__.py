"""Systems from torch models (modules, cells, checkpoints, vector fields), gradients, exponents as they train."""

from dynet._optional import import_optional

import_optional("torch", extra="torch", purpose="dynet.torch")

from dynet.torch.adapter import from_module  # noqa: E402
from dynet.torch.adaptive import AdaptiveRNN  # noqa: E402
from dynet.torch.cells_adapter import from_cell  # noqa: E402
from dynet.torch.convolution import ImageEncoder  # noqa: E402
from dynet.torch.cornn import CoRNN  # noqa: E402
from dynet.torch.evaluation import evaluate  # noqa: E402
from dynet.torch.exponents import lyapunov_exponents  # noqa: E402
from dynet.torch.fisher import fisher_bound  # noqa: E402
from dynet.torch.flossing import flossing_loss  # noqa: E402
from dynet.torch.gradients import gradient_norms  # noqa: E402
from dynet.torch.init import limit_cycle_  # noqa: E402
from dynet.torch.models import SequenceModel, matched_units  # noqa: E402
from dynet.torch.modules import GammaRNN  # noqa: E402
from dynet.torch.monitor import LyapunovMonitor  # noqa: E402
from dynet.torch.orthogonal import orthogonal_  # noqa: E402
from dynet.torch.state_dicts import from_state_dict  # noqa: E402
from dynet.torch.training import train  # noqa: E402
from dynet.torch.vector_field import from_vector_field  # noqa: E402

__all__ = [
    "AdaptiveRNN",
    "CoRNN",
    "GammaRNN",
    "ImageEncoder",
    "LyapunovMonitor",
    "SequenceModel",
    "evaluate",
    "fisher_bound",
    "flossing_loss",
    "from_cell",
    "from_module",
    "from_state_dict",
    "from_vector_field",
    "gradient_norms",
    "limit_cycle_",
    "lyapunov_exponents",
    "matched_units",
    "orthogonal_",
    "train",
]
