"""Cases of convolution layers; called by fixtures.py, whose functions they use."""

import math

import torch
import torch.nn.functional as F
from __main__ import layer_case
from torch import nn

CONVOLUTIONS = [F.conv1d, F.conv2d, F.conv3d]
TRANSPOSED = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]


def per_axis(value, rank):
    return [value] * rank if isinstance(value, int) else list(value)


def format_moved(x, function, data_format):
    """Applies a function of channels-first tensors to x in `data_format`."""
    if data_format == "channels-first":
        return function(x)
    return function(x.movedim(-1, 1)).movedim(1, -1)


# --- layers with the options that PyTorch's lack: padding first, then a convolution without --------------------------


class Convolution(nn.Module):
    def __init__(
        self, rank, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
        padding_mode="zeros", padding_value=0.0, data_format="channels-first", activation=None,
    ):  # fmt: skip
        super().__init__()
        self.rank, self.groups, self.padding, self.data_format = rank, groups, padding, data_format
        self.kernel, self.stride, self.dilation = (per_axis(v, rank) for v in (kernel_size, stride, dilation))
        self.mode, self.value = padding_mode, padding_value
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels // groups, *self.kernel))
        if bias:
            self.bias = nn.Parameter(torch.zeros(out_channels))
        if activation is not None:
            self.activation = getattr(nn, activation["type"])()

    def pairs(self, extents):
        for axis, extent in enumerate(extents):
            span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            if self.padding == "same":  # ONNX, SAME_UPPER
                outputs = math.ceil(extent / self.stride[axis])
                total = max(0, (outputs - 1) * self.stride[axis] + span - extent)
                yield total // 2, total - total // 2
            elif self.padding == "causal":
                yield span - 1, 0
            elif self.padding == "valid":
                yield 0, 0
            else:
                padding = per_axis(self.padding, self.rank)[axis]
                yield (padding, padding) if isinstance(padding, int) else tuple(padding)

    def convolve(self, x):
        amounts = [n for pair in reversed(list(self.pairs(x.shape[2:]))) for n in pair]
        if self.mode in ("zeros", "constant"):
            x = F.pad(x, amounts, value=self.value)
        else:
            x = F.pad(x, amounts, mode=self.mode)
        function = CONVOLUTIONS[self.rank - 1]
        bias = getattr(self, "bias", None)
        return function(x, self.weight, bias, stride=self.stride, dilation=self.dilation, groups=self.groups)

    def forward(self, x):
        y = format_moved(x, self.convolve, self.data_format)
        return self.activation(y) if hasattr(self, "activation") else y


class Transposed(nn.Module):
    """Padding takes elements off the full result."""

    def __init__(self, rank, in_channels, out_channels, kernel_size, stride=1, padding=0, data_format="channels-first"):
        super().__init__()
        self.rank, self.padding, self.data_format = rank, padding, data_format
        self.kernel, self.stride = per_axis(kernel_size, rank), per_axis(stride, rank)
        self.weight = nn.Parameter(torch.zeros(in_channels, out_channels, *self.kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def convolve(self, x):
        y = TRANSPOSED[self.rank - 1](x, self.weight, stride=self.stride)
        for axis in range(self.rank):
            if self.padding == "same":
                extent = x.shape[2 + axis] * self.stride[axis]
                low = max(0, self.kernel[axis] - self.stride[axis]) // 2
            else:
                low, high = per_axis(self.padding, self.rank)[axis]
                extent = y.shape[2 + axis] - low - high
            missing = max(0, low + extent - y.shape[2 + axis])
            y = F.pad(y.movedim(2 + axis, -1), [0, missing]).narrow(-1, low, extent).movedim(-1, 2 + axis)
        return y + self.bias.reshape(-1, *[1] * self.rank)

    def forward(self, x):
        return format_moved(x, self.convolve, self.data_format)


class Depthwise(Convolution):
    def __init__(self, rank, in_channels, kernel_size, depth_multiplier=1, **options):
        super().__init__(rank, in_channels, in_channels * depth_multiplier, kernel_size, groups=in_channels, **options)


class Separable(nn.Module):
    def __init__(self, rank, in_channels, out_channels, kernel_size, depth_multiplier=1, bias=True, **options):
        super().__init__()
        data_format = options.get("data_format", "channels-first")
        activation = options.pop("activation", None)
        self.depthwise = Depthwise(rank, in_channels, kernel_size, depth_multiplier, bias=False, **options)
        self.pointwise = Convolution(
            rank, in_channels * depth_multiplier, out_channels, 1, bias=bias, data_format=data_format, activation=activation
        )

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


EXTENDED = {"Conv": Convolution, "ConvTranspose": Transposed, "DepthwiseConv": Depthwise, "SeparableConv": Separable}


def extended_case(name, config, shape):
    """A case whose layer PyTorch does not have under its name: for so long, it has."""
    kind = config["type"]
    rank = int(kind[-2])
    original = getattr(nn, kind, None)
    setattr(nn, kind, lambda **arguments: EXTENDED[kind[:-2]](rank, **arguments))
    try:
        return layer_case(name, config, shape)
    finally:
        delattr(nn, kind) if original is None else setattr(nn, kind, original)


SHAPES = {1: [2, 4, 8], 2: [1, 4, 5, 4], 3: [1, 4, 3, 5, 3]}


def conv(kind, rank, kernel, out=2, **options):
    channels = {} if kind == "DepthwiseConv" else {"outChannels": out}
    return {"type": f"{kind}{rank}d", "inChannels": 4, **channels, "kernelSize": kernel, **options}


def cases():
    for rank, shape in SHAPES.items():
        last = [shape[0], *shape[2:], shape[1]]
        mixed = {1: [2], 2: [3, 2], 3: [2, 3, 1]}[rank]
        for name, kernel, options in [
            ("plain", 2, {}),
            ("pointwise without bias", 1, {"bias": False}),
            ("mixed", mixed, {"stride": [2, 1, 2][:rank], "padding": [1, 0, 1][:rank], "dilation": [1, 2, 2][:rank]}),
            ("strided and dilated", 2, {"stride": 2, "dilation": 3, "padding": 2}),
            ("grouped", mixed, {"groups": 2, "out": 4, "padding": 1}),
            ("depthwise", mixed, {"groups": 4, "out": 8, "stride": 2}),
            ("same", mixed, {"padding": "same", "dilation": 2}),
            ("valid", mixed, {"padding": "valid"}),
            ("reflect", 3, {"padding": [2, 1, 1][:rank], "paddingMode": "reflect"}),
            ("replicate", 2, {"padding": [3, 4, 2][:rank], "paddingMode": "replicate", "stride": 2}),
            ("circular", 3, {"padding": [2, 1, 3][:rank], "paddingMode": "circular"}),
            ("same, reflect", mixed, {"padding": "same", "paddingMode": "reflect", "groups": 2}),
        ]:
            yield layer_case(f"conv{rank}d {name}", conv("Conv", rank, kernel, **options), shape)
        for name, kernel, options in [
            ("same, strided", 3, {"padding": "same", "stride": 2}),
            ("same, stride above kernel", 2, {"padding": "same", "stride": 3}),
            ("same, strided and dilated", 2, {"padding": "same", "stride": 2, "dilation": [3, 2, 1][:rank]}),
            ("sides", mixed, {"padding": [[2, 0], [0, 1], [1, 2]][:rank], "stride": 2}),
            ("sides, reflect", mixed, {"padding": [[2, 0], [0, 1], [1, 2]][:rank], "paddingMode": "reflect"}),
            ("constant", mixed, {"padding": 1, "paddingMode": "constant", "paddingValue": -1.5}),
            ("activation", mixed, {"padding": 1, "activation": {"type": "Tanh"}}),
        ]:
            yield extended_case(f"conv{rank}d {name}", conv("Conv", rank, kernel, **options), shape)
        channels_last = {"dataFormat": "channels-last", "padding": 1, "activation": {"type": "Sigmoid"}}
        yield extended_case(f"conv{rank}d channels-last", conv("Conv", rank, 3, **channels_last), last)

        for name, kernel, options in [
            ("plain", 2, {}),
            ("strided", 3, {"stride": 2, "padding": 1, "outputPadding": 1}),
            ("mixed", mixed, {"stride": [3, 2, 1][:rank], "outputPadding": [2, 1, 0][:rank], "bias": False}),
            ("dilated", 2, {"dilation": 3, "padding": 1, "outputPadding": [2, 0, 1][:rank]}),
            ("strided and dilated", 2, {"stride": 2, "dilation": [2, 1, 3][:rank]}),
            ("grouped", mixed, {"groups": 2, "out": 6, "stride": 2}),
            ("depthwise", mixed, {"groups": 4, "out": 8, "padding": 1, "stride": 3}),
            ("stride above kernel", 1, {"stride": 2, "outputPadding": 1}),
        ]:
            small = [1, 4, 3, 2, 2][: 2 + rank]
            yield layer_case(f"conv transpose{rank}d {name}", conv("ConvTranspose", rank, kernel, **options), small)
        for name, kernel, options in [
            ("same", 3, {"padding": "same", "stride": 2}),
            ("same, stride above kernel", 1, {"padding": "same", "stride": 3}),
            ("sides", 4, {"padding": [[2, 0], [0, 1], [1, 2]][:rank], "stride": 2}),
        ]:
            small = [1, 4, 3, 2, 2][: 2 + rank]
            yield extended_case(f"conv transpose{rank}d {name}", conv("ConvTranspose", rank, kernel, **options), small)
        small = [1, *[3, 2, 2][:rank], 4]
        config = conv("ConvTranspose", rank, 2, stride=2, padding="same", dataFormat="channels-last")
        yield extended_case(f"conv transpose{rank}d channels-last", config, small)

        for kind in ["DepthwiseConv", "SeparableConv"]:
            for name, kernel, options in [
                ("plain", mixed, {}),
                ("multiplier", 2, {"depthMultiplier": 3, "stride": 2, "bias": False}),
                ("padded", 3, {"padding": "same", "paddingMode": "replicate", "activation": {"type": "ReLU"}}),
            ]:
                yield extended_case(f"{kind}{rank}d {name}", conv(kind, rank, kernel, **options), shape)
            options = {"dataFormat": "channels-last", "depthMultiplier": 2, "dilation": 2}
            yield extended_case(f"{kind}{rank}d channels-last", conv(kind, rank, 2, **options), last)
    for name, options in [
        ("causal", {}),
        ("causal, strided and dilated", {"stride": 2, "dilation": 2}),
        ("causal, constant", {"paddingMode": "constant", "paddingValue": 2}),
        ("causal, replicate", {"paddingMode": "replicate"}),
    ]:
        yield extended_case(f"conv1d {name}", conv("Conv", 1, 3, padding="causal", **options), SHAPES[1])
