"""The dashboard: one page without data at `/dashboard`, and the numbers it asks for at `/v1/dashboard`."""
