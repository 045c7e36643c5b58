"""The paper's experiments and ours, each a command line that leaves one record."""
