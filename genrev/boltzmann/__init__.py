"""How Boltzmann machines learn, and how likely they say that data are."""
