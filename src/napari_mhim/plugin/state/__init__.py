"""What the dock knows, without Qt: evented models that widgets read and show."""
