"""What the work costs: the tables of docs/performance.md."""
