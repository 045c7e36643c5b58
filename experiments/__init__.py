"""The paper's experiments and ours: commands, and the studies, methods and runner behind them."""

import os

# Figures are drawn into files. A notebook exports a backend that its own environment alone has.
os.environ["MPLBACKEND"] = "agg"
