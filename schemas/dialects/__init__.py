"""How each vendor reads an answer to its callbacks: checkers that know nothing of how ours are written."""
