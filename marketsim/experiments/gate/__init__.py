"""Gates: outcomes of the present code held to those of a kept baseline."""
