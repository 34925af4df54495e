"""Another graph in the place of a call."""
