"""Generators of all families with random weights, and photographs."""

import jax
import tiny

from dped_jax.models.generator import make_generator

FAMILIES = {
    "batch_norm": {"norm": "batch", "num_blocks": 2},
    "instance_norm": {"norm": "instance", "num_blocks": 2},
    "no_norm": {"norm": "none"},
    "srcnn": {"architecture": "srcnn"},
    "teacher": {"architecture": "ppcn_teacher"},
    "student": {"architecture": "ppcn_student"},
    "unet": {"architecture": "unet", "width": 8},
    "unet3": {"architecture": "unet", "num_levels": 3},
    "identity": {"architecture": "identity"},
}


def make(family: str):
    """Configuration, network and variables; the output's contrast is that of photographs."""
    config, variables = tiny.random_generator(1, **FAMILIES[family])

    def tamed(path, leaf):
        names = [key.key for key in path]
        last = names[-2] in ("conv_last", "conv4" if "student" in family else "conv7")
        return 0.1 * leaf if names[-1].startswith("bias") or last else leaf

    variables = jax.tree_util.tree_map_with_path(tamed, variables)
    return config, make_generator(config), variables
