"""The data contracts: manifests in, result tables out, and the identities between them."""
