"""OpenAI Responses: requests, answers, events, and the answers that are kept for a while."""
