"""Fixed points, periodic orbits and limit cycles, and their stability."""
