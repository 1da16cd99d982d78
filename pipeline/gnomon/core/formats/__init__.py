"""Readers of body formats: bytes in, a document (`JsonValue`) out, `Unreadable` where they are not what they say."""
