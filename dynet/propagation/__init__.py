"""What survives finite times: signals, gradients, transients."""
