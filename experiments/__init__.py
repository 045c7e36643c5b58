"""The paper's experiments and ours: commands, and the studies, methods and runner behind them."""
