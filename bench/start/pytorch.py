"""`python3 pytorch.py MODEL INPUT`, see gabor.mjs; a model that torch.jit.save wrote. `--save MODEL LAYERS PARAMETERS` writes it."""

import json
import os
import sys

import torch


def floats(file):
    with open(file, "rb") as opened:
        return torch.frombuffer(bytearray(opened.read()), dtype=torch.float32)


def save(file, layers, parameters):
    from torch import nn

    kinds = {
        "conv": lambda c: nn.Conv2d(c["in"], c["out"], c["kernel"]),
        "relu": lambda _: nn.ReLU(),
        "maxPool": lambda c: nn.MaxPool2d(c["kernel"]),
        "flatten": lambda _: nn.Flatten(),
        "linear": lambda c: nn.Linear(c["in"], c["out"]),
    }
    model = nn.Sequential(*[kinds[config["type"]](config) for config in json.loads(layers)]).eval()
    rest = floats(parameters)
    with torch.no_grad():
        for parameter in model.parameters():
            values, rest = rest[: parameter.numel()], rest[parameter.numel() :]
            parameter.copy_(values.reshape(parameter.shape))
    torch.jit.save(torch.jit.script(model), file)


if sys.argv[1] == "--save":
    save(*sys.argv[2:])
else:
    model = torch.jit.load(sys.argv[1])
    with torch.inference_mode():
        print(json.dumps(model(floats(sys.argv[2]).reshape(1, 1, 28, 28)).ravel().tolist()), flush=True)
    os._exit(0)
