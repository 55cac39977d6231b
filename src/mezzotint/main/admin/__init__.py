"""Commands of operators who look after what is shown."""
