"""What a training step changes: both networks, their optimisers, the step and the key."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax

from dped_jax.models import discriminator as discriminators
from dped_jax.models.generator import make_generator


class NetworkState(flax.struct.PyTreeNode):
    """A network under training: its parameters, running statistics and Adam's moments."""

    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The collections that flax's `apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class TrainState(flax.struct.PyTreeNode):
    """All that a step changes.

    `discriminator` is None where the texture loss has weight 0; `averaged`, the moving average of
    the generator's variables, where `config.train.ema_decay` is 0.
    """

    step: jax.Array
    key: jax.Array
    generator: NetworkState
    discriminator: NetworkState | None
    averaged: Any = None

    @property
    def model(self) -> dict[str, Any]:
        """The generator's variables that are validated and used: averaged where there are such."""
        return self.generator.variables if self.averaged is None else self.averaged


def learning_rate(config: ml_collections.ConfigDict) -> float | optax.Schedule:
    """The learning rate of both networks, or its schedule by the number of steps done."""
    options = config.train
    rate, warmup = options.learning_rate, options.warmup_steps
    if options.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(0.0, rate, warmup, options.num_steps)
    return optax.linear_schedule(0.0, rate, warmup) if warmup else rate


def learning_rate_at(config: ml_collections.ConfigDict, step: int) -> float:
    """The learning rate of a step, counted from 1."""
    rate = learning_rate(config)
    return float(rate(step - 1) if callable(rate) else rate)


def make_optimizer(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
    """Adam as both networks use it (section 3.2.3), with what the config adds to it.

    The gradient of a network is clipped as a whole. Weight decay is decoupled from the gradient
    (AdamW), and takes kernels only, not biases and scales.
    """
    rate, options = learning_rate(config), config.train
    if options.weight_decay:
        adam = optax.adamw(
            rate,
            b2=options.adam_b2,
            weight_decay=options.weight_decay,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
        )
    else:
        adam = optax.adam(rate, b2=options.adam_b2)
    if options.clip_norm:
        return optax.chain(optax.clip_by_global_norm(options.clip_norm), adam)
    return adam


def update_average(averaged: Any, variables: Any, step: jax.Array, decay: float) -> Any:
    """Moves an exponential average towards a generator's variables.

    The first averages are over fewer steps than the decay says: it grows as (1 + step) / (10 +
    step) up to it, so that the random start is soon forgotten.

    Args:
      averaged: the variables' average so far.
      variables: those after this update.
      step: of this update, from 0.
      decay: below 1; about the last 1 / (1 - decay) steps count.
    """
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: old + (1 - kept) * (new - old), averaged, variables)


def create_train_state(config: ml_collections.ConfigDict, key: jax.Array) -> TrainState:
    """Initialises both networks and their optimisers.

    Args:
      config: the experiment.
      key: (2,) uint32; every random draw of the training derives from it.

    Returns:
      The state at step 0.
    """
    optimizer = make_optimizer(config)
    generator_key, discriminator_key, state_key = jax.random.split(key, 3)

    def init(network, network_key, channels):
        size = config.data.crop or 100
        images = jnp.zeros((1, size, size, channels), jnp.float32)
        # For a CPU, XLA would optimise for ten seconds what takes a millisecond, once.
        fast = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
        variables = jax.jit(network.init, compiler_options=fast)(network_key, images)
        params = variables["params"]
        return NetworkState(params, variables.get("batch_stats", {}), optimizer.init(params))

    discriminator = None
    if config.loss.texture:
        channels = 2 if config.discriminator.architecture == "bi_channel" else 1
        network = discriminators.make_discriminator(config)
        discriminator = init(network, discriminator_key, channels)
    generator = init(make_generator(config), generator_key, 3)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=state_key,
        generator=generator,
        discriminator=discriminator,
        # Copies: the buffers of a state are donated one by one.
        averaged=jax.tree.map(jnp.copy, generator.variables) if config.train.ema_decay else None,
    )
