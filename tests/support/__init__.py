"""What tests share: a scripted upstream and a client that sees raw bytes."""
