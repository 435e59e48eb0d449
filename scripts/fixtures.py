"""Writes tests/fixtures/*.jsonl (one case a line): what PyTorch computes for layers, losses, optimizers and a training loop.

Run with any PyTorch >= 1.13 (`npm run fixtures`); the tests themselves need only the files. Everything is computed in
float64 from inputs with three decimals, and printed with eight significant digits.
"""

import json
import os
import re
import zlib

import torch
import torch.nn.functional as F
from torch import nn

torch.set_default_dtype(torch.float64)
FOLDER = os.path.join(os.path.dirname(__file__), "..", "tests", "fixtures")


def snake(name):
    return re.sub(r"([A-Z])", lambda m: "_" + m.group(1).lower(), name)


def number(x):
    return int(x) if x == int(x) else float(f"{x:.8g}")


def array(t):
    return {"shape": list(t.shape), "data": [number(x) for x in t.detach().reshape(-1).tolist()]}


def arrays(named):
    return {name: array(t) for name, t in named}


def draw(shape, generator, scale=1.0):
    return (torch.randn(shape, generator=generator) * scale * 1000).round() / 1000


def generator_for(name):
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


# --- layers -----------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, body, shortcut=None, activation=None):
        super().__init__()
        self.body = body
        if shortcut is not None:
            self.shortcut = shortcut
        if activation is not None:
            self.activation = activation

    def forward(self, x):
        y = self.body(x) + (self.shortcut(x) if hasattr(self, "shortcut") else x)
        return self.activation(y) if hasattr(self, "activation") else y


def build(config):
    config = dict(config)
    kind = config.pop("type")
    if kind == "Sequential":
        layers = [build(layer) for layer in config["layers"]]
        if "names" not in config:
            return nn.Sequential(*layers)
        module = nn.Sequential()
        for name, layer in zip(config["names"], layers):
            module.add_module(name, layer)
        return module
    if kind == "Residual":
        return Residual(**{name: build(part) for name, part in config.items()})
    arguments = {snake(name): tuple(v) if isinstance(v, list) else v for name, v in config.items()}
    return getattr(nn, kind)(**arguments)


def randomize(module, generator):
    """Weights, and statistics that look as if the layer had been trained."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(draw(parameter.shape, generator, 0.5))
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.copy_(draw(buffer.shape, generator).abs() + 0.5)
            elif name.endswith("running_mean"):
                buffer.copy_(draw(buffer.shape, generator))
            else:
                buffer.fill_(3)


def layer_case(name, config, shape, train=False, scale=1.0, offset=0.0):
    generator = generator_for(name)
    module = build(config)
    randomize(module, generator)
    module.train(train)
    x = (draw(shape, generator, scale) + offset).requires_grad_()
    state = arrays(module.state_dict().items())
    y = module(x)
    if isinstance(y, tuple):  # recurrent layers give their state, too
        y = y[0]
    cotangent = draw(y.shape, generator)
    parameters = dict(module.named_parameters())
    gradients = torch.autograd.grad((y * cotangent).sum(), [x, *parameters.values()])
    case = {
        "name": name,
        "layer": config,
        "train": train,
        "state": state,
        "input": array(x),
        "output": array(y),
        "cotangent": array(cotangent),
        "gradients": arrays(zip(["input", *parameters], gradients)),
    }
    buffers = dict(module.named_buffers())
    if train and buffers:
        case["buffersAfter"] = arrays(buffers.items())
    return case


def conv(in_channels, out_channels, kernel, **options):
    return {"type": "Conv2d", "inChannels": in_channels, "outChannels": out_channels, "kernelSize": kernel, **options}


def layers():
    image = [2, 4, 7, 6]
    yield layer_case("conv 3x3", conv(4, 3, 3), image)
    yield layer_case("conv 1x1 without bias", conv(4, 5, 1, bias=False), image)
    yield layer_case("conv 1x1 strided", conv(4, 5, 1, stride=2), image)
    yield layer_case("conv rectangular", conv(4, 2, [1, 3], stride=[2, 1], padding=[0, 2], dilation=[1, 2]), image)
    yield layer_case("conv strided and padded", conv(4, 3, 3, stride=2, padding=1), image)
    yield layer_case("conv stride above kernel", conv(4, 3, 2, stride=3, padding=1), image)
    yield layer_case("conv dilated", conv(4, 3, 3, dilation=2, padding=2), image)
    yield layer_case("conv strided and dilated", conv(4, 2, 3, stride=2, dilation=3, padding=3), image)
    yield layer_case("conv grouped", conv(4, 6, 3, groups=2, padding=1), image)
    yield layer_case("conv depthwise", conv(4, 4, 3, groups=4, padding=1), image)
    yield layer_case("conv depthwise with multiplier", conv(4, 8, 3, groups=4, stride=2), image)
    yield layer_case("conv same", conv(4, 2, 3, padding="same"), image)
    yield layer_case("conv same, even kernel", conv(4, 2, [2, 4], padding="same", dilation=[1, 1]), image)
    yield layer_case("conv same, dilated", conv(4, 2, [2, 3], padding="same", dilation=[3, 2]), image)
    yield layer_case("conv valid", conv(4, 2, [3, 2], padding="valid"), image)
    yield layer_case("conv as large as the input", conv(4, 2, [7, 6]), image)
    yield layer_case("conv padding above kernel", conv(4, 2, 1, padding=2), image)

    yield layer_case("linear", {"type": "Linear", "inFeatures": 5, "outFeatures": 3}, [4, 5])
    yield layer_case("linear without bias", {"type": "Linear", "inFeatures": 5, "outFeatures": 3, "bias": False}, [4, 5])
    yield layer_case("linear of rank 4", {"type": "Linear", "inFeatures": 3, "outFeatures": 2}, [2, 2, 4, 3])
    yield layer_case("linear of rank 1", {"type": "Linear", "inFeatures": 3, "outFeatures": 2}, [3])

    for name in ["ReLU", "Tanh", "Sigmoid", "Identity"]:
        yield layer_case(name, {"type": name}, [3, 7], scale=3.0)
    yield layer_case("leaky relu", {"type": "LeakyReLU"}, [3, 7])
    yield layer_case("leaky relu, steep", {"type": "LeakyReLU", "negativeSlope": 1.5}, [3, 7])
    yield layer_case("leaky relu, negative slope below 0", {"type": "LeakyReLU", "negativeSlope": -0.3}, [3, 7])
    yield layer_case("dropout in use", {"type": "Dropout", "p": 0.7}, [3, 7])
    yield layer_case("flatten", {"type": "Flatten"}, [2, 3, 2, 2])
    yield layer_case("flatten part", {"type": "Flatten", "startDim": 0, "endDim": -2}, [2, 3, 2, 2])

    pool = [2, 3, 7, 8]
    for name, options in [
        ("2", {"kernelSize": 2}),
        ("3 by 2, overlapping", {"kernelSize": [3, 2], "stride": [2, 1]}),
        ("padded", {"kernelSize": 3, "stride": 2, "padding": 1}),
        ("dilated", {"kernelSize": 2, "stride": 1, "dilation": [3, 2], "padding": 1}),
        ("ceil", {"kernelSize": 3, "stride": 2, "ceilMode": True}),
        ("ceil, last window in the padding", {"kernelSize": 2, "stride": 3, "padding": 1, "ceilMode": True}),
        ("ceil, padded", {"kernelSize": [3, 4], "stride": [3, 3], "padding": [1, 2], "ceilMode": True}),
    ]:
        yield layer_case(f"max pool {name}", {"type": "MaxPool2d", **options}, pool)
        if "dilation" not in options:
            yield layer_case(f"average pool {name}", {"type": "AvgPool2d", **options}, pool)
            if "padding" in options or "ceilMode" in options:
                config = {"type": "AvgPool2d", **options, "countIncludePad": False}
                yield layer_case(f"average pool {name}, without padding", config, pool)
    divisor = {"type": "AvgPool2d", "kernelSize": 3, "padding": 1, "divisorOverride": 5}
    yield layer_case("average pool with a divisor", divisor, pool)
    for size in [1, [2, 4], [3, 5], [7, None], [10, 3], [None, 2]]:
        yield layer_case(f"adaptive average pool {size}", {"type": "AdaptiveAvgPool2d", "outputSize": size}, [2, 2, 6, 8])

    norm = {"type": "BatchNorm2d", "numFeatures": 3}
    shape = [3, 3, 4, 2]
    for train in [True, False]:
        mode = "training" if train else "in use"
        yield layer_case(f"batch norm {mode}", norm, shape, train, scale=2.0, offset=0.7)
        yield layer_case(f"batch norm {mode}, options", {**norm, "eps": 0.01, "momentum": 0.3}, shape, train)
        yield layer_case(f"batch norm {mode}, cumulative", {**norm, "momentum": None}, shape, train)
        yield layer_case(f"batch norm {mode}, not affine", {**norm, "affine": False}, shape, train)
        yield layer_case(f"batch norm {mode}, untracked", {**norm, "trackRunningStats": False}, shape, train)
    # Far from zero: one-pass statistics would have no digits left in float32.
    yield layer_case("batch norm training, large mean", norm, [4, 3, 3, 3], True, scale=1.0, offset=500.0)

    block = {
        "type": "Residual",
        "body": {
            "type": "Sequential",
            "layers": [
                conv(2, 3, 3, stride=2, padding=1, bias=False),
                {"type": "BatchNorm2d", "numFeatures": 3},
                {"type": "ReLU"},
                conv(3, 3, 3, padding=1, bias=False),
                {"type": "BatchNorm2d", "numFeatures": 3},
            ],
        },
        "shortcut": {
            "type": "Sequential",
            "names": ["conv", "norm"],
            "layers": [conv(2, 3, 1, stride=2, bias=False), {"type": "BatchNorm2d", "numFeatures": 3}],
        },
        "activation": {"type": "ReLU"},
    }
    yield layer_case("residual block training", block, [3, 2, 6, 6], True)
    yield layer_case("residual block in use", block, [1, 2, 6, 6], False)
    plain = {"type": "Residual", "body": {"type": "Linear", "inFeatures": 4, "outFeatures": 4}}
    yield layer_case("residual block, plain", plain, [2, 4])


# --- functions and losses ---------------------------------------------------------------------------------------------


def loss_case(name, function, options, logits, other, extra=None):
    x = logits.clone().requires_grad_()
    arguments = {snake(key): value for key, value in options.items()}
    tensors = {}
    if extra is not None:
        arguments["weight"] = extra
        tensors["weight"] = array(extra)
    y = getattr(F, function)(x, other, **arguments)
    cotangent = draw(y.shape, generator_for(name))
    (gradient,) = torch.autograd.grad((y * cotangent).sum(), [x])
    return {
        "name": name,
        "function": function,
        "options": options,
        **tensors,
        "input": array(x),
        "target": {**array(other), "integer": not other.is_floating_point()},
        "output": array(y),
        "cotangent": array(cotangent),
        "gradient": array(gradient),
    }


def losses():
    generator = generator_for("losses")
    logits = draw([5, 4], generator, 2.0)
    labels = torch.tensor([0, 3, 1, 1, 2])
    dense = draw([2, 3, 2, 2], generator, 2.0)
    dense_labels = torch.tensor([[[0, 2], [1, 1]], [[2, 2], [0, 1]]])
    weight = torch.tensor([0.5, 2.0, 1.25, 0.1])
    probabilities = F.softmax(draw([5, 4], generator), 1).mul(1000).round().div(1000)
    for reduction in ["mean", "sum", "none"]:
        for smoothing in [0.0, 0.1, 1.0]:
            options = {"reduction": reduction, "labelSmoothing": smoothing}
            text = f"{reduction}, smoothing {smoothing}"
            yield loss_case(f"cross entropy {text}", "cross_entropy", options, logits, labels)
            yield loss_case(f"cross entropy of pixels {text}", "cross_entropy", options, dense, dense_labels)
            yield loss_case(f"cross entropy weighted {text}", "cross_entropy", options, logits, labels, weight)
            ignoring = {**options, "ignoreIndex": 1}
            yield loss_case(f"cross entropy ignoring {text}", "cross_entropy", ignoring, logits, labels)
            yield loss_case(f"cross entropy weighted, ignoring {text}", "cross_entropy", ignoring, logits, labels, weight)
            yield loss_case(f"cross entropy of probabilities {text}", "cross_entropy", options, logits, probabilities)
            yield loss_case(
                f"cross entropy of probabilities, weighted {text}", "cross_entropy", options, logits, probabilities, weight
            )
        yield loss_case(f"squared error {reduction}", "mse_loss", {"reduction": reduction}, logits, probabilities)
    yield loss_case("cross entropy of huge logits", "cross_entropy", {}, logits * 400, labels)


# --- optimizers -------------------------------------------------------------------------------------------------------


def optimizer_case(kind, options, steps=5):
    name = " ".join([kind, *(f"{key}={value}" for key, value in options.items())])
    generator = generator_for("optimizer")
    parameters = [draw(shape, generator) for shape in ([2, 3], [3])]
    case = {"name": name, "type": kind, "options": options, "initial": [array(p) for p in parameters], "steps": []}
    for parameter in parameters:
        parameter.requires_grad_()
    arguments = {snake(key): tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    optimizer = getattr(torch.optim, kind)(parameters, **arguments)
    for step in range(steps):
        if step == 3:  # a schedule changes the rate between steps
            optimizer.param_groups[0]["lr"] *= 0.5
        for parameter in parameters:
            parameter.grad = draw(parameter.shape, generator)
        gradients = [array(p.grad) for p in parameters]
        optimizer.step()
        after = [array(p) for p in parameters]
        case["steps"].append({"lr": optimizer.param_groups[0]["lr"], "gradients": gradients, "after": after})
    return case


def optimizers():
    for options in [
        {"lr": 0.1},
        {"lr": 0.1, "weightDecay": 0.2},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "weightDecay": 0.05},
        {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weightDecay": 0.05},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weightDecay": 0.05},
    ]:
        yield optimizer_case("SGD", options)
    for kind in ["Adam", "AdamW"]:
        for options in [
            {},
            {"lr": 0.05, "betas": [0.8, 0.9], "eps": 0.01},
            {"lr": 0.05, "weightDecay": 0.3},
            {"lr": 0.05, "weightDecay": 0.0},
            {"lr": 0.05, "amsgrad": True, "weightDecay": 0.1},
            {"lr": 0.05, "betas": [0.0, 0.99]},
        ]:
            yield optimizer_case(kind, options)


# --- training ---------------------------------------------------------------------------------------------------------


def training_case(name, kind, options, steps=5):
    generator = generator_for(name)
    config = {
        "type": "Sequential",
        "layers": [
            # A bias before batch normalisation has the gradient 0; Adam would blow up its rounding errors.
            conv(1, 3, 3, padding=1, bias=False),
            {"type": "BatchNorm2d", "numFeatures": 3},
            {"type": "ReLU"},
            {"type": "MaxPool2d", "kernelSize": 2},
            {
                "type": "Residual",
                "body": {
                    "type": "Sequential",
                    "layers": [conv(3, 3, 3, padding=1, bias=False), {"type": "BatchNorm2d", "numFeatures": 3}],
                },
                "activation": {"type": "Tanh"},
            },
            {"type": "AvgPool2d", "kernelSize": 2},
            {"type": "Flatten"},
            {"type": "Linear", "inFeatures": 12, "outFeatures": 3},
        ],
    }
    module = build(config).train()
    randomize(module, generator)
    case = {"name": name, "layer": config, "optimizer": kind, "options": options, "state": arrays(module.state_dict().items())}
    arguments = {snake(key): tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    optimizer = getattr(torch.optim, kind)(module.parameters(), **arguments)
    case["steps"] = []
    for _ in range(steps):
        x = draw([4, 1, 8, 8], generator)
        labels = torch.randint(3, [4], generator=generator)
        loss = F.cross_entropy(module(x), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        case["steps"].append({"input": array(x), "labels": labels.tolist(), "loss": loss.item()})
    case["after"] = arrays(module.state_dict().items())
    x = draw([2, 1, 8, 8], generator)
    case["used"] = {"input": array(x), "output": array(module.eval()(x))}
    return case


def training():
    yield training_case("train with SGD", "SGD", {"lr": 0.1, "momentum": 0.9, "weightDecay": 0.01})
    yield training_case("train with AdamW", "AdamW", {"lr": 0.01})


def write(name, cases):
    path = os.path.join(FOLDER, f"{name}.jsonl")
    with open(path, "w") as file:
        for case in cases:
            file.write(json.dumps(case, separators=(",", ":")) + "\n")
    print(path, os.path.getsize(path), "bytes")


os.makedirs(FOLDER, exist_ok=True)
write("layers", layers())
write("losses", losses())
write("optimizers", optimizers())
write("training", training())

import fixtures_activations  # it uses the functions above

write("activations", fixtures_activations.activations())
write("loss-modules", fixtures_activations.losses())
write("resizing", fixtures_activations.resizing())
write("containers", fixtures_activations.containers())
write("padding-layers", fixtures_activations.padding())

import fixtures_pooling  # so does this

write("pooling", fixtures_pooling.pooling())
write("normalization", fixtures_pooling.normalization())
write("unpooling", fixtures_pooling.unpooling())

import fixtures_conv

write("convolutions", fixtures_conv.cases())

import fixtures_gather

write("gather", fixtures_gather.cases())

import fixtures_options

write("options", fixtures_options.cases())

import fixtures_ctc

write("ctc", fixtures_ctc.cases())

import fixtures_recurrent

write("recurrent", fixtures_recurrent.layers())
write("recurrent-states", fixtures_recurrent.states())

import fixtures_formats

fixtures_formats.write()

import fixtures_models

write("models", fixtures_models.cases())
