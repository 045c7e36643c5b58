"""The methods that the studies compare."""
