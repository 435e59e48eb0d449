"""Cases of reading and adding up by index; called by fixtures.py, whose functions they use."""

import torch
import torch.nn.functional as F
from __main__ import array, draw, generator_for


def case(name, operation, x, indices, axis=0, **options):
    """`run(x, indices)` in PyTorch's words, its result and its gradients."""
    generator = generator_for(name)
    x = draw(x, generator).requires_grad_()
    sources = [x]
    if operation == "embedding":
        y = F.embedding(indices, x, padding_idx=options.get("paddingIdx"))
    elif operation == "gather":
        # index_select takes a list of indices; the axes of more go in its place.
        y = x.index_select(axis, indices.reshape(-1))
        y = y.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])
    elif operation == "takeAlongAxis":
        y = x.gather(axis, indices)
    else:
        rows = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
        source = draw(rows if operation == "indexAdd" else indices.shape, generator).requires_grad_()
        sources.append(source)
        if operation == "indexAdd":
            flat = source.reshape(x.shape[:axis] + (-1,) + x.shape[axis + 1 :])
            y = x.index_add(axis, indices.reshape(-1), flat)
        else:
            y = x.scatter_add(axis, indices, source)
    cotangent = draw(y.shape, generator)
    gradients = torch.autograd.grad((y * cotangent).sum(), sources)
    return {
        "name": name,
        "operation": operation,
        "options": options if operation == "embedding" else {"axis": axis},
        "inputs": [array(source) for source in sources],
        "indices": array(indices),
        "output": array(y),
        "cotangent": array(cotangent),
        "gradients": [array(g) for g in gradients],
    }


def indices_for(name, shape, extent):
    return torch.randint(extent, shape, generator=generator_for(name + " indices"))


def cases():
    words = indices_for("words", [3, 4], 6)
    yield case("embedding", "embedding", [6, 5], words)
    yield case("embedding with padding", "embedding", [6, 5], words, paddingIdx=2)
    yield case("embedding with padding from the end", "embedding", [6, 5], words, paddingIdx=-6)
    yield case("embedding of one column", "embedding", [6, 1], words)
    for operation in ["gather", "indexAdd"]:
        for axis in range(3):
            for shape in [[7], [2, 3], []]:
                name = f"{operation} of {len(shape)} axes along axis {axis}"
                yield case(name, operation, [4, 5, 3], indices_for(name, shape, [4, 5, 3][axis]), axis)
    for operation in ["takeAlongAxis", "scatterAdd"]:
        for axis in range(3):
            shape = [4, 5, 3]
            extent = shape[axis]
            shape[axis] = 6
            name = f"{operation} along axis {axis}"
            yield case(name, operation, [4, 5, 3], indices_for(name, shape, extent), axis)
    part = indices_for("part", [2, 6, 3], 5)
    yield case("takeAlongAxis of a part", "takeAlongAxis", [4, 5, 3], part, 1)
    yield case("takeAlongAxis of one axis", "takeAlongAxis", [9], indices_for("line", [20], 9))
    yield case("scatterAdd of one axis", "scatterAdd", [9], indices_for("line", [20], 9))
