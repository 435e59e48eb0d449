"""Cases of connectionist temporal classification; called by fixtures.py, whose functions they use."""

import torch
import torch.nn.functional as F
from __main__ import array, draw, generator_for


def case(name, shape, targets, input_lengths, target_lengths, **options):
    generator = generator_for(name)
    logits = (2 * draw(shape, generator)).requires_grad_()
    targets = torch.tensor(targets)
    y = F.ctc_loss(
        F.log_softmax(logits, 2),
        targets,
        torch.tensor(input_lengths),
        torch.tensor(target_lengths),
        blank=options.get("blank", 0),
        reduction=options.get("reduction", "mean"),
        zero_infinity=options.get("zeroInfinity", False),
    )
    cotangent = draw(y.shape, generator)
    return {
        "name": name,
        "options": options,
        "input": array(logits),
        "target": {**array(targets), "integer": True},
        "inputLengths": input_lengths,
        "targetLengths": target_lengths,
        "output": array(y),
        "cotangent": array(cotangent),
        "gradient": array(torch.autograd.grad((y * cotangent).sum(), logits)[0]),
    }


def cases():
    three = [[1, 2, 3, 4], [2, 2, 1, 0], [3, 0, 0, 0]]
    found = []
    for reduction in ["mean", "sum", "none"]:
        found.append(case(f"lengths, {reduction}", (9, 3, 5), three, [9, 7, 4], [4, 3, 1], reduction=reduction))
    found.append(case("repeated", (12, 2, 3), [[1, 1, 1, 1], [2, 2, 1, 1]], [12, 11], [4, 4]))
    found.append(case("just enough time", (7, 2, 4), [[1, 1, 2, 2], [1, 2, 3, 1]], [6, 4], [4, 4], reduction="none"))
    found.append(case("last class is blank", (8, 2, 4), [[0, 1, 1], [2, 0, 0]], [8, 6], [3, 2], blank=3))
    found.append(case("empty target", (5, 2, 3), [[1, 2], [0, 0]], [5, 4], [2, 0], reduction="sum"))
    found.append(case("one class", (20, 1, 2), [[1]], [20], [1]))
    short = [[1, 1, 2], [1, 2, 3]]
    for reduction in ["mean", "sum", "none"]:
        found.append(
            case(f"too short, {reduction}", (6, 2, 4), short, [3, 6], [3, 3], reduction=reduction, zeroInfinity=True)
        )
    found.append(case("blocks", (20, 2, 4), [[1, 2, 3, 3], [3, 2, 2, 0]], [20, 17], [4, 3]))
    return found
