"""What every training is: trainer, state, settings, schedules, processes, checkpoints."""
