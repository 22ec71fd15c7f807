"""A replica follows `user_config`: a good one replaces the configuration as a whole, a bad one changes nothing.

Knows which configuration is in force and why the last change was refused. Does not know who sends changes.
"""

import logging

from pydantic import JsonValue

from serve import hot
from serve.config import Config
from serve.errors import ConfigError

log = logging.getLogger("pointsman.reload")


class Reload:
    """The configuration of one replica over time. Changes always start from the one it was started with."""

    def __init__(self, start: Config) -> None:
        self._start = start
        self.config = start
        self.fault: str | None = None

    def take(self, user_config: JsonValue) -> Config:
        """The configuration in force from now on.

        Never raises: Serve restarts a replica whose `reconfigure` raises, and its streams with it.
        """
        try:
            config = hot.applied(self._start, user_config)
        except ConfigError as error:
            self.fault = str(error)
            log.error("reload refused, policy %s stays in force: %s", self.config.version[:12], error)
            return self.config
        self.fault = None
        if changes := hot.hot_changes(self.config, config):
            log.info("policy %s in force: %s", config.version[:12], "; ".join(changes))
        self.config = config
        return config
