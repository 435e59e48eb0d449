"""The child's side of harness/protocol.mjs for PyTorch; see contestants/gabor.mjs for what the tasks are.

Variants: nchw (contiguous), nhwc (channels_last memory format); packed (convolutions: oneDNN's own blocked format for filter and
activations, or, where that does not exist, a frozen graph that torch.jit optimised for inference); jit (training: nhwc, traced;
networks: traced and optimised for inference, which fuses and takes oneDNN's formats).
"""

import json
import statistics
import sys
import time

import numpy
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import mkldnn


class Unsupported(Exception):
    pass


def floats(file):
    return torch.from_numpy(numpy.fromfile(file, dtype="<f4"))


def memory_format(variant, spatial):
    if variant in ("nchw", "packed"):
        return torch.contiguous_format
    return torch.channels_last if spatial == 2 else torch.channels_last_3d


def as_image(c):
    """The same 1-D case on images of height 1: channels_last and oneDNN's blocked format have no 1-D form."""
    wide = {"in": 1, "out": 1, "k": 1, "s": 1, "p": 0, "d": 1}
    return {**c, **{name: [value, *c[name]] for name, value in wide.items()}}


class Convolution:
    def __init__(self, task):
        c, self.role, self.chain, files = task["case"], task["role"], task["chain"], task["files"]
        self.transposed = c["kind"].startswith("convT")
        if len(c["in"]) == 1 and task["variant"] != "nchw":
            c = as_image(c)
        spatial = len(c["in"])
        order = memory_format(task["variant"], spatial)
        shapes = {
            "x": [c["N"], c["C"], *c["in"]],
            "w": [c["C"], c["K"] // c["g"], *c["k"]] if self.transposed else [c["K"], c["C"] // c["g"], *c["k"]],
            "y": [c["N"], c["K"], *c["out"]],
        }
        needed = {"forward": "xw", "input": "xwy", "filter": "xwy", "both": "xwy"}[self.role]
        self.t = {name: floats(files[name]).reshape(shapes[name]).contiguous(memory_format=order) for name in needed}
        self.options = dict(stride=c["s"], padding=c["p"], dilation=c["d"], groups=c["g"])
        forward = {1: (F.conv1d, F.conv_transpose1d), 2: (F.conv2d, F.conv_transpose2d), 3: (F.conv3d, F.conv_transpose3d)}
        self.forward = forward[spatial][int(self.transposed)]
        self.packed = self.pack(c, spatial) if task["variant"] == "packed" else None

    def pack(self, c, spatial):
        if self.role != "forward":
            raise Unsupported("no gradients")
        kinds = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d), 3: (nn.Conv3d, nn.ConvTranspose3d)}
        module = kinds[spatial][int(self.transposed)](c["C"], c["K"], c["k"], bias=False, **self.options).eval()
        with torch.no_grad():
            module.weight.copy_(self.t["w"])
            x = self.t["x"]
            try:
                blocked = mkldnn.to_mkldnn(module)
                self.t["x"] = x.to_mkldnn()
                blocked(self.t["x"])
                return blocked
            except Exception:  # no such form: transposed
                self.t["x"] = x
            optimised = torch.jit.optimize_for_inference(torch.jit.script(module))
            for _ in range(3):
                optimised(x)
            return optimised

    def compute(self):
        if self.packed is not None:
            y = self.t["x"]
            for _ in range(self.chain):
                y = self.packed(y)
            return [y]
        if self.role == "forward":
            y = self.t["x"]
            for _ in range(self.chain):
                y = self.forward(y, self.t["w"], **self.options)
            return [y]
        o = self.options
        mask = [self.role != "filter", self.role != "input", False]
        results = torch.ops.aten.convolution_backward(
            self.t["y"], self.t["x"], self.t["w"], None, o["stride"], o["padding"], o["dilation"],
            self.transposed, [0] * len(o["stride"]), o["groups"], mask,
        )  # fmt: skip
        return [result for result, wanted in zip(results, mask) if wanted]

    def run(self):
        with torch.inference_mode():
            self.compute()

    def check(self, file):
        with torch.inference_mode():
            results = [t.to_dense() if t.is_mkldnn else t for t in self.compute()]
            numpy.concatenate([t.contiguous().numpy().ravel() for t in results]).astype("<f4").tofile(file)
        return {}


class Network:
    """A network of torchvision with given weights, one image."""

    def __init__(self, task):
        import torchvision

        model = getattr(torchvision.models, task["name"])().eval()
        state, rest = model.state_dict(), floats(task["files"]["state"])
        for entry in task["state"]:
            tensor = state[entry["name"]]
            tensor.copy_(rest[: tensor.numel()].reshape(entry["shape"]))
            rest = rest[tensor.numel() :]
        x = floats(task["files"]["x"]).reshape(task["input"])
        self.order = torch.channels_last if task["variant"] == "nhwc" else torch.contiguous_format
        self.image = x
        with torch.no_grad():
            if task["variant"] == "nhwc":
                self.model = model.to(memory_format=torch.channels_last)
            else:
                self.model = torch.jit.optimize_for_inference(torch.jit.trace(model, x, check_trace=False))
                for _ in range(3):
                    self.model(x)

    def run(self):
        with torch.inference_mode():
            return self.model(self.image.contiguous(memory_format=self.order))

    def check(self, file):
        self.run().numpy().ravel().astype("<f4").tofile(file)
        return {}


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def layer(config):
    kind = config["type"]
    if kind == "conv":
        return nn.Conv2d(
            config["in"], config["out"], config["kernel"], config.get("stride", 1), config.get("padding", 0), bias=config.get("bias", True)
        )
    if kind == "residual":
        return Residual(model(config["body"]), model(config["shortcut"]))
    return {
        "batchNorm": lambda: nn.BatchNorm2d(config["channels"]),
        "relu": lambda: nn.ReLU(),
        "maxPool": lambda: nn.MaxPool2d(config["kernel"]),
        "averagePool": lambda: nn.AdaptiveAvgPool2d(1),
        "flatten": lambda: nn.Flatten(),
        "linear": lambda: nn.Linear(config["in"], config["out"]),
    }[kind]()


def model(layers):
    return nn.Sequential(*[layer(config) for config in layers])


class Training:
    def __init__(self, task):
        network, files = task["network"], task["files"]
        order = memory_format(task["variant"], 2)
        self.model = model(network["layers"]).to(memory_format=order).train()
        initial = floats(files["parameters"])
        with torch.no_grad():
            for parameter in self.model.parameters():
                values, initial = initial[: parameter.numel()], initial[parameter.numel() :]
                parameter.copy_(values.reshape(parameter.shape))
        options = dict(network["optimizer"])
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[options.pop("type")]
        self.optimizer = kind(self.model.parameters(), **options)
        images = floats(files["images"]).reshape(task["batches"], network["batch"], *network["input"])
        labels = floats(files["labels"]).long().reshape(task["batches"], network["batch"])
        self.data = [(x.contiguous(memory_format=order), y) for x, y in zip(images, labels)]
        if task["variant"] == "jit":
            self.model = torch.jit.trace(self.model, self.data[0][0], check_trace=False)
        self.next = 0

    def run(self):
        x, labels = self.data[self.next % len(self.data)]
        self.next += 1
        loss = F.cross_entropy(self.model(x), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def check(self, _file):
        return {"numbers": [self.run() for _ in range(3)]}


tasks = {}


def answer(method, p):
    if method == "open":
        torch.set_num_threads(p["threads"])
        return {"version": torch.__version__}
    key = p["key"]
    if method == "prepare":
        tasks[key] = {"conv": Convolution, "net": Network, "train": Training}[p["task"]["kind"]](p["task"])
        return {}
    if method == "check":
        return tasks[key].check(p.get("file"))
    if method == "time":
        times, run, now = [], tasks[key].run, 0.0
        end = time.perf_counter() + p["seconds"]
        while now < end or len(times) < p["minimum"]:
            began = time.perf_counter()
            run()
            now = time.perf_counter()
            times.append((now - began) * 1000)
        return {"median": statistics.median(times), "minimum": min(times), "runs": len(times)}
    if method == "release":
        tasks.pop(key, None)
        return {}
    raise ValueError(method)


for line in sys.stdin:
    request = json.loads(line)
    try:
        reply = {"id": request["id"], "result": answer(request["method"], request["parameters"])}
    except Exception as error:  # any failure is the parent's to report
        reply = {"id": request["id"], "error": str(error) or repr(error), "unsupported": isinstance(error, Unsupported)}
    print(json.dumps(reply), flush=True)
