"""What happens: one verb a file. Each takes what it needs as arguments and leaves a job in a state its owner can see."""
