"""Votes of participants whose preferences are known."""

import numpy as np

from dped_jax.study.definition import order


def definition(groups: int = 1, repeats: int = 0, classes=("a", "b", "c")) -> dict:
    """A study of 9 pictures a group, as its database holds it."""
    pictures = [str(number) for number in range(9)]
    listed = [
        {"name": f"Group {g}", "classes": list(classes), "pictures": pictures}
        for g in range(groups)
    ]
    return {"groups": listed, "repeats": repeats}


def simulate(study: dict, rng: np.random.Generator, people: int, prefer) -> list[dict]:
    """Answers of participants: `prefer(participant, a, b)` is the probability of a over b."""
    votes = []
    for number in range(1, people + 1):
        for position, question in enumerate(order(study, int(rng.integers(2**62)))):
            a, b = sorted((question.left, question.right))
            chosen = a if rng.random() < prefer(number, a, b) else b
            votes.append(
                vars(question)
                | {"participant": number, "position": position, "chosen": chosen}
                | {"milliseconds": 3000}
            )
    return votes
