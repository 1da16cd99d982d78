"""The synthetic filter: splits business topics so that synthetic events never reach business analytics."""
