"""The data contracts: manifests in, result tables out, and the identities between them."""

import os
import platform

# Arrow keeps what each thread has ever read with, otherwise: planning a million pairs takes 180 MiB more without this.
# Its packages for other machines may lack jemalloc, and would say so at each start.
if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
