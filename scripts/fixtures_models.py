"""Logits of well-known networks with reproducible weights; called by fixtures.py.

Structures are torchvision's where it has them (Debian: `python3-torchvision`), and otherwise written down here after the papers. Weights
are not stored: every number is a hash of its tensor's key and its position (`numbers`), which `src/testing/model-weights.ts` does alike.
"""

import hashlib
import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.nn.utils import weight_norm


def numbers(key, count):
    """Uniform in [-1, 1), multiples of 2^-23: the finaliser of MurmurHash3 on a counter."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(zlib.crc32(key.encode()))
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float64) * 2.0**-23 - 1.0


def contents(key, shape):
    """As large as in a trained network: He's variance for weights, statistics near 0 and 1."""
    name = key.split(".")[-1]
    count = math.prod(shape)
    u = numbers(key, count)
    if name == "num_batches_tracked":
        values = np.zeros(count)
    elif name == "running_var":
        values = 1 + 0.5 * u
    elif name == "weight_g":
        values = 1 + 0.2 * u
    elif name == "weight" and len(shape) == 1:
        values = 1.1 + 0.2 * u
    elif len(shape) > 1:
        values = math.sqrt(6 / math.prod(shape[1:])) * u
    else:
        values = 0.1 * u
    return torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(shape)


def fill(model):
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            tensor.copy_(contents(key, tuple(tensor.shape)))


def digest(shapes):
    text = "\n".join(f"{key} {'x'.join(map(str, shape))}" for key, shape in shapes)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_shapes(model):
    return [(key, tuple(tensor.shape)) for key, tensor in model.state_dict().items()]


def picked(output):
    """At most 16 elements, evenly spread."""
    flat = output.reshape(-1)
    count = min(16, flat.numel())
    return [float(f"{flat[i * flat.numel() // count]:.9g}") for i in range(count)]


def case(name, make, shape, options=None, function=None, integers=None, full=None):
    """`full` makes the network in its full size, where `make` does not."""
    torch.set_default_dtype(torch.float32)
    model = make().eval()
    shapes = state_shapes(model)
    whole = shapes if full is None else state_shapes(full())
    torch.set_default_dtype(torch.float64)
    model = model.double()
    fill(model)

    def run(key):
        u = numbers(key, math.prod(shape))
        if integers is not None:
            x = torch.from_numpy(np.floor((u + 1) / 2 * integers)).long().reshape(shape)
        else:
            x = torch.from_numpy(u).reshape(shape)
        with torch.no_grad():
            return (function or (lambda m, x: {"out": m(x)}))(model, x)

    outputs, others = run("input"), run("other input")
    for head, output in outputs.items():
        # A network that says the same of everything would prove nothing.
        changed = float((output - others[head]).abs().max() / output.abs().max())
        assert changed > 0.01 and bool(output.isfinite().all()), (name, head, changed)
    return {
        "name": name,
        **({} if options is None else {"options": options}),
        "input": list(shape),
        **({} if integers is None else {"integers": integers}),
        "state": digest(shapes),
        "full": digest(whole),
        "outputs": {
            head: {"shape": list(y.shape), "largest": float(f"{float(y.abs().max()):.9g}"), "data": picked(y)}
            for head, y in outputs.items()
        },
    }


# --- networks that torchvision has not ---------------------------------------------------------------------------------


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        names = ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2"]
        layers = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential()
        for name, layer in zip(names, layers):
            self.features.add_module(name, layer)
        self.classifier = nn.Sequential()
        for name, layer in [
            ("fc1", nn.Linear(400, 120)),
            ("relu1", nn.ReLU()),
            ("fc2", nn.Linear(120, 84)),
            ("relu2", nn.ReLU()),
            ("fc3", nn.Linear(84, 10)),
        ]:
            self.classifier.add_module(name, layer)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class CifarBlock(nn.Module):
    def __init__(self, inside, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.planes = planes

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if x.shape[1] != self.planes:
            # He et al., 2016, option A
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.planes // 4, self.planes // 4))
        return F.relu(x + y)


class CifarResNet(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inside = 16
        for stage, planes in enumerate([16, 32, 64]):
            blocks = []
            for i in range((depth - 2) // 6):
                blocks.append(CifarBlock(inside, planes, 2 if stage > 0 and i == 0 else 1))
                inside = planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class MobileNetV1(nn.Module):
    def __init__(self):
        super().__init__()

        def conv(inside, out, stride):
            return [nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]

        def separable(inside, out, stride):
            depthwise = nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False)
            pointwise = nn.Conv2d(inside, out, 1, bias=False)
            return [depthwise, nn.BatchNorm2d(inside), nn.ReLU(), pointwise, nn.BatchNorm2d(out), nn.ReLU()]

        rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
        layers, inside = [nn.Sequential(*conv(3, 32, 2))], 32
        for out, stride in rows:
            layers.append(nn.Sequential(*separable(inside, out, stride)))
            inside = out
        self.model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x):
        return self.fc(self.model(x).flatten(1))


class DoubleConv(nn.Module):
    def __init__(self, rank, inside, middle, out, bias):
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if rank == 2 else (nn.Conv3d, nn.BatchNorm3d)
        self.double_conv = nn.Sequential(
            conv(inside, middle, 3, padding=1, bias=bias),
            norm(middle),
            nn.ReLU(),
            conv(middle, out, 3, padding=1, bias=bias),
            norm(out),
            nn.ReLU(),
        )

    def forward(self, x):
        return self.double_conv(x)


class UNet(nn.Module):
    """2-D: Ronneberger et al., 2015; 3-D: Çiçek et al., 2016; both with padded convolutions and batch normalisation."""

    def __init__(self, rank, inside, classes):
        super().__init__()
        widths = [(64, 64), (128, 128), (256, 256), (512, 512), (1024, 1024)]
        if rank == 3:
            widths = [(32, 64), (64, 128), (128, 256), (256, 512)]
        bias = rank == 3
        self.inc = DoubleConv(rank, inside, *widths[0], bias)
        for i in range(1, len(widths)):
            down = nn.Module()
            pool = nn.MaxPool2d(2) if rank == 2 else nn.MaxPool3d(2)
            down.maxpool_conv = nn.Sequential(pool, DoubleConv(rank, widths[i - 1][1], *widths[i], bias))
            setattr(self, f"down{i}", down)
        self.levels = len(widths) - 1
        for i in range(1, self.levels + 1):
            before, skipped = widths[self.levels - i + 1][1], widths[self.levels - i][1]
            up = nn.Module()
            if rank == 2:
                up.up = nn.ConvTranspose2d(before, skipped, 2, stride=2)
                up.conv = DoubleConv(rank, 2 * skipped, skipped, skipped, bias)
            else:
                up.up = nn.ConvTranspose3d(before, before, 2, stride=2, bias=False)
                up.conv = DoubleConv(rank, skipped + before, skipped, skipped, bias)
            setattr(self, f"up{i}", up)
        self.outc = nn.Module()
        self.outc.conv = (nn.Conv2d if rank == 2 else nn.Conv3d)(widths[0][1], classes, 1)

    def forward(self, x):
        seen = [self.inc(x)]
        for i in range(1, self.levels + 1):
            seen.append(getattr(self, f"down{i}").maxpool_conv(seen[-1]))
        y = seen.pop()
        for i in range(1, self.levels + 1):
            up, skipped = getattr(self, f"up{i}"), seen.pop()
            y = up.up(y)
            padding = []
            for axis in reversed(range(2, y.dim())):
                missing = skipped.shape[axis] - y.shape[axis]
                padding += [missing // 2, missing - missing // 2]
            y = up.conv(torch.cat([skipped, F.pad(y, padding)], 1))
        return self.outc.conv(y)


class WaveNet(nn.Module):
    """van den Oord et al., 2016, without conditioning."""

    def __init__(self, classes=256, layers=10, stacks=4, residual=32, dilation=32, skip=256, end=256, kernel=2):
        super().__init__()
        self.classes = classes
        self.dilations = [2 ** (i % layers) for i in range(layers * stacks)]
        self.kernel = kernel
        gated = lambda: nn.ModuleList(
            [nn.Conv1d(residual, dilation, kernel, dilation=d, bias=False) for d in self.dilations]
        )
        pointwise = lambda count, out: nn.ModuleList([nn.Conv1d(dilation, out, 1, bias=False) for _ in range(count)])
        self.filter_convs = gated()
        self.gate_convs = gated()
        self.residual_convs = pointwise(len(self.dilations) - 1, residual)
        self.skip_convs = pointwise(len(self.dilations), skip)
        self.start_conv = nn.Conv1d(classes, residual, 1, bias=False)
        self.end_conv_1 = nn.Conv1d(skip, end, 1)
        self.end_conv_2 = nn.Conv1d(end, classes, 1)

    def forward(self, x):
        x = self.start_conv(F.one_hot(x, self.classes).transpose(1, 2).to(self.start_conv.weight.dtype))
        total = 0
        for i, dilation in enumerate(self.dilations):
            past = F.pad(x, ((self.kernel - 1) * dilation, 0))
            y = torch.tanh(self.filter_convs[i](past)) * torch.sigmoid(self.gate_convs[i](past))
            total = total + self.skip_convs[i](y)
            if i < len(self.residual_convs):
                x = self.residual_convs[i](y) + x
        return self.end_conv_2(F.relu(self.end_conv_1(F.relu(total))))


class M5(nn.Module):
    def __init__(self):
        super().__init__()
        inside = 1
        for i, out in enumerate([128, 128, 256, 512]):
            conv = nn.Conv1d(inside, out, 80, stride=4) if i == 0 else nn.Conv1d(inside, out, 3)
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", nn.BatchNorm1d(out))
            inside = out
        self.fc1 = nn.Linear(512, 10)

    def forward(self, x):
        for i in range(1, 5):
            x = F.max_pool1d(F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))), 4)
        return self.fc1(x.mean(2))


class TextCNN(nn.Module):
    def __init__(self, words, dim=300, windows=(3, 4, 5), filters=100, classes=2):
        super().__init__()
        self.embedding = nn.Embedding(words, dim)
        self.convs = nn.ModuleList([nn.Sequential(nn.Conv1d(dim, filters, w)) for w in windows])
        self.fc = nn.Linear(filters * len(windows), classes)

    def forward(self, x):
        x = self.embedding(x).transpose(1, 2)
        return self.fc(torch.cat([F.relu(conv(x)).amax(2) for conv in self.convs], 1))


class TemporalBlock(nn.Module):
    def __init__(self, inside, out, kernel, dilation):
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.conv1 = weight_norm(nn.Conv1d(inside, out, kernel, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(out, out, kernel, dilation=dilation))
        self.downsample = nn.Conv1d(inside, out, 1) if inside != out else None

    def forward(self, x):
        y = F.relu(self.conv1(F.pad(x, (self.past, 0))))
        y = F.relu(self.conv2(F.pad(y, (self.past, 0))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class TCN(nn.Module):
    """Bai et al., 2018, for sequential MNIST."""

    def __init__(self):
        super().__init__()
        self.tcn = nn.Module()
        blocks = [TemporalBlock(1 if i == 0 else 25, 25, 7, 2**i) for i in range(8)]
        self.tcn.network = nn.Sequential(*blocks)
        self.linear = nn.Linear(25, 10)

    def forward(self, x):
        return self.linear(self.tcn.network(x)[:, :, -1])


class C3D(nn.Module):
    def __init__(self, classes, hidden, places):
        super().__init__()
        inside = 3
        self.stages = [["1"], ["2"], ["3a", "3b"], ["4a", "4b"], ["5a", "5b"]]
        for name, out in zip(sum(self.stages, []), [64, 128, 256, 256, 512, 512, 512, 512]):
            setattr(self, f"conv{name}", nn.Conv3d(inside, out, 3, padding=1))
            inside = out
        self.fc6 = nn.Linear(512 * places, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, classes)

    def forward(self, x):
        for i, stage in enumerate(self.stages):
            for name in stage:
                x = F.relu(getattr(self, f"conv{name}")(x))
            x = F.max_pool3d(x, (1, 2, 2) if i == 0 else 2, padding=(0, 1, 1) if i == 4 else 0)
        return self.fc8(F.relu(self.fc7(F.relu(self.fc6(x.flatten(1))))))


# --- cases ----------------------------------------------------------------------------------------------------------------


def with_hidden(make, hidden, places):
    """A network with large linear layers in front of its end, and those smaller."""

    def build():
        model = make()
        linear = [i for i, layer in enumerate(model.classifier) if isinstance(layer, nn.Linear)]
        sizes = [model.classifier[linear[0]].in_features, hidden, hidden, 1000]
        for i, (a, b) in zip(linear, zip(sizes, sizes[1:])):
            model.classifier[i] = nn.Linear(a, b)
        return model

    return build


def heads_of_googlenet(model, x):
    # The auxiliary heads work in training mode only; everything else is in the mode for use.
    model.training = True
    # In this order, whatever torchvision calls them: it swaps their names twice.
    out, aux1, aux2 = model(x)
    model.training = False
    return {"out": out, "aux1": aux1, "aux2": aux2}


def heads_of_inception(model, x):
    model.training = True
    out, aux = model(x)
    model.training = False
    return {"out": out, "AuxLogits": aux}


def cases():
    vision = torchvision.models
    image = lambda side: (1, 3, side, side)
    plain = {"init_weights": False}
    yield case("lenet", LeNet, (1, 1, 28, 28))
    yield case("alexnet", with_hidden(vision.alexnet, 64, 36), image(63), {"hidden": 64}, full=vision.alexnet)
    for depth in [11, 13, 16, 19]:
        for suffix in ["", "_bn"]:
            make = lambda: getattr(vision, f"vgg{depth}{suffix}")(init_weights=False)
            yield case(f"vgg{depth}{suffix}", with_hidden(make, 64, 49), image(32), {"hidden": 64}, full=make)
    yield case("googlenet", lambda: vision.googlenet(aux_logits=False, **plain), image(64))
    make = lambda: vision.googlenet(aux_logits=True, transform_input=True, **plain)
    yield case("googlenet", make, image(32), {"auxLogits": True, "transformInput": True}, heads_of_googlenet)
    yield case("inception_v3", lambda: vision.inception_v3(**plain), image(75))
    make = lambda: vision.inception_v3(transform_input=True, **plain)
    yield case("inception_v3", make, image(299), {"transformInput": True}, heads_of_inception)
    for name in ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"]:
        yield case(name, getattr(vision, name), image(33))
    for name in ["wide_resnet50_2", "wide_resnet101_2"]:
        yield case(name, getattr(vision, name), image(33))
    for depth in [20, 32, 44, 56]:
        yield case(f"resnet{depth}", lambda: CifarResNet(depth), image(32))
    yield case("squeezenet1_0", vision.squeezenet1_0, image(45))
    yield case("squeezenet1_1", vision.squeezenet1_1, image(45))
    yield case("mobilenet_v1", MobileNetV1, image(33))
    for name in ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0", "densenet121"]:
        yield case(name, getattr(vision, name), image(33))
    yield case("mobilenet_v2", lambda: vision.mobilenet_v2(width_mult=0.35), image(33), {"widthMult": 0.35})
    segmentation = torchvision.models.segmentation
    for name in ["fcn_resnet50", "deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large"]:
        make = lambda: getattr(segmentation, name)(weights=None, weights_backbone=None, aux_loss=True)
        yield case(name, make, (1, 3, 41, 50), {"auxLoss": True}, lambda m, x: dict(m(x)))
    yield case("unet2d", lambda: UNet(2, 3, 1 + 1), (1, 3, 35, 48))
    yield case("unet3d", lambda: UNet(3, 1, 2), (1, 1, 9, 16, 8))
    yield case("wavenet", WaveNet, (2, 40), integers=256)
    small = {"classes": 16, "layers": 3, "stacks": 2, "kernelSize": 3, "residualChannels": 6, "dilationChannels": 5}
    make = lambda: WaveNet(16, 3, 2, 6, 5, 256, 256, 3)
    yield case("wavenet", make, (2, 40), small, integers=16)
    yield case("m5", M5, (2, 1, 2000))
    yield case("textcnn", lambda: TextCNN(200), (3, 17), {"words": 200}, integers=200, full=lambda: TextCNN(20000))
    yield case("tcn", TCN, (2, 1, 60))
    make = lambda: C3D(487, 64, 4)
    yield case("c3d", make, (1, 3, 16, 32, 32), {"hidden": 64, "size": 32}, full=lambda: C3D(487, 4096, 16))
    for name in ["r2plus1d_18", "r3d_18", "mc3_18"]:
        yield case(name, getattr(torchvision.models.video, name), (1, 3, 5, 20, 20))
