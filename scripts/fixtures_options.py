"""Options that the other files leave out; called by fixtures.py, whose functions they use."""

import torch
import torch.nn.functional as F
from __main__ import array, layer_case
from fixtures_conv import SHAPES, conv, extended_case
from torch import nn


def moved(values):
    t = torch.tensor(values["data"]).reshape(values["shape"])
    return {**values, **array(t.movedim(1, -1))}


def channels_last(case):
    """The case with channels last: inputs and results are moved, parameters stay."""
    rank = len(case["input"]["shape"])
    for key in ["input", "output", "cotangent"]:
        if len(case[key]["shape"]) == rank:
            case[key] = moved(case[key])
    case["gradients"]["input"] = moved(case["gradients"]["input"])
    case["layer"] = {**case["layer"], "dataFormat": "channels-last"}
    case["name"] += ", channels-last"
    return case


COUNTS = ["inChannels", "inFeatures", "numFeatures"]


def lazy(case):
    """The case with a layer that finds out its input channels."""
    case["layer"] = {key: value for key, value in case["layer"].items() if key not in COUNTS}
    case["layer"]["type"] = "Lazy" + case["layer"]["type"]
    case["name"] = "lazy " + case["name"]
    return case


# --- layers that PyTorch lacks ----------------------------------------------------------------------------------------


class ChannelShuffle(nn.Module):
    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def forward(self, x):
        return x.unflatten(1, (self.groups, x.shape[1] // self.groups)).transpose(1, 2).flatten(1, 2)


class DividedPool1d(nn.Module):
    def __init__(self, kernel_size, divisor_override, padding=0):
        super().__init__()
        self.kernel_size, self.divisor, self.padding = kernel_size, divisor_override, padding

    def forward(self, x):
        return F.avg_pool1d(x, self.kernel_size, padding=self.padding) * self.kernel_size / self.divisor


class ShiftlessNorm(nn.Module):
    def __init__(self, normalized_shape, bias):
        super().__init__()
        self.shape = normalized_shape
        self.weight = nn.Parameter(torch.ones(normalized_shape))

    def forward(self, x):
        return F.layer_norm(x, self.shape, self.weight)


def sided_pool(kind, rank):
    """Pooling with padding on either side of its own."""

    class Pool(nn.Module):
        def __init__(self, kernel_size, padding, stride=None, count_include_pad=True, norm_type=None):
            super().__init__()
            self.kernel, self.stride, self.padding = kernel_size, stride or kernel_size, padding
            self.counted, self.p = count_include_pad, norm_type

        def forward(self, x):
            pads = []
            for axis, extent in enumerate(x.shape[2:]):
                if self.padding == "same":  # ONNX, SAME_UPPER
                    outputs = -(-extent // self.stride)
                    total = max(0, (outputs - 1) * self.stride + self.kernel - extent)
                    pads = [total // 2, total - total // 2] + pads
                else:
                    pads = list(self.padding[axis]) + pads
            if kind == "Max":
                return MAX[rank - 1](F.pad(x, pads, value=-torch.inf), self.kernel, self.stride)
            sums = lambda t: MEAN[rank - 1](F.pad(t, pads), self.kernel, self.stride) * self.kernel**rank
            if kind == "LP":
                return sums(x.abs() ** self.p) ** (1 / self.p)
            return sums(x) / (self.kernel**rank if self.counted else sums(torch.ones_like(x)))

    return Pool


MAX = [F.max_pool1d, F.max_pool2d, F.max_pool3d]
MEAN = [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d]


def with_layer(kind, layer, make):
    """`make()` while PyTorch has `layer` under the name `kind`."""
    original = getattr(nn, kind, None)
    setattr(nn, kind, layer)
    try:
        return make()
    finally:
        delattr(nn, kind) if original is None else setattr(nn, kind, original)


# --- cases ------------------------------------------------------------------------------------------------------------


def formats():
    """Layers that tell channels from positions."""
    for rank in [1, 2, 3]:
        shape = [[2, 4, 5], [2, 4, 3, 5], [1, 4, 3, 4, 2]][rank - 1]
        d = f"{rank}d"
        window = [2, 3, 2][:rank]
        for name, config in [
            ("max pool", {"type": f"MaxPool{d}", "kernelSize": window, "stride": 1, "padding": 1, "dilation": 1}),
            ("average pool", {"type": f"AvgPool{d}", "kernelSize": window, "stride": [1, 2, 1][:rank], "padding": 1}),
            ("L2 pool", {"type": f"LPPool{d}", "normType": 2, "kernelSize": 2, "stride": 1}),
            ("adaptive average pool", {"type": f"AdaptiveAvgPool{d}", "outputSize": [2, 3, 1][:rank]}),
            ("adaptive max pool", {"type": f"AdaptiveMaxPool{d}", "outputSize": [2, 3, 1][:rank]}),
            ("global average pool", {"type": f"GlobalAvgPool{d}", "keepDims": True}),
            ("global average pool, dropped", {"type": f"GlobalAvgPool{d}", "keepDims": False}),
            ("global max pool", {"type": f"GlobalMaxPool{d}", "keepDims": True}),
            ("batch norm", {"type": f"BatchNorm{d}", "numFeatures": 4}),
            ("instance norm", {"type": f"InstanceNorm{d}", "numFeatures": 4, "affine": True}),
            ("group norm", {"type": "GroupNorm", "numGroups": 2, "numChannels": 4}),
            ("local response norm", {"type": "LocalResponseNorm", "size": 3, "alpha": 0.3, "beta": 0.6, "k": 1.5}),
            ("PReLU", {"type": "PReLU", "numParameters": 4}),
        ]:
            for train in [True, False] if "Norm" in config["type"] and "numFeatures" in config else [False]:
                mode = ", training" if train else ""
                yield channels_last(layer_case(f"{name} {d}{mode}", config, shape, train))
        for kind in ["Zero", "Constant", "Reflection", "Replication", "Circular"]:
            config = {"type": f"{kind}Pad{d}", "padding": [1, 0, 2, 1, 0, 1][: 2 * rank]}
            if kind == "Constant":
                config["value"] = 0.5
            yield channels_last(layer_case(f"{kind} pad {d}", config, shape))
        for mode in ["nearest", ["linear", "bilinear", "trilinear"][rank - 1]]:
            config = {"type": "Upsample", "scaleFactor": 2, "mode": mode}
            yield channels_last(layer_case(f"upsample {d} {mode}", config, shape))
    yield channels_last(layer_case("pixel shuffle", {"type": "PixelShuffle", "upscaleFactor": 2}, [2, 8, 2, 3]))
    yield channels_last(layer_case("pixel unshuffle", {"type": "PixelUnshuffle", "downscaleFactor": 2}, [2, 2, 4, 6]))
    for shape in [[2, 6, 3], [1, 6, 2, 3], [1, 6, 2, 1, 2]]:
        config = {"type": "ChannelShuffle", "groups": 3}
        for change in [lambda case: case, channels_last]:
            name = f"channel shuffle of rank {len(shape)}"
            yield change(with_layer("ChannelShuffle", ChannelShuffle, lambda: layer_case(name, config, shape)))


def convolutions():
    for rank, shape in SHAPES.items():
        mixed = {1: [2], 2: [3, 2], 3: [2, 3, 1]}[rank]
        sides = [[2, 0], [0, 1], [1, 2]][:rank]
        for kind in ["DepthwiseConv", "SeparableConv"]:
            for name, options in [
                ("zeros", {"padding": [1, 0, 1][:rank], "stride": [2, 1, 2][:rank], "dilation": [1, 2, 2][:rank]}),
                ("constant", {"padding": sides, "paddingMode": "constant", "paddingValue": 0.5}),
                ("reflect", {"padding": 1, "paddingMode": "reflect", "stride": 2, "dilation": 2}),
                ("circular", {"padding": "same", "paddingMode": "circular"}),
                ("valid", {"padding": "valid"}),
                *([("causal", {"padding": "causal", "dilation": 2})] if rank == 1 else []),
            ]:
                yield extended_case(f"{kind}{rank}d {name}", conv(kind, rank, mixed, **options), shape)
        activated = {**conv("ConvTranspose", rank, mixed, stride=2), "activation": {"type": "Tanh"}}
        plain = getattr(nn, activated["type"])

        def layer(activation, _plain=plain, **arguments):
            module = _plain(**arguments)
            module.register_forward_hook(lambda _module, _inputs, y: getattr(nn, activation["type"])()(y))
            return module

        name = f"conv transpose{rank}d activation"
        yield with_layer(activated["type"], layer, lambda: layer_case(name, activated, shape))
        negative = conv("ConvTranspose", rank, mixed, padding="valid")
        yield valid_transposed(f"conv transpose{rank}d valid", negative, shape)
        for name, kind, options in [
            ("conv", "Conv", {"stride": 2, "padding": 1, "groups": 2}),
            ("conv reflect", "Conv", {"padding": 1, "paddingMode": "reflect", "bias": False}),
            ("conv transpose", "ConvTranspose", {"stride": 2, "padding": 1, "outputPadding": 1, "groups": 2}),
            ("conv transpose dilated", "ConvTranspose", {"dilation": 2, "bias": False}),
        ]:
            yield lazy(layer_case(f"{name} {rank}d", conv(kind, rank, mixed, **options), shape))
        for kind in ["DepthwiseConv", "SeparableConv"]:
            config = conv(kind, rank, mixed, padding="same", depthMultiplier=2)
            yield lazy(extended_case(f"{kind} {rank}d", config, shape))
        channels = {"dataFormat": "channels-last", "activation": {"type": "ReLU"}}
        last = [shape[0], *shape[2:], shape[1]]
        yield lazy(extended_case(f"conv channels-last {rank}d", conv("Conv", rank, mixed, padding=sides, **channels), last))


def valid_transposed(name, config, shape):
    case = layer_case(name, {**config, "padding": 0}, shape)
    case["layer"] = config
    return case


def others():
    for rank in [1, 2, 3]:
        shape = [[2, 2, 7], [1, 2, 5, 4], [1, 1, 4, 3, 5]][rank - 1]
        for family, options in [
            ("Max", {}),
            ("Avg", {}),
            ("Avg", {"countIncludePad": False}),
            ("LP", {"normType": 2}),
        ]:
            for name, padding in [("same", "same"), ("sides", [[1, 0], [0, 1], [1, 1]][:rank])]:
                kind = f"{family}Pool{rank}d"
                config = {"type": kind, **options, "kernelSize": 3, "stride": 2, "padding": padding}
                text = " ".join([kind, name, *options])
                yield with_layer(kind, sided_pool(family, rank), lambda: layer_case(text, config, shape))
        config = {"type": f"LPPool{rank}d", "normType": 2, "kernelSize": 3, "stride": 2, "padding": 1}
        sides = {**config, "padding": [[1, 1]] * rank}
        case = with_layer(config["type"], sided_pool("LP", rank), lambda: layer_case(f"L2 pool {rank}d padded", sides, shape))
        yield {**case, "layer": config}
        pool = {"type": f"AvgPool{rank}d", "kernelSize": 3, "stride": 2, "padding": [1, 0, 1][:rank]}
        yield layer_case(f"average pool {rank}d padded per axis", pool, shape)
    divided = {"type": "AvgPool1d", "kernelSize": 3, "padding": 1, "divisorOverride": 5}
    yield with_layer("AvgPool1d", DividedPool1d, lambda: layer_case("average pool 1d with a divisor", divided, [2, 2, 7]))
    shiftless = {"type": "LayerNorm", "normalizedShape": [4, 3], "bias": False}
    yield with_layer("LayerNorm", ShiftlessNorm, lambda: layer_case("layer norm without a shift", shiftless, [2, 4, 3]))
    for rank, shape in SHAPES.items():
        for train in [True, False]:
            mode = "training" if train else "in use"
            config = {"type": f"BatchNorm{rank}d", "numFeatures": 4, "momentum": 0.3}
            yield lazy(layer_case(f"batch norm {rank}d {mode}", config, [2, *shape[1:]], train))
            config = {"type": f"InstanceNorm{rank}d", "numFeatures": 4, "affine": True, "trackRunningStats": True}
            yield lazy(layer_case(f"instance norm {rank}d {mode}", config, shape, train))
    linear = {"type": "Linear", "inFeatures": 4, "outFeatures": 3}
    yield lazy(layer_case("linear", linear, [5, 4]))
    layers = [linear, {"type": "ReLU"}, {**linear, "inFeatures": 3, "bias": False}]
    yield layer_case("sequential", {"type": "Sequential", "layers": layers}, [5, 4])
    yield layer_case("sequential by names", {"type": "Sequential", "names": ["a", "b", "c"], "layers": layers}, [5, 4])


def cases():
    yield from formats()
    yield from convolutions()
    yield from others()
