"""Alarms of a scan, said in the terminal as they come, and counted at the end."""

from __future__ import annotations

from collections.abc import Sequence

from microrun.cli import console
from microrun.runtime.latents.watched import Alarm, AlarmNews


class Alarms:
    """Says alarms; each once, and again where its cause is named anew."""

    def __init__(self) -> None:
        self._news = AlarmNews()

    def say_new(self, alarms: Sequence[Alarm]) -> None:
        """Say in a line each what began, or turned out to be something else.

        Parameters
        ----------
        alarms
            All so far.
        """
        for alarm in self._news.take(alarms):
            console.warning_line(alarm.text, "alarm")

    def say_all(self, alarms: Sequence[Alarm]) -> None:
        """Say what became of all, in a line; nothing if there were none."""
        if alarms:
            lasting = [alarm.text for alarm in alarms if alarm.end is None]
            ended = f"at the end: {'; '.join(lasting)}" if lasting else "none lasted to the end"
            console.out.print(f"alarms   {len(alarms)}, {ended}")
