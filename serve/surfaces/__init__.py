"""The APIs that clients speak. Each turns its own request into a chat request, and a chat answer into its own shape."""
