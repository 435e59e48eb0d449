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


# --- losses -----------------------------------------------------------------------------------------------------------


class DiceLoss(nn.Module):
    """By the definition, written with loops over samples and classes."""

    def __init__(self, smooth=1e-5, squared=False, batch=False, include_background=True, reduction="mean"):
        super().__init__()
        self.smooth, self.squared, self.batch, self.reduction = smooth, squared, batch, reduction
        self.first = 0 if include_background else 1

    def forward(self, p, target):
        if not target.is_floating_point():
            target = torch.stack([(target == c).double() for c in range(p.shape[1])], 1)
        parts = [p] if self.batch else p
        truths = [target.transpose(0, 1)] if self.batch else target
        rows = []
        for part, truth in zip(parts, truths):
            if self.batch:
                part = part.transpose(0, 1)
            row = []
            for c in range(self.first, part.shape[0]):
                a, b = part[c].flatten(), truth[c].flatten()
                size = (a * a + b * b).sum() if self.squared else (a + b).sum()
                row.append(1 - (2 * (a * b).sum() + self.smooth) / (size + self.smooth))
            rows.append(torch.stack(row))
        losses = rows[0] if self.batch else torch.stack(rows)
        return {"mean": losses.mean(), "sum": losses.sum(), "none": losses}[self.reduction]


nn.DiceLoss = DiceLoss


def loss_module_case(config, x, target, tensors=None):
    tensors = tensors or {}
    options = {snake(key): value for key, value in config.items() if key != "type"}
    module = getattr(nn, config["type"])(**options, **{snake(key): value for key, value in tensors.items()})
    name = " ".join(str(part) for part in [*config.values(), *tensors, list(target.shape), target.dtype])
    x = x.clone().requires_grad_()
    y = module(x, target)
    cotangent = draw(y.shape, generator_for(name))
    (gradient,) = torch.autograd.grad((y * cotangent).sum(), [x])
    return {
        "name": name,
        "loss": {**config, **{key: array(value) for key, value in tensors.items()}},
        "input": array(x),
        "target": {**array(target), "integer": not target.is_floating_point()},
        "output": array(y),
        "cotangent": array(cotangent),
        "gradient": array(gradient),
    }


def losses():
    generator = generator_for("loss modules")
    x = draw([3, 4], generator, 2.0)
    target = draw([3, 4], generator, 2.0)
    chances = torch.rand([3, 4], generator=generator).mul(1000).round().div(1000)
    truth = (torch.rand([3, 4], generator=generator) > 0.5).double()
    some = torch.tensor([0.5, 2.0, 1.25, 0.125])
    labels = torch.tensor([2, -100, 1])
    volume = draw([2, 4, 2, 1, 2], generator, 2.0)
    voxels = torch.tensor([[[[0, 2]], [[1, 3]]], [[[-100, 2]], [[0, 1]]]])
    segments = F.softmax(volume, 1).mul(1000).round().div(1000)
    for reduction in ["mean", "sum", "none"]:
        r = {"reduction": reduction}
        yield loss_module_case({"type": "MSELoss", **r}, x, target)
        yield loss_module_case({"type": "L1Loss", **r}, x, target)
        for beta in [1.0, 0.3, 0]:
            yield loss_module_case({"type": "SmoothL1Loss", "beta": beta, **r}, x, target)
        for delta in [1.0, 2.5]:
            yield loss_module_case({"type": "HuberLoss", "delta": delta, **r}, x, target)
        for other in [truth, chances]:
            yield loss_module_case({"type": "BCELoss", **r}, chances.flip(0), other)
            yield loss_module_case({"type": "BCELoss", **r}, chances.flip(0), other, {"weight": some})
            yield loss_module_case({"type": "BCEWithLogitsLoss", **r}, x, other)
            yield loss_module_case({"type": "BCEWithLogitsLoss", **r}, x, other, {"weight": some})
            yield loss_module_case({"type": "BCEWithLogitsLoss", **r}, x, other, {"posWeight": some})
            yield loss_module_case({"type": "BCEWithLogitsLoss", **r}, x * 100, other, {"weight": some[:1], "posWeight": some})
        for scores, classes in [(x, labels), (volume, voxels)]:
            for tensors in [{}, {"weight": some}]:
                yield loss_module_case({"type": "NLLLoss", **r}, scores, classes, tensors)
                yield loss_module_case({"type": "NLLLoss", "ignoreIndex": 2, **r}, scores, classes.abs() % 4, tensors)
                yield loss_module_case({"type": "CrossEntropyLoss", **r}, scores, classes, tensors)
                smooth = {"type": "CrossEntropyLoss", "labelSmoothing": 0.2, "ignoreIndex": 1, **r}
                yield loss_module_case(smooth, scores, classes.abs() % 4, tensors)
        yield loss_module_case({"type": "CrossEntropyLoss", **r}, volume, segments)
        for options in [{}, {"smooth": 1}, {"squared": True}, {"batch": True}, {"includeBackground": False}]:
            yield loss_module_case({"type": "DiceLoss", **options, **r}, segments, voxels)
            yield loss_module_case({"type": "DiceLoss", **options, **r}, segments, segments.flip(0))
        yield loss_module_case({"type": "DiceLoss", **r}, chances, torch.tensor([0, 3, 1]))


# --- resizing and rearranging -----------------------------------------------------------------------------------------


def resizing():
    inputs = {1: [1, 2, 5], 2: [1, 1, 4, 5], 3: [1, 1, 3, 4, 2]}
    modes = {"nearest": [1, 2, 3], "nearest-exact": [1, 2, 3], "area": [1, 2, 3]}
    modes |= {"linear": [1], "bilinear": [2], "trilinear": [3], "bicubic": [2]}
    sizes = {1: [[8], [3], [1], [5], [10]], 2: [[7, 3], [1, 6], [4, 5]], 3: [[5, 2, 3]]}
    factors = [2, 1.7, 0.6]
    for mode, ranks in modes.items():
        for rank in ranks:
            options = [{"size": size} for size in sizes[rank]]
            options += [{"scaleFactor": factor} for factor in factors if rank < 3 or factor == 1.7]
            options.append({"scaleFactor": [1.6, 2, 0.7][:rank] if rank > 1 else 1.3})
            if mode != "area":
                options.append({"scaleFactor": 1.7, "recomputeScaleFactor": True})
            for option in options:
                corners = [{"alignCorners": True}, {"alignCorners": False}, {}] if "linear" in mode or "cubic" in mode else [{}]
                for corner in corners[: 3 if option is options[0] else 2]:
                    config = {"type": "Upsample", **option, "mode": mode, **corner}
                    name = f"upsample {rank}-D " + ", ".join(f"{key} {value}" for key, value in list(config.items())[1:])
                    yield layer_case(name, config, inputs[rank])
    for factor in [1, 2, 3]:
        shuffle = {"type": "PixelShuffle", "upscaleFactor": factor}
        yield layer_case(f"pixel shuffle {factor}", shuffle, [2, 2 * factor * factor, 2, 3])
        unshuffle = {"type": "PixelUnshuffle", "downscaleFactor": factor}
        yield layer_case(f"pixel unshuffle {factor}", unshuffle, [2, 2, 2 * factor, 3 * factor])
    yield layer_case("pixel shuffle without batch", {"type": "PixelShuffle", "upscaleFactor": 2}, [4, 2, 3])


# --- embeddings and containers ----------------------------------------------------------------------------------------


def embedding_case(name, options, ids):
    generator = generator_for(name)
    config = {"type": "Embedding", "numEmbeddings": 5, "embeddingDim": 3, **options}
    module = build(config)
    with torch.no_grad():
        module.weight.copy_(draw(module.weight.shape, generator))
    y = module(ids)
    cotangent = draw(y.shape, generator)
    (gradient,) = torch.autograd.grad((y * cotangent).sum(), [module.weight])
    return {
        "name": name,
        "layer": config,
        "train": False,
        "state": {"weight": array(module.weight)},
        "input": {**array(ids), "integer": True},
        "output": array(y),
        "cotangent": array(cotangent),
        "gradients": {"weight": array(gradient)},
    }


class Parallel(nn.Module):
    def __init__(self, branches, names=None, merge="concat", dim=1):
        super().__init__()
        for name, branch in zip(names or map(str, range(len(branches))), branches):
            self.add_module(name, build(branch))
        self.merge, self.dim = merge, dim

    def forward(self, x):
        parts = [branch(x) for branch in self.children()]
        if self.merge == "concat":
            return torch.cat(parts, self.dim)
        stacked = torch.stack(parts)
        return {"sum": stacked.sum, "mean": stacked.mean, "product": stacked.prod, "max": stacked.amax}[self.merge](0)


nn.Parallel = Parallel


def containers():
    ids = torch.tensor([[0, 4, 1, 1], [3, 1, 0, 4]])
    yield embedding_case("embedding", {}, ids)
    yield embedding_case("embedding with padding", {"paddingIdx": 1}, ids)
    yield embedding_case("embedding with padding from the end", {"paddingIdx": -1}, ids)
    yield embedding_case("embedding of one word", {}, torch.tensor(2))
    yield embedding_case("embedding of a batch", {"paddingIdx": 0}, ids.reshape(2, 2, 2))
    linear = {"type": "Linear", "inFeatures": 4, "outFeatures": 3}
    tanh = {"type": "Sequential", "layers": [linear, {"type": "Tanh"}]}
    wide = {**linear, "outFeatures": 2}
    yield layer_case("concat", {"type": "Parallel", "branches": [linear, tanh, wide]}, [5, 4])
    yield layer_case("concat along the batch", {"type": "Parallel", "branches": [linear, tanh], "dim": 0}, [5, 4])
    named = {"type": "Parallel", "branches": [linear, {"type": "Identity"}], "names": ["main", "skip"], "dim": -1}
    yield layer_case("concat by names", named, [2, 5, 4])
    for merge in ["sum", "mean", "product", "max"]:
        yield layer_case(f"parallel {merge}", {"type": "Parallel", "branches": [linear, tanh, linear], "merge": merge}, [5, 4])


# --- padding ----------------------------------------------------------------------------------------------------------


def pad_module(rank, mode, value=0.0):
    class Pad(nn.Module):
        def __init__(self, padding):
            super().__init__()
            self.padding = [padding] * (2 * rank) if isinstance(padding, int) else list(padding)

        def forward(self, x):
            return F.pad(x, self.padding, mode, value)

    return Pad


for rank in [1, 2, 3]:  # newer than PyTorch 1.13
    for kind, mode in [("ZeroPad", "constant"), ("CircularPad", "circular")]:
        if not hasattr(nn, f"{kind}{rank}d"):
            setattr(nn, f"{kind}{rank}d", pad_module(rank, mode))


def padding():
    for rank in [1, 2, 3]:
        shape = [[2, 2, 4], [1, 2, 3, 4], [1, 1, 3, 4, 2]][rank - 1]
        for kind in ["ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad"]:
            for amount in [1, [1, 0, 2, 1, 0, 2][: 2 * rank]]:
                config = {"type": f"{kind}{rank}d", "padding": amount}
                if kind == "ConstantPad":
                    config["value"] = -1.5
                yield layer_case(f"{kind}{rank}d {amount}", config, shape)
