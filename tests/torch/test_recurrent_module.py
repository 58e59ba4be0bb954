"""What the recurrent modules of dynet share: the order of sequences, and faults named alike."""

import pytest
import torch

from dynet.errors import InputError
from dynet.torch import AdaptiveRNN, CoRNN, GammaRNN

MODULES = (GammaRNN, AdaptiveRNN, CoRNN)
#: What each calls the first part of its state.
STATES = {GammaRNN: "h", AdaptiveRNN: "h", CoRNN: "y"}


@pytest.mark.parametrize("make", MODULES)
def test_the_order_of_time_and_batch_is_a_matter_of_shape_alone(make):
    time_first, batch_first = make(2, 3), make(2, 3, batch_first=True)
    batch_first.load_state_dict(time_first.state_dict())
    x = torch.randn(5, 4, 2, generator=torch.Generator().manual_seed(0))
    output, last = time_first(x)
    swapped, same = batch_first(x.transpose(0, 1))
    torch.testing.assert_close(swapped.transpose(0, 1), output)
    torch.testing.assert_close(same, last)
    torch.testing.assert_close(batch_first(x[:, 0])[0], output[:, 0])  # one sequence has no batch to come first


@pytest.mark.parametrize("make", MODULES)
def test_a_run_goes_on_from_the_state_that_it_returned(make):
    module = make(2, 3)
    x = torch.randn(6, 4, 2, generator=torch.Generator().manual_seed(0))
    output, last = module(x)
    first, state = module(x[:2])
    rest, end = module(x[2:], state)
    torch.testing.assert_close(torch.cat([first, rest]), output)
    torch.testing.assert_close(end, last)


@pytest.mark.parametrize("make", MODULES)
def test_faults_are_named(make):
    with pytest.raises(InputError) as caught:
        make(0, 2.5)
    assert "input_size=0" in str(caught.value)
    assert "hidden_size=2.5" in str(caught.value)
    module, x = make(2, 3), torch.zeros(5, 4, 2)
    with pytest.raises(InputError, match="x=ndarray: give a tensor"):
        module(x.numpy())
    with pytest.raises(InputError, match=r"x has shape \(5, 4, 1\)"):
        module(x[..., :1])
    with pytest.raises(InputError, match="no time steps"):
        module(x[:0])
    wrong = torch.zeros(2, 4, 3)  # of two layers
    fault = rf"{STATES[make]} has shape \(2, 4, 3\): give \(1, 4, 3\)"
    with pytest.raises(InputError, match=fault):
        module(x, wrong if make is GammaRNN else (wrong, wrong))
    if make is not GammaRNN:
        with pytest.raises(InputError, match=rf"state=Tensor: give a tuple \({STATES[make]}, "):
            module(x, wrong)
