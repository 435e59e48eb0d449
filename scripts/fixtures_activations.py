"""Cases of activations, resizing, embeddings, containers and losses; called by fixtures.py, whose functions they use."""

import torch
from __main__ import array, build, draw, generator_for, layer_case, snake
from torch import nn
import torch.nn.functional as F


# --- layers that PyTorch lacks ----------------------------------------------------------------------------------------


class GatedTanh(nn.Module):
    def __init__(self, dim=1):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        a, b = x.chunk(2, self.dim)
        return torch.tanh(a) * torch.sigmoid(b)


nn.GatedTanh = GatedTanh


def activations():
    shape = [3, 4, 2]
    for name in ["ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Softsign", "LogSigmoid"]:
        yield layer_case(name, {"type": name}, shape, scale=4.0)
    for config in [
        {"type": "ELU"},
        {"type": "ELU", "alpha": -0.7},
        {"type": "CELU"},
        {"type": "CELU", "alpha": 2.5},
        {"type": "CELU", "alpha": -0.5},
        {"type": "Hardtanh"},
        {"type": "Hardtanh", "minVal": -0.3, "maxVal": 2},
        {"type": "GELU"},
        {"type": "GELU", "approximate": "tanh"},
        {"type": "Softplus"},
        {"type": "Softplus", "beta": 3, "threshold": 2},
        {"type": "Softplus", "beta": 0.5, "threshold": 200},
        {"type": "PReLU"},
        {"type": "PReLU", "numParameters": 4, "init": 0.1},
        {"type": "Softmax", "dim": 1},
        {"type": "Softmax", "dim": -1},
        {"type": "LogSoftmax", "dim": 1},
        {"type": "LogSoftmax", "dim": -3},
        {"type": "GLU"},
        {"type": "GLU", "dim": 1},
        {"type": "GatedTanh"},
        {"type": "GatedTanh", "dim": -1},
    ]:
        name = " ".join(str(part) for part in config.values())
        yield layer_case(name, config, shape, scale=2.5)
    yield layer_case("GELU far out", {"type": "GELU"}, shape, scale=20.0)
    yield layer_case("Softplus far out", {"type": "Softplus"}, shape, scale=200.0)
    yield layer_case("Mish far out", {"type": "Mish"}, shape, scale=200.0)
