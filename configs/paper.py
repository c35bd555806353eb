"""The system as the paper describes it (the default); every other config starts from this one.

    python -m dped_jax.train --config=configs/paper.py --workdir=runs/iphone \
        --config.data.data_dir=data/tfds --config.data.phone=iphone

Numbers cite the paper's section or equation; what the paper leaves open is marked "unstated".
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:  # noqa: PLR0915  (a list of fields)
    """Returns the configuration of the paper; fields can be overridden, none can be added."""
    config = ml_collections.ConfigDict()
    config.seed = 0  # of the initial weights, the data order and every draw of a step
    config.compute_dtype = "float32"  # of convolutions; or "bfloat16" (the rest stays float32)
    # of float32 products on accelerators: "default" is the device's own (TF32 on recent GPUs,
    # bfloat16 on TPUs); or "bfloat16", "tensorfloat32", "float32"
    config.matmul_precision = "default"

    config.data = ml_collections.ConfigDict()
    config.data.data_dir = "data/tfds"  # where data_builders.dped.build has put the dataset
    config.data.phone = "iphone"  # iphone, blackberry, sony or custom
    config.data.flip = False  # random left-right and up-down flips, the same for both of a pair
    config.data.transpose = False  # and of rows with columns; with flips, the 8 symmetries
    config.data.gain = 0.0  # deviation of the logarithm of a random gain, the same for both
    config.data.channel_gain = 0.0  # likewise, of each channel's own gain
    config.data.crop = 0  # pixels, side of a random crop of each training patch; 0 takes it whole
    config.data.decode_once = True  # into a file beside the dataset, 60 kB a pair
    # where training pairs are kept: "always", "never", or "auto", on accelerators that have room
    config.data.on_device = "auto"

    config.generator = ml_collections.ConfigDict()
    # or "srcnn" (Dong et al., 4.1), "identity" (3.1.2), "unet", "ppcn_teacher", "ppcn_student"
    config.generator.architecture = "resnet"
    config.generator.num_blocks = 4  # residual blocks (3.2.2)
    config.generator.width = 64  # channels (3.2.2); of the first level of a U-Net
    config.generator.num_levels = 2  # of a U-Net: 1/2, 1/4, ... of the resolution
    config.generator.norm = "batch"  # (3.2.2); or "instance" (release), or "none"
    config.generator.output_scale = 0.58  # of the tanh, around 0.5 (3.2.2; value from release)
    config.generator.kernel_init = (
        "truncated_normal"  # sigma 0.01, as release (unstated); or "he_normal"
    )

    config.discriminator = ml_collections.ConfigDict()
    # (3.1.2); or "single_channel" (release), or "counterpart": the bi-channel one, shown one image
    config.discriminator.architecture = "bi_channel"
    config.discriminator.width = 1.0  # channels as published times this; below 1 for small tests

    config.vgg = ml_collections.ConfigDict()
    config.vgg.weights = "imagenet-vgg-verydeep-19.mat"  # a file (README), or in words: "random"
    config.vgg.layers = (("relu5_2", 1.0),)  # of the content loss (3.1.5), with weights

    config.loss = ml_collections.ConfigDict()
    config.loss.definition = "paper"  # eq. 2-7; or "release"
    config.loss.color = 1.0  # weights of the terms (eq. 8); a term of weight 0 is not computed
    config.loss.texture = 1.0
    config.loss.content = 0.1
    config.loss.tv = 100.0
    config.loss.mse = 0.0  # not in eq. 8: for the baselines (4.1) and Table 3
    config.loss.l1 = 0.0  # not in eq. 8, like the next two: mean absolute error
    config.loss.ssim = 0.0  # 1 - SSIM
    config.loss.ms_ssim = 0.0  # 1 - MS-SSIM; needs crops of at least 16 pixels
    config.loss.blur_amplitude = 0.053  # A of eq. 4; 0 normalises the kernel's sum to 1
    config.loss.blur_sigma = 3.0  # pixels (eq. 4)
    config.loss.blur_size = 21  # pixels (unstated)
    config.loss.adversarial_reduction = "mean"  # of texture and discriminator; or "sum" (release)

    config.train = ml_collections.ConfigDict()
    config.train.batch_size = 50  # pairs over all devices (3.2.3)
    config.train.num_steps = 20_000  # (3.2.3)
    config.train.learning_rate = 5e-4  # of Adam, for both networks (3.2.3)
    config.train.schedule = "constant"  # of the learning rate; or "cosine", to 0 at the last step
    config.train.warmup_steps = 0  # over which the learning rate rises linearly from 0
    config.train.adam_b2 = 0.999  # decay of Adam's second moment (unstated)
    config.train.weight_decay = 0.0  # of kernels, times the learning rate (unstated)
    config.train.clip_norm = 0.0  # largest norm of a network's gradient; 0 does not clip (unstated)
    config.train.ema_decay = 0.0  # of the generator's average, which is the model then; 0: none
    config.train.discriminator_batch = "same"  # as the generator's; or "next" (release)
    config.train.init_from = ""  # workdir whose generator to start from; "" starts from scratch
    config.train.remat = False  # computes activations again for gradients: less memory, more time
    config.train.steps_per_call = 1  # without the host between
    config.train.log_every_steps = 50
    config.train.eval_every_steps = 1_000
    config.train.checkpoint_every_steps = 1_000
    config.train.keep_checkpoints = 3  # the newest; the best by validation PSNR is kept besides

    config.eval = ml_collections.ConfigDict()
    config.eval.batch_size = 50
    config.eval.num_pairs = 2_000  # of the validation split, at most
    config.eval.num_pictures = 6  # rows of the before | enhanced | target grid
    return config.lock()
