"""Small real files of other programs: PyTorch checkpoints, NumPy arrays, safetensors. tests/fixtures/formats/."""
import collections
import io
import json
import os
import struct
import zipfile

import numpy as np
import torch
from torch import nn

FOLDER = os.path.join(os.path.dirname(__file__), "..", "tests", "fixtures", "formats")
STAMP = (1980, 1, 1, 0, 0, 0)


def path(name):
    return os.path.join(FOLDER, name)


class Net(nn.Sequential):
    """Keys as of torch.nn.Sequential; every kind of layer that exporters treat differently."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
            nn.PReLU(8),
            nn.MaxPool2d(3, 2, 1),
            nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1),
            nn.GELU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(6 * 4 * 4, 5),
        )


def net():
    torch.manual_seed(5)
    model = Net()
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2)
        model[1].weight.uniform_(0.5, 1.5)
        model[1].bias.normal_()
        model[1].num_batches_tracked.fill_(7)
    return model.eval()


def flat(x):
    return {"shape": list(x.shape), "data": x.detach().to(torch.float64).flatten().tolist()}


def safetensors(name, tensors, dtype, cast):
    header, data = {}, b""
    for key, value in tensors.items():
        kind, value = (dtype, cast(value)) if value.is_floating_point() else ("I64", value)
        raw = value.contiguous().view(torch.int16).numpy().tobytes() if value.element_size() == 2 else value.numpy().tobytes()
        header[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path(name), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def views():
    base = torch.arange(24, dtype=torch.float32)
    matrix = base.reshape(4, 6)
    return collections.OrderedDict(
        whole=matrix,
        transposed=matrix.t(),
        offset=base[5:9],
        every_second=matrix[:, ::2],
        inner=matrix[1:3, 2:5],
        expanded=base[3:4].expand(2, 3),
        scalar=base[7],
        empty=torch.zeros(0, 3),
        channels_last=base.reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        parameter=nn.Parameter(base[:2].clone()),
        half=torch.tensor([1.5, -2.25, 65504, 6e-8, float("inf")], dtype=torch.float16),
        bfloat=torch.tensor([1.5, -2.25, 3e38, 1e-40], dtype=torch.bfloat16),
        double=torch.tensor([0.5, -1e-3], dtype=torch.float64),
        int64=torch.tensor([[1, -2], [3, 2**31 - 1]]),
        int32=torch.tensor([-(2**31), 5], dtype=torch.int32),
        int16=torch.tensor([-32768, 5], dtype=torch.int16),
        int8=torch.tensor([-128, 127], dtype=torch.int8),
        uint8=torch.tensor([0, 255], dtype=torch.uint8),
        bool=torch.tensor([True, False, True]),
    )


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/this-was-executed",)


def save(name, value, **options):
    torch.save(value, path(name), **options)


def arrays():
    numbers = np.arange(6).reshape(2, 3)
    cases = {}
    for kind in ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
        for order in ["<", ">"]:
            cases[f"{'little' if order == '<' else 'big'}_{kind}"] = (numbers - (0 if kind[0] == "u" else 3)).astype(order + kind)
    cases["bool"] = numbers % 2 == 0
    cases["fortran"] = np.asfortranarray(np.arange(24, dtype="<f4").reshape(2, 3, 4))
    cases["scalar"] = np.array(2.5, dtype="<f4")
    cases["empty"] = np.zeros((0, 3), dtype="<f4")
    return cases


def archive(name, entries, compression):
    with zipfile.ZipFile(path(name), "w", compression) as file:
        for key, value in entries.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, value)
            info = zipfile.ZipInfo(f"{key}.npy", STAMP)
            info.compress_type = compression
            file.writestr(info, buffer.getvalue())


def write():
    # Checkpoints hold what PyTorch makes by default, whatever the other fixtures are computed in.
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        write_files()
    finally:
        torch.set_default_dtype(before)


def write_files():
    os.makedirs(FOLDER, exist_ok=True)
    model = net()
    state = model.state_dict()
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    with open(path("net.json"), "w") as file:
        json.dump({"input": flat(x), "output": flat(model(x)), "state": {k: flat(v) for k, v in state.items()}}, file, separators=(",", ":"))
    save("net.pt", state)
    safetensors("net.safetensors", state, "F32", lambda t: t)
    safetensors("net-f16.safetensors", state, "F16", lambda t: t.to(torch.float16))
    safetensors("net-bf16.safetensors", state, "BF16", lambda t: t.to(torch.bfloat16))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    save(
        "training.pt",
        {
            "epoch": 3,
            "arch": "net",
            "best": 0.5,
            "accuracy": np.float64(0.7),
            "steps": np.int64(1200),
            "rate": np.float32(0.1),
            "state_dict": collections.OrderedDict((f"module.{k}", v) for k, v in state.items()),
            "optimizer": optimizer.state_dict(),
        },
    )
    save("views.pt", views())
    with open(path("views.json"), "w") as file:
        json.dump({k: flat(v) for k, v in views().items() if k not in ["half"]}, file, separators=(",", ":"))
    # (Storages would be numbered by their addresses.)
    save("legacy.pt", {"w": 1}, _use_new_zipfile_serialization=False)
    save("evil.pt", {"w": torch.zeros(2), "payload": Evil()})
    save("module.pt", nn.Linear(2, 2))
    archive("arrays.npz", arrays(), zipfile.ZIP_STORED)
    archive("deflated.npz", {"zeros": np.zeros((64, 64), "<f4"), "ramp": np.arange(100, dtype="<i4")}, zipfile.ZIP_DEFLATED)
    # As if it were larger than 4 GB.
    limit, zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = zipfile.ZIP64_LIMIT, 100, 1
    archive("zip64.npz", {"a": np.arange(100, dtype="<i4"), "b": np.arange(3, dtype="<f4")}, zipfile.ZIP_STORED)
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limit, (1 << 16) - 1
    np.save(path("objects.npy"), np.array([{}], dtype=object))
    np.save(path("records.npy"), np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
    np.save(path("complex.npy"), np.zeros(2, dtype="<c8"))
    for name in sorted(os.listdir(FOLDER)):
        print(path(name), os.path.getsize(path(name)), "bytes")
