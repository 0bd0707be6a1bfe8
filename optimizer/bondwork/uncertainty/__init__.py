"""What may happen: laws, dependence, sampling, scenario trees, reduction and distances (MODEL 3)."""
