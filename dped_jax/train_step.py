"""One joint update of generator and discriminator, as pure functions without I/O.

`make_train_step` returns a step that its caller maps over devices as axis `DEVICES`. Everything is
reduced over the global batch, so the update does not depend on the number of devices.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from dped_jax import losses
from dped_jax.models import discriminator as discriminators
from dped_jax.models.generator import make_generator
from dped_jax.models.layers import DEVICES
from dped_jax.models.vgg import extract_layers
from dped_jax.pixels import to_float
from dped_jax.train_state import NetworkState, TrainState, make_optimizer, update_average

Batch = dict[str, Any]
DrawLabels = Callable[[jax.Array, int], jax.Array]
PIXEL_LOSSES = {
    "mse": losses.mse_loss,
    "l1": losses.l1_loss,
    "ssim": losses.ssim_loss,
    "ms_ssim": losses.ms_ssim_loss,
}


def draw_labels(key: jax.Array, num: int) -> jax.Array:
    """Fair coin flips, (num,) bool: whether the (first) image shown is the DSLR's."""
    return jax.random.bernoulli(key, shape=(num,))


@dataclasses.dataclass(frozen=True)
class Definition:
    """One reading of the terms that have two; each gives (N,) float32."""

    color: Callable[[ml_collections.ConfigDict], Callable[..., jax.Array]]  # by config.loss
    content: Callable[[jax.Array, jax.Array], jax.Array]
    tv: Callable[[jax.Array], jax.Array]
    texture: Callable[[jax.Array], jax.Array]
    discriminator: Callable[[jax.Array, jax.Array], jax.Array]


def _paper_color_loss(options: ml_collections.ConfigDict) -> Callable[..., jax.Array]:
    blur = options.blur_size, options.blur_sigma, options.blur_amplitude
    return functools.partial(losses.color_loss, kernel=losses.gaussian_kernel(*blur))


DEFINITIONS = {
    "paper": Definition(
        color=_paper_color_loss,
        content=losses.content_loss,
        tv=losses.total_variation_loss,
        texture=losses.texture_loss,
        discriminator=losses.discriminator_loss,
    ),
    "release": Definition(
        color=lambda options: losses.release_color_loss,
        content=losses.release_content_loss,
        tv=losses.release_total_variation_loss,
        texture=losses.release_texture_loss,
        discriminator=losses.release_discriminator_loss,
    ),
}


def own_part(draws: jax.Array) -> jax.Array:
    """This device's part of draws made for the global batch, by global example index."""
    size = draws.shape[0] // jax.lax.axis_size(DEVICES)
    return jax.lax.dynamic_slice_in_dim(draws, jax.lax.axis_index(DEVICES) * size, size)


def _reduce(config: ml_collections.ConfigDict, name: str, per_example: jax.Array) -> jax.Array:
    """This device's share of a term's reduction over the global batch: shares add up to it."""
    total = jnp.sum(per_example)
    adversarial = name in ("texture", "discriminator")
    if adversarial and config.loss.adversarial_reduction == "sum":
        return total
    return total / (per_example.shape[0] * jax.lax.axis_size(DEVICES))


def _image_losses(config, vgg_params, enhanced, target) -> dict[str, jax.Array]:
    """The terms with non-zero weight that need no discriminator, per example."""
    weights, definition = config.loss, DEFINITIONS[config.loss.definition]
    terms = {}
    for name, loss in PIXEL_LOSSES.items():
        if weights[name]:
            terms[name] = loss(enhanced, target)
    if weights.color:
        terms["color"] = definition.color(weights)(enhanced, target)
    if weights.content:
        layers, dtype = dict(config.vgg.layers), jnp.dtype(config.compute_dtype)
        found, wanted = (
            extract_layers(vgg_params, images, tuple(layers), dtype)
            for images in (enhanced, target)
        )
        terms["content"] = sum(
            weight * definition.content(found[layer], wanted[layer])
            for layer, weight in layers.items()
        )
    if weights.tv:
        terms["tv"] = definition.tv(enhanced)
    return terms


def discriminator_input(config, enhanced, dslr, labels) -> jax.Array:
    """What the discriminator is shown.

    Args:
      config: the experiment.
      enhanced: (N, H, W, 3) float32 in [0, 1].
      dslr: the same shape.
      labels: (N,) bool. Bi-channel: whether the DSLR image comes first; single-channel: whether it
        is the one shown.

    Returns:
      (N, H, W, 2) or (N, H, W, 1) float32, grayscale.
    """
    labels = labels[:, None, None, None]
    enhanced, dslr = map(discriminators.to_grayscale, (enhanced, dslr))
    first = jnp.where(labels, dslr, enhanced)
    if config.discriminator.architecture == "bi_channel":
        return jnp.concatenate([first, jnp.where(labels, enhanced, dslr)], axis=-1)
    return first


def _apply(network, network_state, params, images) -> tuple[jax.Array, Any]:
    """A network's output and its running statistics afterwards."""
    variables = {"params": params, "batch_stats": network_state.batch_stats}
    output, updated = network.apply(variables, images, train=True, mutable=["batch_stats"])
    return output, updated.get("batch_stats", {})


def _update(optimizer, network_state, grads, batch_stats) -> NetworkState:
    """A network after a step; each device has its share of the gradient."""
    grads = jax.lax.psum(grads, DEVICES)
    updates, opt_state = optimizer.update(grads, network_state.opt_state, network_state.params)
    params = optax.apply_updates(network_state.params, updates)
    return NetworkState(params, batch_stats, opt_state)


def _discriminator_loss(params, network_state, config, shown, labels):
    """The loss, and with it what is logged and the running statistics afterwards."""
    network = discriminators.make_discriminator(config)
    logits, batch_stats = _apply(network, network_state, params, shown)
    definition = DEFINITIONS[config.loss.definition]
    loss = _reduce(config, "discriminator", definition.discriminator(logits, labels))
    accuracy = _reduce(config, "accuracy", jnp.float32((logits > 0) == labels))
    return loss, ({"discriminator": loss, "discriminator_accuracy": accuracy}, batch_stats)


def make_train_step(
    config: ml_collections.ConfigDict, *, draw: DrawLabels = draw_labels
) -> Callable[[TrainState, Batch, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """Builds the joint update.

    The returned `step(state, batch, vgg_params)` gives the next state and the metrics, float32
    scalars over the global batch: each term unweighted, their weighted sum `total`, and the
    discriminator's loss and accuracy. `batch` holds this device's part of the global batch:
    `phone` and `dslr`, (n, H, W, 3) uint8, and, where `config.train.discriminator_batch` is
    "next", under "next" the two of the following batch, for the discriminator, which then sees the
    updated generator (the release's reading of an iteration). `vgg_params` is None where the
    content loss has weight 0.

    Args:
      config: the experiment.
      draw: gives (num,) bool labels for the discriminator from a key; for reproducing known draws.
    """
    generator = make_generator(config)
    update = functools.partial(_update, make_optimizer(config))
    discriminator = discriminators.make_discriminator(config) if config.loss.texture else None
    definition = DEFINITIONS[config.loss.definition]
    names = ("color", "texture", "content", "tv", *PIXEL_LOSSES)
    weights = {name: config.loss[name] for name in names}
    remat: Callable = jax.checkpoint if config.train.remat else lambda function: function

    def texture_loss(state, enhanced, target):
        enhanced_first = jnp.zeros(enhanced.shape[0], bool)
        shown = discriminator_input(config, enhanced, target, enhanced_first)
        logits, _ = _apply(discriminator, state.discriminator, state.discriminator.params, shown)
        return definition.texture(logits)

    def generator_loss(params, state, batch, vgg_params):
        phone, target = to_float(batch["phone"]), to_float(batch["dslr"])
        enhance = remat(functools.partial(_apply, generator, state.generator))
        enhanced, batch_stats = enhance(params, phone)
        terms = remat(functools.partial(_image_losses, config, vgg_params))(enhanced, target)
        if discriminator:
            terms["texture"] = texture_loss(state, enhanced, target)
        terms = {name: _reduce(config, name, term) for name, term in terms.items()}
        total = sum(weights[name] * term for name, term in terms.items())
        return total, (terms | {"total": total}, batch_stats, enhanced)

    def step(state, batch, vgg_params):
        num = batch["phone"].shape[0] * jax.lax.axis_size(DEVICES)
        labels = own_part(draw(jax.random.fold_in(state.key, state.step), num))

        grads, (logged, batch_stats, enhanced) = jax.grad(generator_loss, has_aux=True)(
            state.generator.params, state, batch, vgg_params
        )
        network_state, averaged = update(state.generator, grads, batch_stats), state.averaged
        if averaged is not None:
            averaged = update_average(
                averaged, network_state.variables, state.step, config.train.ema_decay
            )
        state = state.replace(step=state.step + 1, generator=network_state, averaged=averaged)
        if discriminator:
            if config.train.discriminator_batch == "next":
                batch = batch["next"]
                phone = to_float(batch["phone"])
                enhanced, _ = _apply(generator, state.generator, state.generator.params, phone)
            enhanced, target = jax.lax.stop_gradient(enhanced), to_float(batch["dslr"])
            shown = discriminator_input(config, enhanced, target, labels)
            grads, (more, batch_stats) = jax.grad(_discriminator_loss, has_aux=True)(
                state.discriminator.params, state.discriminator, config, shown, labels
            )
            logged |= more
            state = state.replace(discriminator=update(state.discriminator, grads, batch_stats))
        return state, jax.lax.psum(logged, DEVICES)

    return step


def count_flops(config: ml_collections.ConfigDict, state: TrainState, vgg_params: Any) -> float:
    """Floating-point operations of a step on the global batch, by XLA; nothing is compiled."""
    size = config.data.crop or 100
    images = jax.ShapeDtypeStruct((1, config.train.batch_size, size, size, 3), jnp.uint8)
    batch: Batch = {"phone": images, "dslr": images}
    if config.train.discriminator_batch == "next":
        batch["next"] = dict(batch)
    step = jax.vmap(make_train_step(config), in_axes=(None, 0, None), axis_name=DEVICES)
    known = jax.eval_shape(lambda *trees: trees, state, vgg_params)  # not where they lie
    traced = jax.jit(step).trace(known[0], batch, known[1])
    # What an accelerator makes: on CPU `kernels` takes other ways.
    analysis: Any = traced.lower(lowering_platforms=("cuda",)).cost_analysis()
    return analysis["flops"]
