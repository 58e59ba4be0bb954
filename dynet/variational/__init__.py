"""Variational equations: what a small change of the start or the parameters becomes, forwards and backwards."""
