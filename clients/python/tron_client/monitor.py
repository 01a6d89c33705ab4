"""The former name of `tron_client.tron_api`; it will be removed in the next release."""

from tron_client.tron_api import *  # noqa: F403
