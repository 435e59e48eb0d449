"""Cases of pooling, normalisation and dropout in every rank; called by fixtures.py, whose functions they use."""

from math import prod

import torch
import torch.nn.functional as F
from __main__ import array, draw, generator_for, layer_case
from torch import nn

SPATIAL = {1: [9], 2: [6, 7], 3: [4, 3, 5]}


# --- layers that PyTorch (or an older one) lacks ----------------------------------------------------------------------


class LPPool3d(nn.Module):
    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__()
        self.norm_type, self.ceil_mode = norm_type, ceil_mode
        self.kernel_size = (kernel_size,) * 3 if isinstance(kernel_size, int) else kernel_size
        self.stride = stride or self.kernel_size

    def forward(self, x):
        mean = F.avg_pool3d(x.pow(self.norm_type), self.kernel_size, self.stride, 0, self.ceil_mode)
        return (mean * prod(self.kernel_size)).pow(1 / self.norm_type)


if not hasattr(nn, "LPPool3d"):
    nn.LPPool3d = LPPool3d


def global_pool(reduce):
    class GlobalPool(nn.Module):
        def __init__(self, keep_dims=False):
            super().__init__()
            self.keep_dims = keep_dims

        def forward(self, x):
            return reduce(x, tuple(range(2, x.dim())), self.keep_dims)

    return GlobalPool


for rank in SPATIAL:
    setattr(nn, f"GlobalAvgPool{rank}d", global_pool(torch.mean))
    setattr(nn, f"GlobalMaxPool{rank}d", global_pool(torch.amax))


# --- layers -----------------------------------------------------------------------------------------------------------


def pooling():
    for rank in SPATIAL:
        shape = [2 if rank == 1 else 1, 2, *SPATIAL[rank]]
        last = lambda values: values[-rank:] if rank > 1 else values[-1]
        for name, options in [
            ("2", {"kernelSize": 2}),
            ("overlapping", {"kernelSize": last([2, 2, 3]), "stride": last([1, 1, 2])}),
            ("padded", {"kernelSize": 3, "stride": 2, "padding": 1}),
            ("padded on one axis", {"kernelSize": last([2, 3, 4]), "stride": 2, "padding": last([0, 1, 2])}),
            ("dilated", {"kernelSize": 2, "stride": 1, "dilation": last([3, 2, 3]), "padding": 1}),
            ("dilated, ceil", {"kernelSize": 2, "stride": 2, "dilation": last([1, 2, 3]), "ceilMode": True}),
            ("ceil", {"kernelSize": 3, "stride": 2, "ceilMode": True}),
            ("ceil, last window in the padding", {"kernelSize": 2, "stride": 3, "padding": 1, "ceilMode": True}),
            ("ceil, padded", {"kernelSize": last([2, 3, 4]), "stride": 3, "padding": last([1, 1, 2]), "ceilMode": True}),
        ]:
            text = f"{rank}d, {name}"
            yield layer_case(f"max pool {text}", {"type": f"MaxPool{rank}d", **options}, shape)
            if "dilation" in options:
                continue
            average = {"type": f"AvgPool{rank}d", **options}
            yield layer_case(f"average pool {text}", average, shape)
            if "padding" in options or "ceilMode" in options:
                yield layer_case(f"average pool {text}, without padding", {**average, "countIncludePad": False}, shape)
            if "padding" not in options:
                for p in [1, 2, 4]:
                    yield layer_case(f"L{p} pool {text}", {"type": f"LPPool{rank}d", "normType": p, **options}, shape)
        broken = {"type": f"LPPool{rank}d", "normType": 1.5, "kernelSize": 2}
        yield layer_case(f"L1.5 pool {rank}d of positive numbers", broken, shape, scale=0.2, offset=2.0)
        if rank > 1:
            divisor = {"type": f"AvgPool{rank}d", "kernelSize": 3, "padding": 1, "divisorOverride": 5}
            yield layer_case(f"average pool {rank}d with a divisor", divisor, shape)
        same = {1: 9, 2: [6, None], 3: [None, 3, 2]}[rank]
        for size in [1, 3, last([2, 4, 5]), last([4, 6, 7]), last([6, 5, 11]), same]:
            for kind in ["Avg", "Max"]:
                config = {"type": f"Adaptive{kind}Pool{rank}d", "outputSize": size}
                yield layer_case(f"adaptive {kind} pool {rank}d {size}", config, shape)
        for kind in ["Avg", "Max"]:
            for keep in [True, False]:
                yield layer_case(
                    f"global {kind} pool {rank}d, keep {keep}", {"type": f"Global{kind}Pool{rank}d", "keepDims": keep}, shape
                )
        yield layer_case(f"dropout {rank}d in use", {"type": f"Dropout{rank}d", "p": 0.7}, shape)


def normalization():
    for rank in SPATIAL:
        shape = [3, 4, *{1: [5], 2: [3, 4], 3: [2, 3, 2]}[rank]]
        for train in [True, False]:
            mode = "training" if train else "in use"
            for kind, usual in [("Batch", True), ("Instance", False)]:
                norm = {"type": f"{kind}Norm{rank}d", "numFeatures": 4}
                text = f"{kind} norm {rank}d {mode}"
                yield layer_case(text, norm, shape, train, scale=2.0, offset=0.7)
                other = {**norm, "affine": not usual, "trackRunningStats": not usual}
                yield layer_case(f"{text}, affine {not usual}, tracked {not usual}", other, shape, train)
                options = {**norm, "eps": 0.01, "momentum": 0.3, "trackRunningStats": True}
                yield layer_case(f"{text}, options", options, shape, train)
                if kind == "Batch":
                    yield layer_case(f"{text}, cumulative", {**norm, "momentum": None, "trackRunningStats": True}, shape, train)
        for groups in [1, 2, 4]:
            yield layer_case(f"group norm {rank}d, {groups}", {"type": "GroupNorm", "numGroups": groups, "numChannels": 4}, shape)
        for size in [1, 2, 3, 5, 11]:
            config = {"type": "LocalResponseNorm", "size": size, "alpha": 0.3, "beta": 0.6, "k": 1.5}
            yield layer_case(f"local response norm {rank}d, {size}", config, shape)
    norm = {"type": "BatchNorm1d", "numFeatures": 4}
    for train in [True, False]:
        yield layer_case(f"batch norm of rows, training {train}", norm, [5, 4], train)
    yield layer_case("local response norm", {"type": "LocalResponseNorm", "size": 3}, [2, 6, 3, 3], scale=50.0)
    group = {"type": "GroupNorm", "numGroups": 3, "numChannels": 6}
    yield layer_case("group norm of rows", group, [4, 6])
    yield layer_case("group norm, not affine", {**group, "affine": False, "eps": 0.1}, [2, 6, 3])
    yield layer_case("layer norm", {"type": "LayerNorm", "normalizedShape": 5}, [2, 3, 5])
    yield layer_case("layer norm of one axis", {"type": "LayerNorm", "normalizedShape": [5]}, [5])
    yield layer_case("layer norm of images", {"type": "LayerNorm", "normalizedShape": [2, 3, 3]}, [3, 2, 3, 3], offset=3.0)
    plain = {"type": "LayerNorm", "normalizedShape": [4, 3], "eps": 0.1, "elementwiseAffine": False}
    yield layer_case("layer norm, not affine", plain, [2, 3, 4, 3])


# --- where the largest elements were, and back ------------------------------------------------------------------------


def unpooling():
    """Max pooling with indices, and unpooling of other numbers with these indices."""
    for rank in SPATIAL:
        last = lambda values: values[-rank:] if rank > 1 else values[-1]
        for name, options in [
            ("2", {"kernelSize": 2}),
            ("padded", {"kernelSize": 3, "stride": 3, "padding": 1}),
            ("gaps", {"kernelSize": last([1, 2, 2]), "stride": last([2, 2, 3])}),
            ("overlapping", {"kernelSize": 3, "stride": 2, "padding": last([1, 1, 0])}),
            ("ceil", {"kernelSize": 2, "stride": 3, "padding": 1, "ceilMode": True}),
            ("dilated", {"kernelSize": 2, "stride": 1, "dilation": last([1, 2, 3])}),
        ]:
            name = f"{rank}d, {name}"
            generator = generator_for(name)
            x = draw([1, 2, *SPATIAL[rank]], generator)
            arguments = {"kernel_size": options["kernelSize"], "stride": options.get("stride")}
            arguments["padding"] = options.get("padding", 0)
            extra = {"dilation": options.get("dilation", 1), "ceil_mode": options.get("ceilMode", False)}
            pool = getattr(F, f"max_pool{rank}d")
            values, indices = pool(x, **arguments, **extra, return_indices=True)
            case = {"name": name, "rank": rank, "options": options, "input": array(x)}
            case = {**case, "values": array(values), "indices": array(indices)}
            if "dilated" not in name:
                # Overlapping windows may name a place twice: PyTorch's result is defined for equal elements only.
                overlaps = "overlapping" in name
                y = (values if overlaps else draw(values.shape, generator)).requires_grad_()
                unpool = getattr(F, f"max_unpool{rank}d")
                back = unpool(y, indices, **arguments, output_size=x.shape[2:])
                case = {**case, "unpool": array(y), "back": array(back)}
                if not overlaps:
                    cotangent = draw(back.shape, generator)
                    (gradient,) = torch.autograd.grad((back * cotangent).sum(), [y])
                    case = {**case, "cotangent": array(cotangent), "gradient": array(gradient)}
            yield case
        for size in [1, 3, last([2, 4, 5]), last([4, 6, 7])]:
            name = f"adaptive {rank}d, {size}"
            x = draw([1, 2, *SPATIAL[rank]], generator_for(name)).mul(2).round()  # ties
            values, indices = getattr(F, f"adaptive_max_pool{rank}d")(x, size, return_indices=True)
            case = {"name": name, "rank": rank, "outputSize": size, "input": array(x)}
            yield {**case, "values": array(values), "indices": array(indices)}
