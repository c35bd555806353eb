"""What a training step changes: both networks, their optimisers, the step and the key."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax

from dped_jax.models import discriminator as discriminators
from dped_jax.models.generator import make_generator


@flax.struct.dataclass
class NetworkState:
    """A network under training: its parameters, running statistics and Adam's moments."""

    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The collections that flax's `apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


@flax.struct.dataclass
class TrainState:
    """All that a step changes. `discriminator` is None where the texture loss has weight 0."""

    step: jax.Array
    key: jax.Array
    generator: NetworkState
    discriminator: NetworkState | None


def make_optimizer(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
    """Adam as both networks use it (section 3.2.3)."""
    options = config.train
    rate, warmup = options.learning_rate, options.warmup_steps
    if options.schedule == "cosine":
        steps = options.num_steps
        return optax.adam(optax.warmup_cosine_decay_schedule(0.0, rate, warmup, steps))
    return optax.adam(optax.linear_schedule(0.0, rate, warmup) if warmup else rate)


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
        variables = jax.jit(network.init)(network_key, images)
        params = variables["params"]
        return NetworkState(params, variables.get("batch_stats", {}), optimizer.init(params))

    discriminator = None
    if config.loss.texture:
        channels = 2 if config.discriminator.architecture == "bi_channel" else 1
        network = discriminators.make_discriminator(config)
        discriminator = init(network, discriminator_key, channels)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=state_key,
        generator=init(make_generator(config), generator_key, 3),
        discriminator=discriminator,
    )
