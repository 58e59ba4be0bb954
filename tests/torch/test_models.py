import numpy as np
import pytest
import torch
from torch import nn

from dynet.errors import InputError
from dynet.torch import ImageEncoder, SequenceModel, matched_units


def n_parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("core", ["tanh", "relu", "lstm", "gru", "gamma", "cornn"])
def test_the_system_steps_like_the_core(core):
    model = SequenceModel(core, 2, 4, 3, rng=0)
    inputs = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    system = model.system()
    x = torch.zeros(3, system.like.shape[-1], dtype=torch.float64)
    for step in range(5):
        x = system.step(float(step), x, inputs[:, step].double(), system.params)
    last = model.double().core(inputs.double())[1]
    expected = torch.cat([part[0] for part in last], dim=-1) if isinstance(last, tuple) else last[0]
    torch.testing.assert_close(x, expected.detach(), rtol=0, atol=1e-12)


def test_the_answer_is_the_readout_of_the_last_or_of_every_step():
    one, every = (SequenceModel("gru", 2, 4, 3, every_step=flag, rng=0) for flag in (False, True))
    inputs = torch.randn(3, 5, 2)
    torch.testing.assert_close(one(inputs), every(inputs)[:, -1])
    assert every(inputs).shape == (3, 5, 3)


def test_an_encoder_comes_first_also_in_the_system():
    model = SequenceModel("lstm", 3, 4, 7, encoder=nn.Embedding(7, 3), rng=0)
    tokens = torch.tensor([[1, 2, 6, 0]])
    plain = SequenceModel("lstm", 3, 4, 7, rng=0)
    torch.testing.assert_close(model(tokens), plain(model.encoder(tokens)))


def test_weights_follow_from_rng_and_torchs_own_state_stays():
    before = torch.random.get_rng_state()
    first, again, other = (SequenceModel("lstm", 1, 4, 2, rng=seed) for seed in (5, 5, 6))
    assert torch.equal(first.core.weight_hh_l0, again.core.weight_hh_l0)
    assert not torch.equal(first.core.weight_hh_l0, other.core.weight_hh_l0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_faults_of_a_model_are_named_at_once():
    with pytest.raises(InputError) as error:
        SequenceModel("transformer", 0, 4, 2)
    assert "core=" in str(error.value)
    assert "n_channels=" in str(error.value)


@pytest.mark.parametrize("core", ["lstm", "gru", "relu", "gamma", "adaptive", "cornn"])
def test_matched_cores_have_as_many_parameters_within_two_percent(core):
    target = n_parameters(SequenceModel("tanh", 1, 400, 10))
    units = matched_units(lambda n: SequenceModel(core, 1, n, 10), target)
    errors = [abs(n_parameters(SequenceModel(core, 1, n, 10)) - target) for n in (units - 1, units, units + 1)]
    assert errors[1] == min(errors)
    assert errors[1] <= 0.02 * target


def test_a_number_that_no_size_meets_is_refused():
    with pytest.raises(InputError, match="units come closest"):
        matched_units(lambda n: SequenceModel("lstm", 1, n, 1), 30)


def test_a_size_that_changes_nothing_is_named():
    with pytest.raises(InputError, match="make: 4 units have no more parameters than 2"):
        matched_units(lambda n: SequenceModel("tanh", 1, 5, 1), 10_000)


def test_the_image_encoder_is_the_papers_network():
    # written down once more, layer by layer, as the paper's section 5.2 has it
    encoder = ImageEncoder(8, 12, 3).eval()
    pixels = torch.randn(2, 96, 3)
    x = pixels.reshape(2, 8, 12, 3).permute(0, 3, 1, 2)
    convolutions = [layer for layer in encoder.layers if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in encoder.layers if isinstance(layer, nn.BatchNorm2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 64, 128, 256]
    for number, (norm, convolution) in enumerate(zip(norms, convolutions, strict=True)):
        x = nn.functional.conv2d(torch.relu(norm(x)), convolution.weight, convolution.bias, padding=1)
        if number in (1, 3):
            x = nn.functional.max_pool2d(x, 2, stride=2)
    assert encoder(pixels).shape == (2, encoder.n_steps, encoder.n_features) == (2, 6, 256)
    torch.testing.assert_close(encoder(pixels), x.permute(0, 2, 3, 1).reshape(2, 6, 256))


def test_the_image_encoder_refuses_other_images():
    with pytest.raises(InputError, match=r"\(sequence, 64, 1\)"):
        ImageEncoder(8, 8)(torch.zeros(2, 65, 1))
    with pytest.raises(InputError) as error:
        ImageEncoder(3, 8, 0)
    assert "height=" in str(error.value)
    assert "n_channels=" in str(error.value)


def test_matching_costs_no_memory():
    seen = []

    def make(n):
        model = SequenceModel("tanh", 1, n, 1)
        seen.append(next(model.parameters()).device.type)
        return model

    matched_units(make, 10**9)
    assert set(seen) == {"meta"}
    assert len(seen) < 2 * np.log2(10**9)
