"""Words about how a picture is drawn: its recipe, its sampler, the weights of its words."""
