"""The data contracts: manifests in, result tables out, and the identities between them."""

import os

# Arrow keeps what each thread has ever read with, otherwise: planning a million pairs takes 180 MiB more without this.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
