"""Table 3: four losses and phones, scored on the validation split (appendix 9).

    python -m dped_jax.experiments.table --config=configs/table3.py --output_dir=runs/table3

Total variation stays with the losses that have a texture term (unstated). The squared error beside
the texture term is summed over the patch's values, as eq. 2 sums the colour loss that it replaces
(unstated): its mean would vanish beside the texture term.
"""

import ml_collections

from . import paper, table2

VALUES = 3 * 100 * 100  # of a patch: a mean times this is a sum


def losses() -> dict[str, tuple[str, dict[str, float]]]:
    """Titles of the four losses and the weights in which they differ from eq. 8."""
    return {
        "color_content_texture": ("Color + content + texture", {}),
        "content_texture": ("Content + texture", {"color": 0.0}),
        "mse_texture": ("MSE + texture", {"color": 0.0, "content": 0.0, "mse": float(VALUES)}),
        "mse": ("MSE", {"color": 0.0, "content": 0.0, "texture": 0.0, "tv": 0.0, "mse": 1.0}),
    }


PUBLISHED = {
    "iphone": ((20.95, 0.9144), (19.54, 0.9039), (20.53, 0.9029), (21.23, 0.9111)),
    "blackberry": ((20.29, 0.9247), (19.03, 0.9192), (19.96, 0.9163), (20.39, 0.9223)),
    "sony": ((22.09, 0.9367), (21.64, 0.9388), (21.48, 0.9229), (21.65, 0.9393)),
}


def get_config(model: ml_collections.ConfigDict | None = None) -> ml_collections.ConfigDict:
    """Returns the configuration of Table 3, with the losses of `model` (default: the paper's)."""
    config = table2.frame("Table 3: losses", split="validation", step="newest")
    for k, (name, (title, weights)) in enumerate(losses().items()):
        trained = (model or paper.get_config()).copy_and_resolve_references()
        trained.loss.update(weights)
        published = {phone: numbers[k] for phone, numbers in PUBLISHED.items()}
        config.methods[name] = table2.method(title, trained, published=published)
    config.rows = tuple(losses())
    config.ours = config.rows[0]
    return config.lock()
