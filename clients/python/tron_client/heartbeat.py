"""The former name of `tron_client.compat`; it will be removed in the next release."""

from tron_client.compat import *  # noqa: F403
