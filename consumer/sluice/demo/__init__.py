"""The demo: a broker, the outside world and real consumers on one machine, watched and reported on."""
