"""A manifest as it lies there: its files, columns and rows, checked and brought to one form.

May import: the modules directly under `manifests`. Entry point: `reader.read_whole`.
"""
