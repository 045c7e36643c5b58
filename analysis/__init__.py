"""The theory of superposition, derived, computed and measured."""
