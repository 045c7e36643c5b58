"""Incremental CIFAR: new classes on one head."""
