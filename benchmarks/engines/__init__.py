"""What `benchmarks.engine` compares, how it is installed and started, and what it is given to do."""
