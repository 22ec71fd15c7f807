"""Questions asked again in the background: what the tier below would have said, and what a judge says of an answer."""
