#!/usr/bin/env bash
# jax 0.10.2 on a CPU: x / 255 is x * (1 / 255), also without jit and also where 255 is an argument.
#
# XLA turns the division of an array by a scalar into a product with the scalar's rounded inverse.
# Of the 256 levels of a picture 126 differ from NumPy's float32 in the last bit, whether jitted or
# not; with a divisor of the array's own shape, all are equal. By the same rule the mean of 41 ones
# is below 1, where NumPy gives 1. One would expect IEEE division, which is exactly rounded, unless
# asked otherwise. A photograph that is scaled on the host is thus not bit-equal to one that is
# scaled in the compiled program: checksums and exact tests of a pipeline must choose one of them.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 jax==0.10.2 jaxlib==0.10.2
cd "$folder"
venv/bin/python - <<'PROGRAM'
import os

os.environ["JAX_PLATFORMS"] = "cpu"
import jax
import jax.numpy as jnp
import numpy as np

print("jax", jax.__version__, "numpy", np.__version__)
levels = np.arange(256, dtype=np.float32)
exact = levels / np.float32(255)
rounded_inverse = levels * (np.float32(1) / np.float32(255))
results = {
    "jitted": jax.jit(lambda x: x / 255)(levels),
    "not jitted": jnp.asarray(levels) / 255,
    "divisor an argument": jax.jit(lambda x, divisor: x / divisor)(levels, np.float32(255)),
}
print("expected: float32 quotients as NumPy's, bit for bit")
for name, result in results.items():
    print(f"{name}: {int((np.asarray(result) != exact).sum())} of 256 differ from NumPy's")
    assert (np.asarray(result) != exact).sum() == 126
    assert np.array_equal(result, rounded_inverse)
whole = jax.jit(lambda x, divisor: x / divisor)(levels, np.full(256, 255, np.float32))
print("divisor an array of the same shape:", int((np.asarray(whole) != exact).sum()), "differ")
assert np.array_equal(whole, exact)
ones = np.ones(41, np.float32)
print("mean of 41 ones: NumPy", ones.mean(), "jax", float(jnp.mean(ones)))
assert ones.mean() == 1 and float(jnp.mean(ones)) < 1
PROGRAM
