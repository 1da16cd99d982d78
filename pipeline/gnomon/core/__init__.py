"""The pure core: values and a `now` in, values out. No I/O, no wall clock, no global state."""
