"""New manifests: from folders of sounds and a pairing, or from a CSV.

May import: `manifests.reading` and what it may. Entry point: `builder.build_manifest`.
"""
