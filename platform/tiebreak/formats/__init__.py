"""How a language writes dates and numbers, where Django does not say it as its readers do."""
