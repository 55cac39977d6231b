"""Changes of the safety policy while the server runs: hard rules, the dial, appeals."""
