"""Theory of superposition: derived symbolically, evaluated in closed form, and measured."""
