"""Systems from trained torch models: modules, cells of one's own, checkpoints and vector fields."""

from dynet._optional import import_optional

import_optional("torch", extra="torch", purpose="dynet.torch")

from dynet.torch.adapter import from_module  # noqa: E402
from dynet.torch.cells_adapter import from_cell  # noqa: E402
from dynet.torch.fisher import fisher_bound  # noqa: E402
from dynet.torch.gradients import gradient_norms  # noqa: E402
from dynet.torch.modules import GammaRNN  # noqa: E402
from dynet.torch.state_dicts import from_state_dict  # noqa: E402
from dynet.torch.vector_field import from_vector_field  # noqa: E402

__all__ = [
    "GammaRNN",
    "fisher_bound",
    "from_cell",
    "from_module",
    "from_state_dict",
    "from_vector_field",
    "gradient_norms",
]
