"""Adaptation of single neurons: scaling of gains, kinetics, and the boundary of amplified noise."""
