"""Models of Keras with random weights in tests/fixtures/keras-files, as Keras saves them, and what Keras computes.

Needs Keras 3 and h5py; without them nothing is done.
"""

import io
import json
import os
import re
import struct
import zipfile
import zlib

os.environ["KERAS_BACKEND"] = "torch"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "fixtures", "keras-files")

try:
    import h5py
    import keras
    import numpy as np
    from keras import layers
except ImportError as error:
    print(f"fixtures_keras_files: {error.name} is not installed; nothing done")
    raise SystemExit(0) from error

random = None


def images():
    """Most layers of images, two outputs."""
    x = inputs = layers.Input((12, 11, 3), name="photo")
    x = layers.Rescaling([0.5], offset=-0.25)(x)
    x = layers.Normalization(name="standard")(x)
    x = layers.ZeroPadding2D(((1, 2), (0, 1)))(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="leaky_relu", kernel_regularizer="l2")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-2)(x)
    x = layers.ReLU(max_value=6.0, negative_slope=0.1, threshold=0.2)(x)
    a = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="tanh")(x)
    a = layers.LayerNormalization()(a)
    b = layers.SeparableConv2D(4, (3, 2), padding="same", depth_multiplier=2, activation=layers.LeakyReLU(0.3))(x)
    b = layers.GaussianNoise(0.3)(b)
    x = layers.Concatenate()([a, b])
    x = layers.Conv2D(8, 3, padding="same", dilation_rate=2, groups=4, use_bias=False)(x)
    x = layers.GroupNormalization(4)(x)
    skip = layers.Conv2D(8, 1)(layers.PReLU(shared_axes=[1, 2])(x))
    x = layers.Add()([x, skip])
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=1)(x)
    x = layers.UpSampling2D((2, 1), interpolation="bilinear")(x)
    x = layers.Cropping2D(((1, 0), (2, 1)))(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    mean = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.AveragePooling2D(2, padding="same")(x)
    x = layers.Resizing(3, 2)(x)
    x = layers.Reshape((-1, 4))(layers.Permute((2, 1, 3))(x))
    x = layers.Dropout(0.4)(layers.Flatten()(x))
    x = layers.Dense(6)(x) * layers.Dense(6)(x) - layers.Dense(1)(x)
    first = layers.Dense(5, activation="softmax", name="class")(x)
    second = layers.Dense(2, activation="sigmoid", name="score")(mean)
    return keras.Model(inputs, [first, second], name="images")


def sequences():
    return keras.Sequential(
        [
            layers.Input((9,), dtype="int32", name="words"),
            layers.Embedding(11, 4),
            layers.ZeroPadding1D((2, 1)),
            layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="elu"),
            layers.SpatialDropout1D(0.2),
            layers.DepthwiseConv1D(2, padding="same"),
            layers.SeparableConv1D(5, 3, padding="same"),
            layers.BatchNormalization(scale=False),
            layers.Activation("gelu"),
            layers.Conv1DTranspose(4, 3, strides=2, padding="same"),
            layers.UpSampling1D(2),
            layers.Cropping1D(1),
            layers.AveragePooling1D(3, strides=2),
            layers.MaxPooling1D(2, padding="same"),
            layers.Softmax(axis=1),
            layers.GlobalMaxPooling1D(),
            layers.RepeatVector(2),
            layers.Dense(3, activation="hard_sigmoid"),
        ],
        name="sequences",
    )


def volumes():
    """With the channels first."""
    first = "channels_first"
    return keras.Sequential(
        [
            layers.Input((2, 6, 5, 4)),
            layers.Conv3D(4, 2, padding="same", activation="relu6", data_format=first),
            layers.BatchNormalization(axis=1),
            layers.MaxPooling3D((2, 1, 2), data_format=first),
            layers.Conv3DTranspose(3, 2, strides=2, data_format=first),
            layers.ZeroPadding3D(1, data_format=first),
            layers.Cropping3D((1, 0, 1), data_format=first),
            layers.UpSampling3D(2, data_format=first),
            layers.AveragePooling3D(2, data_format=first),
            layers.ELU(0.5),
            layers.Flatten(data_format=first),
            layers.Dense(3),
        ],
        name="volumes",
    )


def nested():
    """Models as layers, called twice, and with training=False; layers that merge; a frozen one."""
    block = keras.Sequential([layers.Input((4, 4, 2)), layers.Conv2D(3, 3, name="conv"), layers.Flatten()], name="block")
    a = layers.Input((4, 4, 2))
    b = layers.Conv2D(2, 1, padding="same", name="conv")(a)
    b = layers.BatchNormalization(name="norm")(b)
    backbone = keras.Model(a, [b, layers.GlobalMaxPooling2D()(b)], name="backbone")
    left, right = layers.Input((4, 4, 2), name="left"), layers.Input((4, 4, 2), name="right")
    maps, peaks = backbone(left, training=False)
    maps2, peaks2 = backbone(right)
    shared = layers.Dense(4, activation="swish", name="shared", trainable=False)
    one, two = shared(block(maps)), shared(block(maps2))
    merged = [
        layers.Subtract()([one, two]),
        layers.Multiply()([one, two]),
        layers.Average()([one, two]),
        layers.Maximum()([one, two]),
        layers.Minimum()([one, two]),
        layers.Dot(axes=1, normalize=True)([one, two]),
        peaks,
        peaks2,
    ]
    x = layers.Concatenate(axis=-1)(merged)
    return keras.Model([left, right], [layers.Dense(2, name="head")(x), maps2], name="nested")


def activations():
    names = "celu elu exponential gelu hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6"
    names = [*names.split(), "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh"]
    x = layers.Input((4,))
    return keras.Model(x, layers.Concatenate()([layers.Dense(3, activation=name)(x) for name in names]), name="activations")


def draw(shape, dtype):
    if "int" in dtype:
        return random.integers(0, 11, shape).astype("int32")
    return np.round(random.uniform(-1, 1, shape), 3).astype("float32")


def randomize(model):
    """Short numbers, so that what is computed does not depend on how Keras draws them. Variances are positive."""
    for variable in model.variables:
        if "seed" in variable.path or "int" in str(variable.dtype):
            continue
        values = draw(variable.shape, "float32")
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.path else values)


def pack(path):
    """The same archive at any time, without addresses in memory."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(entries["metadata.json"])
    metadata["date_saved"] = "2026-01-01@00:00:00"
    entries["metadata.json"] = json.dumps(metadata).encode()
    ids = {}
    renumber = lambda match: f'"shared_object_id": {ids.setdefault(match[1], len(ids))}'
    config = re.sub(r'"shared_object_id": (\d+)', renumber, entries["config.json"].decode())
    entries["config.json"] = config.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def array(a):
    return {"shape": list(a.shape), "data": [float(f"{v:.7g}") for v in np.asarray(a, "float64").ravel()]}


def compress(source, target):
    """The same file with its arrays in compressed chunks, and halves for one of them."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for name, value in old.attrs.items():
            new.attrs[name] = value

        def copy(path, item):
            if isinstance(item, h5py.Group):
                group = new.require_group(path)
                for name, value in item.attrs.items():
                    group.attrs[name] = value
            elif item.ndim == 0:
                new[path] = item[()]
            else:
                chunks = tuple(max(1, extent // 2) for extent in item.shape)
                data = item[()].astype("float16") if path.endswith("head/bias") else item[()]
                new.create_dataset(path, data=data, chunks=chunks, compression="gzip", shuffle=True)

        old.visititems(copy)


def older(source, target):
    """The same weights under the names of Keras 2.13."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        for name in old["layers"]:
            if len(old["layers"][name]["vars"]) > 0:
                old.copy(f"layers/{name}", new.require_group("_layer_checkpoint_dependencies"), name)


def weights_file(path):
    """A file of weights of one layer: `dense` with a kernel."""
    file = h5py.File(path, "w")
    file.attrs["layer_names"] = ["dense"]
    group = file.create_group("dense")
    group.attrs["weight_names"] = ["kernel"]
    return file, group


def bombs():
    """Small files that would unpack to very much."""
    # Many names that all point to one long text.
    path = os.path.join(FOLDER, "many-long-names.h5")
    file, group = weights_file(path)
    group.attrs["long"] = "a" * 30_000
    group.attrs["weight_names"] = [f"n{i:05d}" for i in range(1500)]
    file.close()
    with open(path, "rb") as stream:
        data = bytearray(stream.read())
    # A reference is a length, the address of a heap and a number in it.
    long = next(i for i in range(0, len(data) - 16, 8) if data[i : i + 4] == struct.pack("<I", 30_000) and bytes(data[i + 4 : i + 12]) in heaps(data))
    at = 0
    for _ in range(1500):
        at = next(i for i in range(at, len(data) - 16, 4) if data[i : i + 4] == struct.pack("<I", 6) and bytes(data[i + 4 : i + 12]) in heaps(data))
        data[at : at + 16] = data[long : long + 16]
        at += 16
    with open(path, "wb") as stream:
        stream.write(data)
    # A chunk of four numbers that unpacks to a million.
    file, group = weights_file(os.path.join(FOLDER, "chunk.h5"))
    kernel = group.create_dataset("kernel", (4, 2), "f4", chunks=(2, 2), compression="gzip")
    for row in (0, 2):
        kernel.id.write_direct_chunk((row, 0), zlib.compress(bytes(4_000_000), 9))
    file.close()
    # The same number of elements in chunks of very many.
    file, group = weights_file(os.path.join(FOLDER, "large-chunk.h5"))
    kernel = group.create_dataset("kernel", (4, 2), "f4", chunks=(2**20, 2**8), maxshape=(None, None), compression="gzip")
    kernel.id.write_direct_chunk((0, 0), zlib.compress(bytes(1000)))
    file.close()


def heaps(data):
    """Addresses of the heaps of texts."""
    if len(data) not in HEAPS:
        starts = [i for i in range(0, len(data), 8) if data[i : i + 4] == b"GCOL"]
        HEAPS[len(data)] = {struct.pack("<Q", start) for start in starts}
    return HEAPS[len(data)]


HEAPS = {}


def main():
    global random
    os.makedirs(FOLDER, exist_ok=True)
    cases = []
    for make in (images, sequences, volumes, nested, activations):
        random = np.random.default_rng(list(make.__name__.encode()))
        keras.backend.clear_session()
        model = make()
        randomize(model)
        path = os.path.join(FOLDER, make.__name__)
        model.save(f"{path}.keras")
        pack(f"{path}.keras")
        if make in (images, nested):
            model.save(f"{path}.h5")
            model.save_weights(f"{path}.weights.h5")
        x = [draw((2, *t.shape[1:]), str(t.dtype)) for t in model.inputs]
        y = model.predict(x if len(x) > 1 else x[0], verbose=0)
        cases.append({"name": make.__name__, "x": [array(a) for a in x], "y": [array(a) for a in (y if isinstance(y, list) else [y])]})
    weights = os.path.join(FOLDER, "temporary.weights.h5")
    keras.models.load_model(os.path.join(FOLDER, "sequences.keras")).save_weights(weights)
    older(weights, os.path.join(FOLDER, "sequences.older.h5"))
    os.remove(weights)
    compress(os.path.join(FOLDER, "nested.h5"), os.path.join(FOLDER, "compressed.h5"))
    bombs()
    with io.open(os.path.join(FOLDER, "cases.jsonl"), "w") as file:
        file.writelines(json.dumps(case) + "\n" for case in cases)
    print(f"keras-files: {len(cases)} models by Keras {keras.__version__}")


if __name__ == "__main__":
    main()
