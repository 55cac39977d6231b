"""Values of the safety system: takedowns and what belongs to them."""
