"""Models in stages that run one after the other."""
