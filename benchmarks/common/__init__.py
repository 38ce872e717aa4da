"""What benchmarks share: the machine, the data, the measures, the reading of a frontier."""
