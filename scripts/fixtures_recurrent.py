"""Cases of recurrent layers; called by fixtures.py, whose functions they use."""

import torch
from __main__ import array, arrays, build, draw, generator_for, layer_case, randomize

KINDS = ["LSTM", "GRU", "RNN"]


def layer(kind, inputs, hidden, **options):
    return {"type": kind, "inputSize": inputs, "hiddenSize": hidden, **options}


def layers():
    for kind in KINDS:
        yield layer_case(kind, layer(kind, 3, 5), [4, 2, 3])
        yield layer_case(f"{kind} without bias", layer(kind, 3, 4, bias=False), [3, 2, 3])
        yield layer_case(f"{kind}, batch first", layer(kind, 3, 4, batchFirst=True), [2, 5, 3])
        yield layer_case(f"{kind} in both directions", layer(kind, 2, 3, bidirectional=True), [4, 3, 2])
        yield layer_case(f"{kind} of two layers", layer(kind, 3, 4, numLayers=2), [4, 2, 3])
        everything = {"numLayers": 2, "bidirectional": True, "batchFirst": True, "dropout": 0.5}
        yield layer_case(f"{kind} with everything", layer(kind, 2, 3, **everything), [2, 3, 2])
        yield layer_case(f"{kind} of one sequence", layer(kind, 3, 4, bidirectional=True), [5, 3])
        yield layer_case(f"{kind} of one step", layer(kind, 3, 4), [1, 2, 3])
        yield layer_case(f"{kind} of one number", layer(kind, 1, 1), [3, 1, 1])
    yield layer_case("RNN with relu", layer("RNN", 3, 5, nonlinearity="relu"), [4, 2, 3])


def states():
    """Given states, states at the end, and gradients through both."""
    for kind in KINDS:
        for name, options, shape in [
            ["from a state", {}, [4, 2, 3]],
            ["of two layers in both directions from a state", {"numLayers": 2, "bidirectional": True}, [3, 2, 3]],
            ["of one sequence from a state", {"bidirectional": True, "batchFirst": True}, [5, 3]],
        ]:
            name = f"{kind} {name}"
            generator = generator_for(name)
            config = layer(kind, 3, 4, **options)
            module = build(config)
            randomize(module, generator)
            count = options.get("numLayers", 1) * (2 if options.get("bidirectional") else 1)
            batch = shape[1:2] if len(shape) == 3 else []
            x = draw(shape, generator).requires_grad_()
            given = [draw([count, *batch, 4], generator).requires_grad_() for _ in range(2 if kind == "LSTM" else 1)]
            output, end = module(x, tuple(given) if kind == "LSTM" else given[0])
            results = [output, *(end if kind == "LSTM" else [end])]
            cotangents = [draw(result.shape, generator) for result in results]
            total = sum((result * cotangent).sum() for result, cotangent in zip(results, cotangents))
            parameters = dict(module.named_parameters())
            gradients = torch.autograd.grad(total, [x, *given, *parameters.values()])
            names = ["input", *["h", "c"][: len(given)], *parameters]
            yield {
                "name": name,
                "layer": config,
                "weights": arrays(module.state_dict().items()),
                "input": array(x),
                "state": arrays(zip("hc", given)),
                "results": arrays(zip(["output", "h", "c"], results)),
                "cotangents": arrays(zip(["output", "h", "c"], cotangents)),
                "gradients": arrays(zip(names, gradients)),
            }
