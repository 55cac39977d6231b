"""Models and styles that are offered, and tried before anybody asks for them."""
