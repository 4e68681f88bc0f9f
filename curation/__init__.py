"""From judgements to consensus, routes, noise scores, dataset versions and reward models."""
