"""Numerical loops: arrays in, arrays out; no checks and no words."""
