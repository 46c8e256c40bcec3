"""What is asked of a finished scan: features, segments, orientations, judgement; nothing is drawn here."""
