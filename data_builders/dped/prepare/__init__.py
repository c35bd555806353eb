"""From raw photo pairs to aligned patches."""

import os

# Object stores by s3fs and gcsfs on every worker, whether or not TensorFlow is installed there.
os.environ.setdefault("EPATH_USE_TF", "false")
