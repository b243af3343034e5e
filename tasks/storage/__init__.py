"""Files on local disks and on S3 behind one set of calls, repeated while a fault is transient.

May import: `manifests`, and the modules directly under `tasks`. Entry point: `storage.Storage`.
"""
