"""The same function over a grid of parameters: on a laptop, in threads, on a cluster."""
