"""Fractional derivatives of signals, and the fractional order of responses."""
