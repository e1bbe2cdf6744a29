# vhdxfs: the daemon.
