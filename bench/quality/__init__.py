"""Quality: how often the product judges right, measured on sets of labelled examples."""
