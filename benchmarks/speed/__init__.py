"""What the work costs: the tables of docs/performance.md."""

import manifests  # noqa: F401 -- before Arrow is loaded, as in the program: it says where Arrow takes memory from
