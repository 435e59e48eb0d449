"""Loads files that Gabor wrote with Keras and compares what they compute.

    python3 scripts/check_keras_files.py FOLDER

Every NAME.keras, and NAME.weights.h5 into the same model, must give what NAME.json says: {"x": [...], "y": [...]} of arrays {"shape", "data"}
(scripts/write_keras_files.mjs makes such a folder). Needs Keras 3 and h5py.
"""

import json
import os
import sys
from glob import glob

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

folder = sys.argv[1]
failed = 0


def arrays(listed, dtypes=None):
    return [np.array(a["data"], dtype="float64").reshape(a["shape"]).astype(d) for a, d in zip(listed, dtypes or ["float64"] * len(listed))]


def error(model, case):
    """The largest difference."""
    x = arrays(case["x"], [str(t.dtype) for t in model.inputs])
    y = model.predict(x if len(x) > 1 else x[0], verbose=0)
    y = y if isinstance(y, list) else [y]
    expected = arrays(case["y"])
    assert [a.shape for a in y] == [a.shape for a in expected], "shapes differ"
    return max(float(np.abs(a - b).max()) for a, b in zip(y, expected))


for path in sorted(glob(os.path.join(folder, "*.keras"))):
    name = os.path.splitext(os.path.basename(path))[0]
    with open(os.path.join(folder, f"{name}.json")) as file:
        case = json.load(file)
    try:
        model = keras.saving.load_model(path)
        found = [error(model, case)]
        # As Keras says that model itself.
        again = keras.models.model_from_json(model.to_json())
        again.load_weights(os.path.join(folder, f"{name}.weights.h5"))
        found.append(error(again, case))
        names = [layer.name for layer in model.layers]
        assert names == case["layers"], f"layers {names}"
        counts = [sum(int(np.prod(w.shape)) for w in model.trainable_weights), model.count_params()]
        assert counts == case["parameters"], f"{counts} parameters"
        bad = max(found) > 1e-5
        print(f"{name}: {', '.join(f'{e:.1e}' for e in found)}{'  TOO FAR' if bad else ''}")
    except Exception as problem:
        bad = True
        print(f"{name}: {type(problem).__name__}: {str(problem)[-600:]}")
    failed += bad

print(f"Keras {keras.__version__}: {failed} failed")
sys.exit(failed > 0)
